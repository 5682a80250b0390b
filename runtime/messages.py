"""What the front desk and the scheduler say to each other: msgpack structs, never pickles.

desk → scheduler:  Submit · Show · Forget · Abort · Hold · Drop · Pin · Unpin · Save · Flush · Ask ·
                   Browse · Close
scheduler → desk:  Ready · Progress · Answer · Fatal
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ..constrained.contract import Contract
from ..constrained.counts import Counts
from ..constrained.errors import GrammarError
from ..radix_cache import NodeInfo
from .images import Image, Span
from .request import RequestId, SamplingParams

Pooling = Literal["last", "mean"]
TopLogprobs = list[tuple[float, int]]  # (logprob in nats, token id), likeliest first


class Message(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, tag_field="op"
):
    """Root of the wire's structs; the class name is its tag."""


class LogprobRequest(Message, frozen=True, kw_only=True):
    """Which log-probabilities come back with the tokens."""

    start: int = -1  # first prompt position that is scored; -1: output only
    top: int = 0  # how many alternatives a position
    token_ids: tuple[int, ...] = ()  # further ids to report at each position


class Submit(Message, frozen=True, kw_only=True):
    """Generate a continuation of `tokens`. One struct is one sequence (`n` is already unrolled).

    With `options`, score these continuations instead: `sampling.max_new_tokens` is 0 then.
    """

    rid: RequestId
    tokens: list[int]
    sampling: SamplingParams
    seed: int
    stop_ids: tuple[int, ...] = ()  # EOS and the request's own; empty with ignore_eos
    logprobs: LogprobRequest | None = None
    options: list[list[int]] = []
    images: tuple[Span, ...] = ()  # whose placeholders are in `tokens`; each was shown before
    namespace: str = ""  # separates cached prefixes of tenants and adapters
    priority: int = 0
    wants_contract: bool = False  # a schema's; it comes unasked where the mask enforces not all
    pooling: Pooling | None = None  # of the prompt's hidden states, instead of generating


class Show(Message, frozen=True, kw_only=True):
    """Keep an image's pixels until `Forget`, for the requests that it stands in."""

    image: Image


class Forget(Message, frozen=True, kw_only=True):
    """Let go of an image's pixels; no open request has them."""

    digest: bytes


class Abort(Message, frozen=True, kw_only=True):
    """Stop a request wherever it is. `quiet`: the desk has ended it by itself (a stop string)."""

    rid: RequestId
    quiet: bool = False


class Hold(Message, frozen=True, kw_only=True):
    """Keep what is cached of a prefix until `Drop`, as far as the pins' quota allows; no answer."""

    key: int  # of the desk's choosing
    tokens: list[int]  # as `images.keyed` gives them


class Drop(Message, frozen=True, kw_only=True):
    """Let go of a `Hold`, or of nothing."""

    key: int


class Pin(Message, frozen=True, kw_only=True):
    """Keep a cached prefix under a name; see `RadixCache.pin`."""

    call: int
    name: str
    tokens: list[int]  # as `images.keyed` gives them
    namespace: str = ""
    ttl_s: float | None = None
    priority: int = 0


class Unpin(Message, frozen=True, kw_only=True):
    """Let go of a `Pin`."""

    call: int
    name: str
    namespace: str = ""


class Save(Message, frozen=True, kw_only=True):
    """Write the cache to the file in `cache_dir`."""

    call: int


class Flush(Message, frozen=True, kw_only=True):
    """Forget every cached prefix. Answered false while requests run."""

    call: int


class Ask(Message, frozen=True, kw_only=True):
    """Report the scheduler's state."""

    call: int


class Browse(Message, frozen=True, kw_only=True):
    """List the first nodes of the cache's tree."""

    call: int
    max_nodes: int
    max_tokens: int  # of each node


class Close(Message, frozen=True, kw_only=True):
    """End the loop; running requests are dropped."""


class VisionSpec(Message, frozen=True, kw_only=True):
    """What images are to a model: so many placeholders of one id each, of one size."""

    image_token_id: int  # the placeholder
    num_rows: int  # that an image becomes, one for each placeholder
    shape: tuple[int, int, int]  # channels, height, width: what every image is brought to


class Ready(Message, frozen=True, kw_only=True):
    """The model is loaded; facts that the desk needs."""

    vocab_size: int
    context_length: int
    pool_tokens: int
    dtype: str
    device: str
    model_type: str
    architectures: list[str]
    eos_token_ids: tuple[int, ...]
    vision: VisionSpec | None = None  # None: the model takes text alone
    pooling: Pooling = "last"  # of embeddings, where a request does not say
    normalizes: bool = True  # embeddings, where a request does not say


