"""Embeddings: a prompt's hidden states after the last norm, pooled to one vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidRequestError
from ..messages import Pooling
from ..request import SamplingParams
from .desk import Desk
from .prompts import gather, names_of, prompts_of
from .streams import Stream, meta_info

MAX_INPUTS = 2048  # of one request, as OpenAI's

Result = dict[str, Any]
Vector = NDArray[np.float32]

# Fields of SGLang's request that change no embedding.
_IGNORED = ("log_metrics", "modalities", "sampling_params")


class EncodeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /encode`, and the arguments of `Engine.encode`.

    Exactly one of `text` and `input_ids` is the prompt, or a batch of them. What is not said of the
    pooling is as the checkpoint has it.
    """

    text: str | list[str] | None = None
    input_ids: list[int | list[int]] | None = None
    rid: str | list[str] | None = None
    pooling: Pooling | None = None
    normalize: bool | None = None  # to length 1
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None  # keep the first of them
    priority: int | None = None
    extra_key: str | None = None

    @classmethod
    def of(cls, fields: dict[str, Any]) -> EncodeRequest:
        """Read a request as clients write it.

        Raises:
            InvalidRequestError: an unknown field, or one of a wrong type.
        """
        try:
            return msgspec.convert({k: v for k, v in fields.items() if k not in _IGNORED}, cls)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(f"the request is malformed: {error}") from error


@dataclass(frozen=True, slots=True)
class Embedding:
    """One prompt's vector, and its stream at the end."""

    vector: Vector  # [dimensions] f32
    stream: Stream

    def result(self) -> Result:
        """In SGLang's shape: `embedding` and `meta_info`."""
        return {"embedding": self.vector.tolist(), "meta_info": meta_info(self.stream)}


async def encode(desk: Desk, request: EncodeRequest) -> Result | list[Result]:
    """Embed one prompt, or each of a batch.

    Raises:
        InvalidRequestError: any of it cannot be served; nothing has run.
    """
    found, is_batch = await embed(desk, request)
    results = [embedding.result() for embedding in found]
    return results if is_batch else results[0]


async def embed(desk: Desk, request: EncodeRequest) -> tuple[list[Embedding], bool]:
    """Embed the prompts of a request; also say whether it was a batch."""
    prompts, is_batch = prompts_of(desk, text=request.text, input_ids=request.input_ids)
    if len(prompts) > MAX_INPUTS:
        raise InvalidRequestError(f"{len(prompts)} inputs; at most {MAX_INPUTS} are allowed")
    sampling = SamplingParams(max_new_tokens=0)
    for tokens, _ in prompts:
        desk.verify(tokens, sampling, None)
    names = names_of(request.rid, len(prompts), is_batch)
    work = [
        _one(desk, request, tokens, name) for (tokens, _), name in zip(prompts, names, strict=True)
    ]
    return await gather(work), is_batch


async def _one(desk: Desk, request: EncodeRequest, tokens: Sequence[int], name: str) -> Embedding:
    model = desk.model
    submitted = desk.submit(
        tokens,
        SamplingParams(max_new_tokens=0),
        rid=name,
        namespace=request.extra_key or "",
        priority=request.priority or 0,
        pooling=request.pooling or model.pooling,
    )
    with submitted as stream:
        await desk.finish(stream)
    if not stream.embedding:  # aborted from outside
        raise InvalidRequestError(f"the request {name!r} was aborted")
    vector = np.frombuffer(stream.embedding, "<f4")
    if request.dimensions is not None:
        if request.dimensions > len(vector):
            raise InvalidRequestError(
                f"dimensions is {request.dimensions}; the model has {len(vector)}"
            )
        vector = vector[: request.dimensions]
    is_normal = model.normalizes if request.normalize is None else request.normalize
    return Embedding(_normalised(vector) if is_normal else vector, stream)


def _normalised(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector
