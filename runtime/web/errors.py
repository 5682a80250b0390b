"""How errors look over HTTP: nested on native routes, flat (as in SGLang) on the OpenAI ones."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from ...constrained.errors import GrammarError
from ..errors import EngineError, InvalidRequestError

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

KINDS = {
    400: "BadRequestError",
    404: "NotFoundError",
    503: "ServiceUnavailableError",
    504: "RequestTimeoutError",
}


def status_and_message(error: Exception) -> tuple[int, str]:
    """The HTTP status of an error, and what the client is told."""
    if isinstance(error, GrammarError):
        return 400, f"Failed to compile the grammar: {error}"
    if isinstance(error, EngineError):
        return error.status, str(error)
    logger.error("a request failed", exc_info=error)
    return 500, "internal error; the server's log has the details"


def native_body(message: str) -> dict[str, Any]:
    """The body of an error on the native routes."""
    return {"error": {"message": message}}


def native_event(error: Exception) -> dict[str, Any]:
    """An error in a native stream, whose status and headers have been sent as 200."""
    status, message = status_and_message(error)
    body = native_body(message)
    body["error"]["status_code"] = status
    if status == 503:
        body["error"] |= {"retry_after_s": getattr(error, "retry_after_s", None) or 1.0}
    return body


def openai_body(status: int, message: str) -> dict[str, Any]:
    """The body of an error on the OpenAI routes."""
    kind = KINDS.get(status, "InternalServerError")
    return {"object": "error", "message": message, "type": kind, "param": None, "code": status}


def error_response(request: web.Request, error: Exception) -> web.Response:
    """Answer a request that failed before anything was sent."""
    status, message = status_and_message(error)
    is_openai = request.path.startswith("/v1/")
    body = openai_body(status, message) if is_openai else native_body(message)
    headers = retry_after(getattr(error, "retry_after_s", None)) if status == 503 else None
    return web.json_response(body, status=status, headers=headers)


def retry_after(seconds: float | None) -> dict[str, str]:
    """The header that says when it is worth another try; a second, where that is not known."""
    return {"Retry-After": str(math.ceil(seconds or 1))}


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception of a handler into an answer of its own."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge as error:
        limit = request.app["server"].max_request_bytes
        body = native_body(f"the request is larger than {limit} bytes: {error.text}")
        return web.json_response(body, status=413)
    except web.HTTPException:
        raise
    except Exception as error:
        return error_response(request, error)


async def read_body(request: web.Request) -> bytes:
    """Read the body of a request that says it is JSON.

    Raises:
        InvalidRequestError: it says that it is something else.
    """
    if request.content_type != "application/json":
        raise InvalidRequestError(
            f"the content type is {request.content_type!r}; send application/json"
        )
    return await request.read()


async def read_json(request: web.Request) -> dict[str, Any]:
    """Read a request's body.

    Raises:
        InvalidRequestError: it is no JSON object, or says that it is something else.
    """
    data = await read_body(request)
    try:
        body = msgspec.json.decode(data)  # refuses NaN and lone surrogates
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidRequestError(f"the body must be a JSON object, not {type(body).__name__}")
    return body
