"""Embeddings over HTTP: SGLang's route and OpenAI's."""

from __future__ import annotations

import base64
from typing import Any

from aiohttp import web

from ..desk.encode import Embedding, EncodeRequest, embed, encode
from ..errors import InvalidRequestError
from .errors import read_json
from .native import desk_of

routes = web.RouteTableDef()

FORMATS = ("float", "base64")
# Fields of OpenAI's request that are `EncodeRequest`'s by the same name.
_SAME = ("dimensions", "pooling", "normalize", "rid", "priority", "extra_key")
_KNOWN = {*_SAME, "input", "model", "encoding_format", "user", "cache_salt"}


@routes.post("/encode")
@routes.put("/encode")
async def post_encode(request: web.Request) -> web.Response:
    """Embed one prompt or many; see `EncodeRequest`."""
    asked = EncodeRequest.of(await read_json(request))
    return web.json_response(await encode(desk_of(request), asked))


@routes.post("/v1/embeddings")
async def post_embeddings(request: web.Request) -> web.Response:
    """Embed `input`: a text, a list of ids, or a list of either."""
    fields = await read_json(request)
    if unknown := sorted(name for name in fields if name not in _KNOWN):
        raise InvalidRequestError(f"not supported by this server: {', '.join(unknown)}")
    form = fields.get("encoding_format") or "float"
    if form not in FORMATS:
        raise InvalidRequestError(f"encoding_format is {form!r}; it must be float or base64")
    desk = desk_of(request)
    found, _ = await embed(desk, _native(fields))
    tokens = sum(len(each.stream.submit.tokens) for each in found)
    return web.json_response(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _written(each, form)}
                for index, each in enumerate(found)
            ],
            "model": fields.get("model") or desk.config.model_name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _native(fields: dict[str, Any]) -> EncodeRequest:
    given = fields.get("input")
    first = given[0] if isinstance(given, list) and given else given
    if not isinstance(given, str | list) or given in ("", []):
        raise InvalidRequestError("input must be a text or ids, or a list of either, not empty")
    same = {name: fields[name] for name in _SAME if fields.get(name) is not None}
    salt = {"extra_key": fields["cache_salt"]} if fields.get("cache_salt") else {}
    return EncodeRequest.of(
        {**same, **salt, "text" if isinstance(first, str) else "input_ids": given}
    )


def _written(embedding: Embedding, form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(embedding.vector.astype("<f4").tobytes()).decode()
    return [float(number) for number in embedding.vector]
