"""Server-sent events: one event a write, so that clients may parse each chunk on its own."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

from aiohttp import web


class EventStream:
    """An open event stream; ends with `data: [DONE]`."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )

    async def __aenter__(self) -> EventStream:
        await self._response.prepare(self._request)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self._response.write(b"data: [DONE]\n\n")
            await self._response.write_eof()

    @property
    def response(self) -> web.StreamResponse:
        """What the handler returns."""
        return self._response

    async def send(self, event: dict[str, Any]) -> None:
        """Send one event."""
        data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        await self._response.write(f"data: {data}\n\n".encode())
