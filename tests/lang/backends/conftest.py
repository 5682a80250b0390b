"""A service on a local port: it answers from a script and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from radixlm.ir import loop
from radixlm.lang.backends.service import Retry

QUICK = Retry(retries=3, first_s=0.001, longest_s=0.002, longest_asked_s=0.5)
Body = dict[str, Any]
Reply = str | list[str] | web.Response | Callable[[Body], Any]


class Service:
    """Speaks OpenAI's and Anthropic's protocols.

    Attributes:
        replies: of each request in turn: a text (a list: one a sample), a response such as an
            error, or a function of the request's body that returns one of these.
        bodies: the requests' bodies.
        cut: streams end after so many pieces, without their end.
    """

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.cut: int | None = None
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/messages", self._messages)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _next(self, request: web.Request) -> tuple[Body, web.Response | list[str]]:
        body: Body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        reply = self.replies.pop(0)
        if callable(reply):
            reply = reply(body)
        if isinstance(reply, web.Response):
            return body, reply
        return body, [reply] * body.get("n", 1) if isinstance(reply, str) else list(reply)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body, texts = await self._next(request)
        if isinstance(texts, web.Response):
            return texts
        if body.get("stream"):
            return await self._events(request, list(_chat_chunks(body, texts)))
        choices = [
            {
                "index": index,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
                "logprobs": {"content": _entries(text)} if body.get("logprobs") else None,
            }
            for index, text in enumerate(texts)
        ]
        return web.json_response(_head("chat.completion", choices=choices, usage=_usage(texts)))

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body, texts = await self._next(request)
        if isinstance(texts, web.Response):
            return texts
        if body.get("stream"):
            chunks = [
                _head(
                    "text_completion",
                    choices=[
                        {"index": index, "text": word, "finish_reason": end, "logprobs": None}
                    ],
                )
                for index, text in enumerate(texts)
                for word, end in _words(text)
            ]
            return await self._events(request, chunks)
        choices = [
            {"index": index, "text": text, "finish_reason": "length", "logprobs": None}
            for index, text in enumerate(texts)
        ]
        return web.json_response(_head("text_completion", choices=choices, usage=_usage(texts)))

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body, texts = await self._next(request)
        if isinstance(texts, web.Response):
            return texts
        usage = {"input_tokens": 7, "output_tokens": len(texts[0].split())}
        message = {
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "model": "fake",
            "content": [{"type": "text", "text": texts[0]}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage,
        }
        if not body.get("stream"):
            return web.json_response(message)
        delta = {"type": "content_block_delta", "index": 0}
        empty = {**message, "content": [], "stop_reason": None}
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        events: list[Body] = [
            {"type": "message_start", "message": empty},
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            },
            *(
                {**delta, "delta": {"type": "text_delta", "text": word}}
                for word, done in _words(texts[0])
                if not done
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": usage},
            {"type": "message_stop"},
        ]
        return await self._events(request, events)

    async def _events(self, request: web.Request, events: list[Body]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events[: self.cut]:
            name = f"event: {event['type']}\n" if "type" in event else ""
            await response.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        if self.cut is None and "type" not in events[0]:
            await response.write(b"data: [DONE]\n\n")
        return response


def failing(status: int, message: str = "no", code: str = "", after: str = "") -> web.Response:
    """A service's error."""
    body = {"error": {"message": message, "type": "x", "code": code or None}}
    return web.json_response(body, status=status, headers={"Retry-After": after} if after else None)


def _words(text: str) -> Iterator[tuple[str, str | None]]:
    for index, word in enumerate(text.split(" ")):
        yield (" " if index else "") + word, None
    yield "", "stop"


def _entries(text: str) -> list[Body]:
    return [_entry(word) for word, end in _words(text) if not end]


def _entry(word: str) -> Body:
    top = {"token": "x", "logprob": -1.5, "bytes": None}
    return {"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": [top]}


def _chat_chunks(body: Body, texts: list[str]) -> Iterator[Body]:
    for index, text in enumerate(texts):
        for word, end in _words(text):
            choice = {
                "index": index,
                "delta": {"content": word},
                "finish_reason": end,
                "logprobs": {"content": [_entry(word)]} if body.get("logprobs") and word else None,
            }
            yield _head("chat.completion.chunk", choices=[choice])
    yield _head("chat.completion.chunk", choices=[], usage=_usage(texts))


def _head(kind: str, **rest: Any) -> Body:
    return {"id": "c1", "object": kind, "created": 1, "model": "fake", **rest}


def _usage(texts: list[str]) -> Body:
    count = sum(len(text.split()) for text in texts)
    return {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    loop.wait(made.start())
    yield made
    loop.wait(made.stop())
