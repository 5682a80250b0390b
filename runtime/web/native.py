"""The native routes: generation, scoring, and what tells about or controls the server."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import web

from ..desk.desk import Desk
from ..desk.generate import GenerateRequest, generate, generate_stream, see, take_order
from ..desk.info import server_info
from ..desk.scoring import score_choices
from ..desk.tokens import Shown, Tokens, shown
from ..errors import InvalidRequestError
from .errors import native_event, read_json
from .sse import EventStream

routes = web.RouteTableDef()

HEALTHY_S = 20.0  # a scheduler that has shown no sign of life for so long is not healthy


def desk_of(request: web.Request) -> Desk:
    """The desk behind a request's app."""
    desk: Desk = request.app["desk"]
    return desk


@routes.post("/generate")
@routes.put("/generate")
async def post_generate(request: web.Request) -> web.StreamResponse:
    """Generate for one prompt or many; see `GenerateRequest`."""
    desk = desk_of(request)
    fields = await read_json(request)
    if not fields.get("stream"):
        asked = GenerateRequest.of(fields)
        order = take_order(desk, asked, await see(desk, asked))
        return web.json_response(await generate(desk, order))
    incremental: bool = request.app["server"].incremental_streaming_output
    async with EventStream(request) as events:
        # On this route, as in SGLang, every error of a streaming request is an event under 200.
        try:
            asked = GenerateRequest.of(fields)
            order = take_order(desk, asked, await see(desk, asked))
            async with aclosing(generate_stream(desk, order, incremental=incremental)) as chunks:
                async for chunk in chunks:
                    await events.send(chunk)
        except ConnectionError:
            raise
        except Exception as error:
            await events.send(native_event(error))
    return events.response


class SelectRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Score choices as continuations of a prompt in pieces (see `GenerateRequest.segments`).

    The last piece, if it is text, may share a token with the choices.
    """

    segments: list[str | list[int] | Shown]
    choices: list[str]
    unconditional: bool = False


@routes.post("/select")
async def post_select(request: web.Request) -> web.Response:
    """Return `choices`, each one's tokens and log-probabilities, and `meta_info`."""
    desk = desk_of(request)
    try:
        asked = msgspec.convert(await read_json(request), SelectRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"the request is malformed: {error}") from error
    seen = await desk.pictures.load_all(shown(asked.segments))
    state = Tokens.joined(asked.segments, seen, desk.pictures, desk.tokenizer)
    scores = await score_choices(desk, state, asked.choices, unconditional=asked.unconditional)
    return web.json_response(msgspec.to_builtins(scores))


@routes.get("/health")
@routes.get("/health_generate")
@routes.get("/ping")
async def get_health(request: web.Request) -> web.Response:
    """200 while the scheduler's loop turns, as observed; 503 otherwise, and while draining."""
    silent = time.monotonic() - desk_of(request).last_sign_of_life
    healthy = silent < HEALTHY_S and not request.app["draining"].is_set()
    return web.Response(status=200 if healthy else 503)


@routes.get("/")
async def get_root(request: web.Request) -> web.Response:
    """Say what this is."""
    return web.Response(text=f"RadixLM serves {desk_of(request).config.model_name}\n")


@routes.get("/get_model_info")
@routes.get("/model_info")
async def get_model_info(request: web.Request) -> web.Response:
    """Facts about the model.

    `role_format` is how the turns of its conversations are written; `image_marks`, what stands
    before and behind an image in them.
    """
    desk = desk_of(request)
    config = desk.config.model
    return web.json_response(
        {
            "model_path": config.model_path,
            "tokenizer_path": config.tokenizer_path or config.model_path,
            "is_generation": not config.is_embedding,
            "preferred_sampling_params": None,
            "weight_version": "default",
            "has_image_understanding": desk.model.vision is not None,
            "image_marks": desk.pictures.around,
            "has_audio_understanding": False,
            "model_type": desk.model.model_type,
            "architectures": desk.model.architectures,
            "role_format": msgspec.to_builtins(desk.tokenizer.role_format()),
        }
    )


@routes.get("/get_server_info")
@routes.get("/server_info")
async def get_server_info(request: web.Request) -> web.Response:
    """Settings and the scheduler's state, flat."""
    return web.json_response(await server_info(desk_of(request)))


@routes.get("/flush_cache")
@routes.post("/flush_cache")
async def flush_cache(request: web.Request) -> web.Response:
    """Forget every cached prefix; 400 while requests run."""
    if await desk_of(request).flush_cache():
        return web.Response(text="Cache flushed.\n")
    return web.Response(status=400, text="Cache not flushed: requests are running or waiting.\n")


@routes.post("/abort_request")
async def abort_request(request: web.Request) -> web.Response:
    """Abort the requests whose id begins with `rid`, or all with `abort_all`."""
    fields = await read_json(request)
    rid = fields.get("rid")
    if not fields.get("abort_all") and not (isinstance(rid, str) and rid):
        raise InvalidRequestError("give rid, a non-empty string, or abort_all: true")
    desk_of(request).abort(None if fields.get("abort_all") else rid)
    return web.Response(status=200)


@routes.post("/tokenize")
@routes.post("/v1/tokenize")
async def tokenize(request: web.Request) -> web.Response:
    """Ids of `prompt`, a text or a list of them."""
    desk = desk_of(request)
    fields = await read_json(request)
    prompt, special = fields.get("prompt"), fields.get("add_special_tokens", True)
    texts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidRequestError("prompt must be a string or a list of strings")
    ids = [desk.tokenizer.encode(text, add_special_tokens=bool(special)) for text in texts]
    single = isinstance(prompt, str)
    return web.json_response(
        {
            "tokens": ids[0] if single else ids,
            "count": len(ids[0]) if single else [len(found) for found in ids],
            "max_model_len": desk.model.context_length,
        }
    )


@routes.post("/detokenize")
@routes.post("/v1/detokenize")
async def detokenize(request: web.Request) -> web.Response:
    """Text of `tokens`."""
    desk = desk_of(request)
    fields = await read_json(request)
    tokens: Any = fields.get("tokens")
    size = desk.model.vocab_size
    if not isinstance(tokens, list) or not all(
        isinstance(token, int) and 0 <= token < size for token in tokens
    ):
        raise InvalidRequestError(f"tokens must be a list of ids below the vocabulary's {size}")
    skip = bool(fields.get("skip_special_tokens", True))
    return web.json_response({"text": desk.tokenizer.decode(tokens, skip_special_tokens=skip)})
