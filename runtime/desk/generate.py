"""The native request: one prompt or many, whole or streamed, with SGLang's fields and shapes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import msgspec

from ..errors import InvalidRequestError
from ..images import Image
from ..messages import LogprobRequest
from ..request import SamplingParams, sampling_params
from .desk import Desk
from .prompts import gather, names_of, prompts_of
from .streams import Stream, meta_info
from .tokens import Shown, shown

Result = dict[str, Any]

# Fields of SGLang's request that this server cannot honour yet: refused when they ask for
# something.
_UNSUPPORTED = (
    "input_embeds",
    "video_data",
    "audio_data",
    "lora_path",
    "session_params",
    "custom_logit_processor",
    "return_hidden_states",
)
# Fields that change no token.
_IGNORED = ("log_metrics", "no_logs", "custom_labels", "routing_key", "modalities")


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /generate`, and the arguments of `Engine.generate`.

    Exactly one of `text`, `input_ids` and `segments` is the prompt. `segments` is one prompt in
    pieces: strings are tokenised each on its own, lists are token ids as they are, `{"image": url}`
    is an image; so a client can send back generated ids and never has them re-encoded.
    """

    text: str | list[str] | None = None
    input_ids: list[int | list[int]] | None = None
    segments: list[str | list[int] | Shown] | None = None
    image_data: Any = None  # URLs or base64: one, a list of a prompt's, or one of these a prompt
    sampling_params: dict[str, Any] | list[dict[str, Any]] | None = None
    rid: str | list[str] | None = None
    return_logprob: bool | list[bool] | None = None
    logprob_start_len: int | list[int] | None = None
    top_logprobs_num: int | list[int] | None = None
    token_ids_logprob: list[int | list[int]] | None = None
    return_text_in_logprobs: bool | None = None
    stream: bool | None = None
    priority: int | None = None
    timeout_s: float | None = None  # seconds until it ends wherever it is; None: the server's
    extra_key: str | None = None
    return_contract: bool | None = None  # what is enforced of a schema, keyword by keyword

    @classmethod
    def of(cls, fields: dict[str, Any]) -> GenerateRequest:
        """Read a request as clients write it.

        Raises:
            InvalidRequestError: an unknown field, one that is not supported, or one of a wrong
            type.
        """
        for name in _UNSUPPORTED:
            if fields.get(name):
                raise InvalidRequestError(f"{name} is not supported yet; leave it out")
        dropped = {*_UNSUPPORTED, *_IGNORED}
        try:
            return msgspec.convert({k: v for k, v in fields.items() if k not in dropped}, cls)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(f"the request is malformed: {error}") from error


@dataclass(frozen=True, slots=True)
class Item:
    """One sequence to generate."""

    tokens: list[int]
    images: list[Image]
    sampling: SamplingParams
    rid: str
    seed: int
    logprobs: LogprobRequest | None


@dataclass(frozen=True, slots=True)
class Order:
    """A request taken apart: its sequences, and whether the answer is a list."""

    request: GenerateRequest
    items: list[Item]
    is_list: bool

    def result(self, stream: Stream) -> Result:
        """One of the order's sequences so far.

        A client that sends segments is told besides which ids to send back: the first `kept_tokens`
        of `output_ids`, then `tail_text`, which no whole token covers.
        """
        result = result_of(stream, with_text=bool(self.request.return_text_in_logprobs))
        if self.request.segments is not None:
            snapshot = stream.snapshot()
            result["meta_info"]["kept_tokens"] = snapshot.kept
            result["meta_info"]["tail_text"] = snapshot.tail
        return result


async def see(desk: Desk, request: GenerateRequest) -> list[list[Image]]:
    """Prepare the images of a request; nothing where it has none.

    Returns:
        Of each prompt, in the order of their placeholders.

    Raises:
        InvalidRequestError: the model sees none, or one cannot be used.
    """
    given = request.image_data
    if request.segments is not None:
        if given:
            raise InvalidRequestError('images stand among the segments, as {"image": url}')
        return [await desk.pictures.load_all(shown(request.segments))]
    if not given:
        return []
    if not isinstance(given, list):
        given = [given]
    if not (isinstance(request.text, list) or _is_batch(request.input_ids)):
        given = [given]
    each = [urls if isinstance(urls, list) else [urls] for urls in given]
    each = [[url for url in urls if url is not None] for urls in each]
    if not all(isinstance(url, str) for urls in each for url in urls):
        raise InvalidRequestError(
            "image_data must be a URL or base64, a list of them, or a list with one of these for "
            "each prompt"
        )
    return [await desk.pictures.load_all(urls) for urls in each]


