"""The front desk: hands sequences to the scheduler and feeds what comes back to their streams.

Lives on one event loop. Everything that speaks to the model — HTTP handlers, the offline engine,
the program machine — goes through `Desk.submit` and reads a `Stream`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from ...radix_cache import NodeInfo
from ..config import EngineConfig
from ..errors import (
    EngineClosedError,
    EngineError,
    InvalidRequestError,
    ModelLoadError,
    NotFoundError,
    RequestTimeoutError,
)
from ..images import Image, keyed_ids
from ..ipc import DeskEnd
from ..messages import (
    Abort,
    Answer,
    Ask,
    Browse,
    Close,
    Drop,
    Fatal,
    Flush,
    Hold,
    LogprobRequest,
    Pin,
    Pinned,
    Pooling,
    Progress,
    Ready,
    Save,
    State,
    Submit,
    ToDesk,
    Unpin,
)
from ..request import RequestId, SamplingParams
from ..tokenizer import Tokenizer
from .check import Checker
from .pictures import Pictures
from .showing import Showing
from .streams import Stream, closed_error

MAX_TOP_LOGPROBS = 1024  # each is sent for each position

Call = Ask | Browse | Flush | Pin | Save | Unpin  # what the scheduler answers


class Desk:
    """The desk of one scheduler."""

    def __init__(self, end: DeskEnd, config: EngineConfig) -> None:
        self.config = config
        self._end = end
        self._streams: dict[RequestId, Stream] = {}
        self._names: set[str] = set()  # of the streams, as their senders chose them
        self._calls: dict[int, asyncio.Future[Answer]] = {}
        self._call_ids = itertools.count()
        self._checker = Checker()
        self._showing = Showing(end.send)
        self.pictures = Pictures(config.model.model_path)
        self._random = random.Random(config.random_seed)
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._closed: str | None = None
        self.lost = asyncio.Event()  # set when the scheduler is gone
        self.last_sign_of_life = time.monotonic()
        self._reader = asyncio.create_task(self._read())

    async def start(self, load_tokenizer: Callable[[], Tokenizer]) -> None:
        """Load the tokenizer while the scheduler loads the model; return when both are there.

        Raises:
            ModelLoadError: either cannot be loaded.
        """
        self.tokenizer, self.model = await asyncio.gather(
            asyncio.to_thread(load_tokenizer), self._ready
        )
        self.pictures.open(self.model.vision, self.tokenizer)

    @property
    def max_prompt_tokens(self) -> int:
        """The longest prompt that is taken, in tokens."""
        bound = min(self.model.context_length, self.model.pool_tokens) - 1
        limit = self.config.schedule.max_input_tokens
        return bound if limit is None else min(bound, limit)

    @contextmanager
    def submit(
        self,
        tokens: Sequence[int],
        sampling: SamplingParams,
        *,
        rid: str | None = None,
        seed: int | None = None,
        logprobs: LogprobRequest | None = None,
        options: Sequence[list[int]] = (),
        images: Sequence[Image] = (),
        namespace: str = "",
        priority: int = 0,
        wants_contract: bool = False,
        timeout_s: float | None = None,
        pooling: Pooling | None = None,
    ) -> Iterator[Stream]:
        """Submit one sequence, or options to score; leaving the context before its end aborts it.

        After `timeout_s`, or the configuration's `request_timeout_s`, it ends wherever it is, and
        whoever reads the stream meets a `RequestTimeoutError`.

        Raises:
            InvalidRequestError: the prompt or a parameter cannot be served.
            EngineClosedError: there is no scheduler any more.
        """
        if self._closed is not None:
            raise closed_error(self._closed)
        if pooling is None and self.config.model.is_embedding:
            raise InvalidRequestError(
                "this server was started with --is-embedding; it embeds and does not generate"
            )
        self.verify([*tokens, *max(options, key=len, default=())], sampling, logprobs)
        self._verify_ids(token for option in options for token in option)
        name = rid or uuid.uuid4().hex
        if name in self._names:
            raise InvalidRequestError(f"Duplicate request ID detected: {name!r} is still running")
        # On the wire each sequence has an id of its own: late news of one that was aborted must
        # not reach the next that bears its name.
        request_id = RequestId(f"{next(self._call_ids)}")
        submit = Submit(
            rid=request_id,
            tokens=list(tokens),
            sampling=sampling,
            seed=self.seed(sampling) if seed is None else seed,
            stop_ids=()
            if sampling.ignore_eos
            else tuple({*self.model.eos_token_ids, *sampling.stop_token_ids}),
            logprobs=logprobs,
            options=list(options),
            images=tuple(image.span for image in images),
            namespace=namespace,
            priority=priority,
            wants_contract=wants_contract,
            pooling=pooling,
        )
        self._showing.begin(images)
        try:
            self._end.send(submit)
        except (UnicodeEncodeError, OverflowError) as error:
            self._showing.end(images)
            raise InvalidRequestError(f"the request cannot be sent on: {error}") from error
        stream = Stream(submit, self.tokenizer, name, self._checker)
        self._streams[request_id] = stream
        self._names.add(name)
        limit_s = self.config.schedule.request_timeout_s if timeout_s is None else timeout_s
        timer = None
        if limit_s is not None:
            timer = asyncio.get_running_loop().call_later(limit_s, self._expire, stream, limit_s)
        try:
            yield stream
        finally:
            if timer is not None:
                timer.cancel()
            del self._streams[request_id]
            self._names.discard(name)
            if stream.finish is None and self._closed is None:
                self._end.send(Abort(rid=request_id, quiet=True))
            if self._closed is None:
                self._showing.end(images)

    def _expire(self, stream: Stream, limit_s: float) -> None:
        """End a request whose time is over; its reader, who may be slow, is not waited for."""
        if stream.finish is None and self._closed is None:
            self._end.send(Abort(rid=stream.submit.rid, quiet=True))
            stream.fail(
                RequestTimeoutError(
                    f"the request did not end within {limit_s:g} s: {len(stream.tokens)} tokens "
                    "were generated; ask for fewer (max_new_tokens), or for more time (timeout_s)"
                )
            )

    def seed(self, sampling: SamplingParams) -> int:
        """The request's own seed, or the next of the engine's."""
        if sampling.sampling_seed is not None:
            return sampling.sampling_seed
        return self._random.getrandbits(63)

    def verify(
        self, tokens: Sequence[int], sampling: SamplingParams, logprobs: LogprobRequest | None
    ) -> None:
        """Check a request against the model's limits before the scheduler sees it."""
        sampling.verify(self.model.vocab_size)
        count = len(tokens)
        if count == 0:
            raise InvalidRequestError("the prompt is empty; give at least one token")
        if count > self.max_prompt_tokens:
            raise InvalidRequestError(
                f"The input ({count} tokens) is longer than the model's context length allows "
                f"({self.max_prompt_tokens} tokens)."
            )
        limit = min(self.model.context_length, self.model.pool_tokens)
        wanted = sampling.max_new_tokens
        if wanted is not None and wanted > self.model.context_length:
            raise InvalidRequestError(
                f"Requested token count exceeds the model's maximum context length of {limit} "
                f"tokens: {count} in the prompt and {wanted} to generate."
            )
        self._verify_ids(tokens)
        if logprobs is not None:
            self._verify_logprobs(logprobs, count)

    def _verify_ids(self, tokens: Iterable[int]) -> None:
        bad = next((t for t in tokens if not 0 <= t < self.model.vocab_size), None)
        if bad is not None:
            raise InvalidRequestError(
                f"token id {bad} is not in the vocabulary of {self.model.vocab_size}"
            )

    def _verify_logprobs(self, logprobs: LogprobRequest, count: int) -> None:
        size = self.model.vocab_size
        if not -1 <= logprobs.start <= count:
            raise InvalidRequestError(
                f"logprob_start_len is {logprobs.start}, beyond the prompt's {count} tokens; it "
                "must be a position of the prompt, or -1 for the output alone"
            )
        if not 0 <= logprobs.top <= MAX_TOP_LOGPROBS:
            raise InvalidRequestError(
                f"top_logprobs_num is {logprobs.top}; it must be between 0 and {MAX_TOP_LOGPROBS}"
            )
        if not all(0 <= token < size for token in logprobs.token_ids):
            raise InvalidRequestError(
                f"token_ids_logprob must be ids below the vocabulary's {size}"
            )

    async def finish(self, stream: Stream) -> Stream:
        """Read a stream to its end."""
        while stream.finish is None:
            await stream.changed()
        if stream.error is not None:
            raise stream.error
        return stream

    async def prefill(
        self, tokens: Sequence[int], images: Sequence[Image] = (), *, namespace: str = ""
    ) -> None:
        """Compute a prefix that others will have, so that the cache has it."""
        nothing = SamplingParams(max_new_tokens=0)
        with self.submit(tokens, nothing, images=images, namespace=namespace) as stream:
            await self.finish(stream)

    def hold(self, tokens: Sequence[int], images: Sequence[Image] = ()) -> int:
        """Keep what is cached of a prefix, as far as the pins' quota allows; return a key."""
        key = next(self._call_ids)
        if self._closed is None:
            self._end.send(Hold(key=key, tokens=keyed_ids(tokens, images)))
        return key

    def drop(self, key: int) -> None:
        """Let go of a `hold`."""
        if self._closed is None:
            self._end.send(Drop(key=key))

    async def pin(
        self,
        name: str,
        tokens: Sequence[int],
        images: Sequence[Image] = (),
        *,
        namespace: str = "",
        ttl_s: float | None = None,
        priority: int = 0,
    ) -> Pinned:
        """Compute a prefix and keep it in the cache under a name; an old pin of it is replaced.

        Raises:
            InvalidRequestError: the prompt cannot be served, or the pins' quota is used up.
        """
        if self.config.cache.disable_radix_cache:
            raise InvalidRequestError("nothing can be pinned: this server runs without its cache")
        if not name or name.startswith("~"):
            raise InvalidRequestError(
                f"a pin cannot be named {name!r}; give it a word that begins without ~"
            )
        await self.prefill(tokens, images, namespace=namespace)
        answer = await self._call(
            lambda call: Pin(
                call=call,
                name=name,
                tokens=keyed_ids(tokens, images),
                namespace=namespace,
                ttl_s=ttl_s,
                priority=priority,
            )
        )
        if answer.error is not None:
            raise InvalidRequestError(answer.error)
        return answer.pins[0]

    async def unpin(self, name: str, *, namespace: str = "") -> None:
        """Let go of a pin; its prefix stays until room is needed.

        Raises:
            NotFoundError: there is none of that name.
        """
        answer = await self._call(lambda call: Unpin(call=call, name=name, namespace=namespace))
        if answer.error is not None:
            raise NotFoundError(answer.error)

    async def pins(self) -> list[Pinned]:
        """What is pinned, the oldest first; programs' own holds have names that begin with `~`."""
        return (await self._call(lambda call: Ask(call=call))).pins

    async def browse(self, *, max_nodes: int, max_tokens: int) -> list[NodeInfo]:
        """The first nodes of the cache's tree, parents first, with each one's first tokens."""
        answer = await self._call(
            lambda call: Browse(call=call, max_nodes=max_nodes, max_tokens=max_tokens)
        )
        return answer.nodes

    def abort(self, prefix: str | None) -> int:
        """Abort the requests whose id begins with `prefix` (all with `None`); return how many.

        They end with `finish_reason` "abort" and the text they have.
        """
        found = [
            rid
            for rid, stream in self._streams.items()
            if prefix is None or stream.name.startswith(prefix)
        ]
        if self._closed is None:
            for rid in found:
                self._end.send(Abort(rid=rid))
        return len(found)

    @property
    def open_requests(self) -> int:
        """Sequences that have not ended."""
        return len(self._streams)

    async def state(self) -> State:
        """The scheduler in numbers."""
        answer = await self._call(lambda call: Ask(call=call))
        assert answer.state is not None
        return answer.state

    async def flush_cache(self) -> bool:
        """Forget every cached prefix; false, and nothing done, while requests run."""
        return (await self._call(lambda call: Flush(call=call))).done

    async def save_cache(self) -> int:
        """Write the cache to the file in `cache_dir`; return how many tokens that holds.

        Nothing is computed meanwhile.

        Raises:
            InvalidRequestError: this engine has no `cache_dir`.
            EngineError: the file cannot be written.
        """
        if self.config.cache.cache_dir is None or self.config.cache.disable_radix_cache:
            raise InvalidRequestError(
                "the cache cannot be saved: start the server with --cache-dir, and with its cache"
            )
        answer = await self._call(lambda call: Save(call=call))
        if answer.error is not None:
            raise EngineError(answer.error)
        return answer.saved_tokens

    async def _call(self, message: Callable[[int], Call]) -> Answer:
        if self._closed is not None:
            raise closed_error(self._closed)
        call = next(self._call_ids)
        self._calls[call] = asyncio.get_running_loop().create_future()
        self._end.send(message(call))
        try:
            return await self._calls[call]
        finally:
            del self._calls[call]

    async def _read(self) -> None:
        while True:
            message = await self._end.receive()
            self.last_sign_of_life = time.monotonic()
            self._take(message)

    def _take(self, message: ToDesk) -> None:
        match message:
            case Progress(deltas=deltas, rids=rids, tokens=tokens):
                for rid, token in zip(rids, tokens, strict=True):
                    stream = self._streams.get(rid)
                    if stream is not None and stream.take(token):
                        self._end.send(Abort(rid=rid, quiet=True))
                for delta in deltas:
                    stream = self._streams.get(delta.rid)
                    if stream is not None and stream.feed(delta):
                        self._end.send(Abort(rid=delta.rid, quiet=True))
            case Answer(call=call):
                waiting = self._calls.get(call)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            case Ready():
                self._ready.set_result(message)
            case Fatal(error=error):
                self.fail(error)

    def fail(self, reason: str) -> None:
        """Record that the scheduler is gone: every open request and call ends with an error."""
        if self._closed is not None:
            return
        self._closed = reason
        self.lost.set()
        if not self._ready.done():
            self._ready.set_exception(ModelLoadError(reason))
        error: EngineError = closed_error(reason)
        for stream in self._streams.values():
            stream.fail(error)
        for waiting in self._calls.values():
            if not waiting.done():
                waiting.set_exception(EngineClosedError(str(error)))

    async def close(self) -> None:
        """Tell the scheduler to end, and end every open request."""
        if self._closed is None:
            self._end.send(Close())
            self.fail("the engine was closed")
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        self._checker.close()
        self._end.close()