class Fault(Message, frozen=True, kw_only=True):
    """A grammar that could not be compiled: the fields of `constrained.GrammarError`."""

    reason: str
    kind: str
    pointer: str | None = None
    hint: str = ""

    @classmethod
    def of(cls, error: GrammarError) -> Fault:
        """The fault that carries `error` to the desk."""
        return cls(reason=error.reason, kind=error.kind, pointer=error.pointer, hint=error.hint)

    def error(self) -> GrammarError:
        """The error at the desk."""
        return GrammarError(self.reason, kind=self.kind, pointer=self.pointer, hint=self.hint)


class Finish(Message, frozen=True, kw_only=True):
    """Why a sequence ended. Invalid: whole, but it fails what its schema leaves to the check.

    `closed_at`: the text is whole because the budget had its way; so many tokens stood when it
    first did.
    """

    type: Literal["stop", "length", "abort", "invalid"]
    matched: int | str | None = None
    length: int | None = None
    message: str | None = None
    status: int | None = None
    retry_after_s: float | None = None  # when it is worth another try, with status 503
    fault: Fault | None = None
    closed_at: int | None = None


class Usage(Message, frozen=True, kw_only=True):
    """Where a prompt's tokens came from: `cached + computed == prompt`."""

    prompt: int
    cached: int
    computed: int
    retractions: int = 0


class Distortion(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a constraint did to one token, under the model's own distribution."""

    kept: float  # log of the probability (nats) that the allowed tokens have together
    rank: int  # how many tokens were likelier than the chosen one
    forced: bool  # whether no other was allowed


class Delta(Message, frozen=True, kw_only=True):
    """New tokens of one sequence since the last message."""

    rid: RequestId
    tokens: list[int]
    forced: list[int] = []  # which of `tokens` the grammar forced, and nobody sampled
    logprobs: list[float] | None = None
    top_logprobs: list[TopLogprobs] | None = None
    id_logprobs: list[TopLogprobs] | None = None
    distortions: list[Distortion] = []  # of constrained ones, with their log-probabilities
    input_logprobs: list[float | None] | None = None  # once, with the first delta
    input_top_logprobs: list[TopLogprobs | None] | None = None
    input_id_logprobs: list[TopLogprobs | None] | None = None
    option_logprobs: list[list[float]] | None = None  # of each option's tokens, with the end
    usage: Usage | None = None  # with the first delta and the last
    contract: Contract | None = None  # once, with the first delta
    embedding: bytes | None = None  # [hidden] f32, little-endian: the pooled states
    finish: Finish | None = None


class Progress(Message, frozen=True, kw_only=True):
    """The outcome of one step for every sequence that moved, or an empty sign of life.

    Most sequences of a step get one more token, with nothing else to say of it: `rids` and
    `tokens`, side by side, tell of these without an object for each.
    """

    deltas: list[Delta] = []
    rids: list[RequestId] = []
    tokens: list[int] = []


class State(Message, frozen=True, kw_only=True):
    """The scheduler in numbers. `free + cached + leased == pool`, in tokens."""

    pool: int
    free: int
    cached: int
    leased: int  # the pinned ones included
    pinned: int
    running: int
    waiting: int
    steps: int
    generated_tokens: int
    forced_tokens: int  # of the generated ones, those that a grammar forced
    prompt_tokens: int
    cached_tokens: int
    grammars: Counts
    last_throughput: float  # generated tokens a second over the last window
    retry_after_s: float  # that a client who comes now and is refused should wait


class Pinned(Message, frozen=True, kw_only=True):
    """A pinned prefix."""

    name: str
    namespace: str
    num_tokens: int
    age_s: float
    ttl_left_s: float | None  # None: until it is unpinned
    hits: int  # requests that found all of it since


class Answer(Message, frozen=True, kw_only=True):
    """The reply to whatever has a `call`."""

    call: int
    state: State | None = None
    pins: list[Pinned] = []  # all of them to an `Ask`, the new one to a `Pin`
    nodes: list[NodeInfo] = []  # to a `Browse`
    saved_tokens: int = 0  # to a `Save`
    done: bool = True
    error: str | None = None  # why it was not done


class Fatal(Message, frozen=True, kw_only=True):
    """The scheduler cannot start or go on."""

    error: str


ToScheduler = (
    Submit | Show | Forget | Abort | Hold | Drop | Pin | Unpin | Save | Flush | Ask | Browse | Close
)
ToDesk = Ready | Progress | Answer | Fatal