def take_order(desk: Desk, request: GenerateRequest, seen: Sequence[Sequence[Image]] = ()) -> Order:
    """Tokenise and check a whole request before any of it runs.

    Args:
        desk: of the model.
        request: as it came.
        seen: its images, as `see` gives them.

    Raises:
        InvalidRequestError: any part of it cannot be served.
    """
    if request.timeout_s is not None and not 0 < request.timeout_s < float("inf"):
        raise InvalidRequestError(f"timeout_s is {request.timeout_s!r}; it must be more than 0")
    prompts, is_batch = prompts_of(
        desk,
        text=request.text,
        input_ids=request.input_ids,
        segments=request.segments,
        seen=seen,
    )
    items: list[Item] = []
    names = names_of(request.rid, len(prompts), is_batch)
    for index, (tokens, images) in enumerate(prompts):
        fields = _pick(request.sampling_params, index, len(prompts), "sampling_params")
        sampling = sampling_params(fields)
        logprobs = _logprobs(request, index, len(prompts), is_batch)
        desk.verify(tokens, sampling, logprobs)
        seed = desk.seed(sampling)
        for sample in range(sampling.n):
            rid = names[index] if sampling.n == 1 else f"{names[index]}_{sample}"
            own_seed = (seed + sample) % (1 << 63)
            items.append(Item(tokens, images, sampling, rid, own_seed, logprobs))
    return Order(request, items, is_batch or len(items) > 1)


async def generate(desk: Desk, order: Order) -> Result | list[Result]:
    """Run an order to its end."""
    results = await gather([_one(desk, order, item) for item in order.items])
    return results if order.is_list else results[0]


async def generate_stream(
    desk: Desk, order: Order, *, incremental: bool = False
) -> AsyncGenerator[Result, None]:
    """Run an order and yield each sequence's progress.

    Chunks hold everything so far or, with `incremental`, only what is new. The chunks of a list
    carry `index`. News that come faster than they are read are merged.
    """
    with ExitStack() as stack:
        streams = [stack.enter_context(_submit(desk, order, item)) for item in order.items]
        waiting = {
            asyncio.create_task(stream.changed()): index for index, stream in enumerate(streams)
        }
        sent = [Sent() for _ in streams]
        try:
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    index = waiting.pop(task)
                    task.result()
                    stream = streams[index]
                    if stream.finish is None:
                        waiting[asyncio.create_task(stream.changed())] = index
                    chunk = order.result(stream)
                    if incremental:
                        sent[index].cut(chunk)
                    if order.is_list:
                        chunk["index"] = index
                    yield chunk
        finally:
            for task in waiting:
                task.cancel()
            # Awaited, so that nothing is left of them, nor an error that nobody has looked at.
            await asyncio.gather(*waiting, return_exceptions=True)


def result_of(stream: Stream, *, with_text: bool = False) -> Result:
    """A sequence so far in SGLang's shape: `text`, `output_ids`, `meta_info`."""
    snapshot = stream.snapshot()
    meta = meta_info(stream, with_text=with_text)
    return {"text": snapshot.text, "output_ids": snapshot.tokens, "meta_info": meta}


@dataclass(slots=True)
class Sent:
    """How much of a sequence has been sent in deltas."""

    text: int = 0
    tokens: int = 0
    logprobs: int = 0

    def cut(self, chunk: Result) -> None:
        """Reduce a chunk that holds everything to what is new, and count it as sent."""
        meta = chunk["meta_info"]
        text, tokens = len(chunk["text"]), len(chunk["output_ids"])
        logprobs = meta.get("output_token_logprobs_length", 0)
        chunk["text"] = chunk["text"][self.text :]
        chunk["output_ids"] = chunk["output_ids"][self.tokens :]
        for name in ("token_logprobs", "top_logprobs", "token_ids_logprobs", "token_distortion"):
            if f"output_{name}" in meta:
                meta[f"output_{name}"] = meta[f"output_{name}"][self.logprobs :]
        self.text, self.tokens, self.logprobs = text, tokens, logprobs


async def _one(desk: Desk, order: Order, item: Item) -> Result:
    with _submit(desk, order, item) as stream:
        await desk.finish(stream)
        return order.result(stream)


def _submit(desk: Desk, order: Order, item: Item) -> Any:
    return desk.submit(
        item.tokens,
        item.sampling,
        images=item.images,
        rid=item.rid,
        seed=item.seed,
        logprobs=item.logprobs,
        namespace=order.request.extra_key or "",
        priority=order.request.priority or 0,
        timeout_s=order.request.timeout_s,
        wants_contract=bool(order.request.return_contract),
    )


def _is_batch(ids: list[Any] | None) -> bool:
    return isinstance(ids, list) and bool(ids) and isinstance(ids[0], list)


def _pick(value: Any, index: int, count: int, name: str) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) != count:
        raise InvalidRequestError(f"{name} has {len(value)} entries for {count} prompts")
    return value[index]


def _logprobs(
    request: GenerateRequest, index: int, count: int, is_batch: bool
) -> LogprobRequest | None:
    if not _pick(request.return_logprob, index, count, "return_logprob"):
        return None
    ids: Any = request.token_ids_logprob or []
    if ids and isinstance(ids[0], list):
        ids = _pick(ids, index, count, "token_ids_logprob")
    if not isinstance(ids, list) or not all(isinstance(token, int) for token in ids):
        raise InvalidRequestError(
            "token_ids_logprob must be a list of ids, or a list of such lists"
        )
    start = _pick(request.logprob_start_len, index, count, "logprob_start_len")
    top = _pick(request.top_logprobs_num, index, count, "top_logprobs_num")
    return LogprobRequest(start=-1 if start is None else start, top=top or 0, token_ids=tuple(ids))
