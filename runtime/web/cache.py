"""The cache as its users see it: pinned prefixes, and the tree."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from ...radix_cache import draw, to_svg
from ..desk.desk import Desk
from ..desk.prompts import Prompt, prompts_of
from ..desk.tokens import Shown, shown
from ..errors import InvalidRequestError
from ..images import readable
from .errors import read_json
from .messages import checked_messages
from .native import desk_of

routes = web.RouteTableDef()

MAX_NODES = 10_000
MAX_TOKENS_A_NODE = 64


class PinRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keep a prefix in the cache: exactly one of `text`, `input_ids`, `segments` and `messages`.

    Attributes:
        name: of the pin; an older one of that name is replaced.
        messages: a conversation, written by the model's chat template without a prompt to go on.
        ttl_s: seconds until it ends by itself.
        priority: for the eviction policy "priority", which holds on after the pin.
        extra_key: the namespace, as in `POST /generate`.
    """

    name: str
    text: str | None = None
    input_ids: list[int] | None = None
    segments: list[str | list[int] | Shown] | None = None
    messages: list[dict[str, Any]] | None = None
    ttl_s: float | None = None
    priority: int = 0
    extra_key: str = ""

    async def prompt(self, desk: Desk) -> Prompt:
        """Return the prefix as ids, with its images."""
        given = [
            name
            for name in ("text", "input_ids", "segments", "messages")
            if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise InvalidRequestError(
                f"a pin needs exactly one of text, input_ids, segments and messages, not {given}"
            )
        if self.messages is not None:
            urls: list[str] = []
            messages = checked_messages(self.messages, urls)
            mark = desk.pictures.mark
            ids = desk.tokenizer.render(messages, add_generation_prompt=False, image_mark=mark)
            seen = [await desk.pictures.load_all(urls)]
            [prompt], _ = prompts_of(desk, input_ids=[*ids], seen=seen)
            return prompt
        segments = self.segments or [self.input_ids or self.text or ""]
        seen = [await desk.pictures.load_all(shown(segments))]
        [prompt], _ = prompts_of(desk, segments=segments, seen=seen)
        return prompt


@routes.post("/cache/pins")
async def post_pin(request: web.Request) -> web.Response:
    """Compute a prefix, if it is not cached, and pin it; see `PinRequest`."""
    desk = desk_of(request)
    try:
        asked = msgspec.convert(await read_json(request), PinRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"the request is malformed: {error}") from error
    tokens, images = await asked.prompt(desk)
    pinned = await desk.pin(
        asked.name,
        tokens,
        images,
        namespace=asked.extra_key,
        ttl_s=asked.ttl_s,
        priority=asked.priority,
    )
    return web.json_response(msgspec.structs.asdict(pinned))


@routes.get("/cache/pins")
async def get_pins(request: web.Request) -> web.Response:
    """List what is pinned, the oldest first."""
    pins = await desk_of(request).pins()
    return web.json_response({"pins": [msgspec.structs.asdict(pin) for pin in pins]})


@routes.delete("/cache/pins/{name}")
async def delete_pin(request: web.Request) -> web.Response:
    """Let a pinned prefix go."""
    namespace = request.query.get("extra_key", "")
    await desk_of(request).unpin(request.match_info["name"], namespace=namespace)
    return web.json_response({"unpinned": request.match_info["name"]})


@routes.post("/cache/save")
async def post_save(request: web.Request) -> web.Response:
    """Write the cache to the file in `--cache-dir` now."""
    return web.json_response({"saved_tokens": await desk_of(request).save_cache()})


@routes.get("/cache/tree")
async def get_tree(request: web.Request) -> web.Response:
    """Show the tree, parents first: `format` json (the default), text or svg.

    `max_nodes` bounds the nodes and `max_tokens` what is shown of each one's tokens.
    """
    desk = desk_of(request)
    nodes = await desk.browse(
        max_nodes=_number(request, "max_nodes", 200, MAX_NODES),
        max_tokens=_number(request, "max_tokens", 16, MAX_TOKENS_A_NODE),
    )
    decode = readable(desk.tokenizer.decode)
    match request.query.get("format", "json"):
        case "text":
            return web.Response(text=draw(nodes, decode=decode) + "\n")
        case "svg":
            picture = to_svg(nodes, decode=decode, max_nodes=len(nodes))
            return web.Response(text=picture, content_type="image/svg+xml")
        case "json":
            listed = [msgspec.to_builtins(node) | {"text": decode(node.tokens)} for node in nodes]
            return web.json_response({"nodes": listed})
        case other:
            raise InvalidRequestError(f"format is {other!r}; it must be json, text or svg")


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise InvalidRequestError(f"{name} is {text!r}; it must be a number from 1 to {most}")
    return int(text)
