"""The web application over a desk."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ..config import ServerConfig
from ..desk.desk import Desk
from . import cache, embeddings, metrics, native, openai_api, programs
from .answers import Formats
from .errors import Handler, errors, native_body, retry_after

OPEN_ROUTES = ("/health", "/health_generate", "/ping")  # answered without a key


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests without the API key, when one is set."""
    key = request.app["server"].api_key
    if key is not None and request.path not in OPEN_ROUTES:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(errors="replace"), key.encode()):
            return web.json_response({"error": "Unauthorized"}, status=401)
    return await handler(request)


@web.middleware
async def drain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse new work once the server is told to end, and count the work that is under way."""
    app = request.app
    if app["draining"].is_set() and request.method != "GET":
        body = native_body("the server is shutting down")
        after = retry_after(app["server"].drain_timeout_s)
        return web.json_response(body, status=503, headers=after)
    task = asyncio.current_task()
    app["open"].add(task)
    try:
        return await handler(request)
    finally:
        app["open"].discard(task)


def make_app(desk: Desk, server: ServerConfig, sampling: Mapping[str, Any]) -> web.Application:
    """Build the application.

    Args:
        desk: on the event loop that will serve.
        server: limits and the API key.
        sampling: the model's own sampling defaults, for the OpenAI routes.

    Raises:
        ValueError: the settings name a format of calls or of thinking that is not known.
    """
    app = web.Application(
        middlewares=[errors, authorize, drain], client_max_size=server.max_request_bytes
    )
    app["desk"] = desk
    app["server"] = server
    app["sampling"] = sampling
    app["formats"] = Formats.of(desk.tokenizer, server, desk.model.eos_token_ids)
    app["started"] = int(time.time())
    app["draining"] = asyncio.Event()
    app["open"] = set()
    app.add_routes(native.routes)
    app.add_routes(metrics.routes)
    app.add_routes(cache.routes)
    app.add_routes(embeddings.routes)
    app.add_routes(openai_api.routes)
    programs.install(app)
    return app
