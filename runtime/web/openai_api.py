"""`/v1/chat/completions`, `/v1/completions` and `/v1/models`, for OpenAI's clients."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from aiohttp import web

from ..desk.generate import GenerateRequest, Order, generate, generate_stream, see, take_order
from .errors import openai_body, read_json, status_and_message
from .native import desk_of
from .openai_chat import Chat
from .openai_completions import Completion
from .openai_fields import usage_of, wants_usage
from .sse import EventStream

routes = web.RouteTableDef()

Result = dict[str, Any]


class Shape(Protocol):
    """How one route writes its answers."""

    object_name: str
    chunk_name: str

    def request(self) -> GenerateRequest:
        """The native request."""
        ...

    def choice(self, index: int, result: Result) -> dict[str, Any]:
        """A finished choice."""
        ...

    def opening(self, index: int) -> dict[str, Any] | None:
        """The first chunk of a choice, before any text; None: there is none."""
        ...

    def deltas(self, index: int, result: Result) -> list[dict[str, Any]]:
        """The chunks of a choice that a delta of its text makes."""
        ...

    def closing(self, index: int, result: Result) -> list[dict[str, Any]]:
        """The last chunks of a choice."""
        ...


@routes.post("/v1/chat/completions")
async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer a conversation."""
    fields = await read_json(request)
    chat = Chat(desk_of(request), fields, request.app["sampling"], request.app["formats"])
    return await _serve(request, fields, chat)


@routes.post("/v1/completions")
async def completions(request: web.Request) -> web.StreamResponse:
    """Continue a text."""
    fields = await read_json(request)
    shape = Completion(desk_of(request), fields, request.app["sampling"])
    return await _serve(request, fields, shape)


async def _serve(
    request: web.Request, fields: Mapping[str, Any], shape: Shape
) -> web.StreamResponse:
    desk = desk_of(request)
    asked = shape.request()
    order = take_order(desk, asked, await see(desk, asked))
    samples = order.items[0].sampling.n
    head = {
        "id": fields.get("rid") or uuid.uuid4().hex,
        "created": int(time.time()),
        "model": fields.get("model") or desk.config.model_name,
    }
    if not fields.get("stream"):
        found = await generate(desk, order)
        results = found if isinstance(found, list) else [found]
        choices = [shape.choice(index, result) for index, result in enumerate(results)]
        usage = usage_of(results, samples)
        return web.json_response(
            {**head, "object": shape.object_name, "choices": choices, "usage": usage}
        )
    return await _stream(request, fields, shape, order, head)


async def _stream(
    request: web.Request,
    fields: Mapping[str, Any],
    shape: Shape,
    order: Order,
    head: dict[str, Any],
) -> web.StreamResponse:
    """Stream an answer. Its first piece precedes the headers, so that a bad request is a 400."""
    async with aclosing(generate_stream(desk_of(request), order, incremental=True)) as pieces:
        first = await anext(pieces)
        async with EventStream(request) as events:
            try:
                await _relay(events, fields, shape, order, head, _chain(first, pieces))
            except ConnectionError:
                raise
            except Exception as error:
                await events.send({"error": openai_body(*status_and_message(error))})
    return events.response


async def _relay(
    events: EventStream,
    fields: Mapping[str, Any],
    shape: Shape,
    order: Order,
    head: dict[str, Any],
    pieces: AsyncIterator[Result],
) -> None:
    """Send the pieces as chunks; each choice's closing chunk comes after all have ended."""
    head = {**head, "object": shape.chunk_name}
    last: list[Result] = [{}] * len(order.items)
    for index in range(len(order.items)):
        if (opening := shape.opening(index)) is not None:
            await events.send({**head, "choices": [opening]})
    async for piece in pieces:
        index = piece.get("index", 0)
        last[index] = piece
        # A token without text, as the one that ended the sequence, still has its log-probability.
        if piece["text"] or piece["meta_info"].get("output_token_logprobs"):
            for delta in shape.deltas(index, piece):
                await events.send({**head, "choices": [delta]})
    for index, piece in enumerate(last):
        for chunk in shape.closing(index, piece):
            await events.send({**head, "choices": [chunk]})
    if wants_usage(fields):
        usage = usage_of(last, order.items[0].sampling.n)
        await events.send({**head, "choices": [], "usage": usage})


async def _chain(first: Result, rest: AsyncIterator[Result]) -> AsyncIterator[Result]:
    yield first
    async for piece in rest:
        yield piece


@routes.get("/v1/models")
async def list_models(request: web.Request) -> web.Response:
    """The one model that is served."""
    return web.json_response({"object": "list", "data": [_card(request)]})


@routes.get("/v1/models/{id:.+}")
async def get_model(request: web.Request) -> web.Response:
    """The model, by its name."""
    name = request.match_info["id"]
    if name == desk_of(request).config.model_name:
        return web.json_response(_card(request))
    error = {
        "message": f"The model '{name}' does not exist",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    return web.json_response({"error": error}, status=404)


def _card(request: web.Request) -> dict[str, Any]:
    desk = desk_of(request)
    return {
        "id": desk.config.model_name,
        "object": "model",
        "created": request.app["started"],
        "owned_by": "radixlm",
        "root": desk.config.model_name,
        "parent": None,
        "max_model_len": desk.model.context_length,
    }
