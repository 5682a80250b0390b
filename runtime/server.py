"""`launch_server`: a model behind HTTP, until SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from .config import EngineConfig, ServerConfig
from .errors import EngineError
from .launch import launch
from .web.app import make_app

CUT_OFF_S = 1.0  # for handlers that are still at it after the time to drain
# Of generation_config.json, what the OpenAI routes take as the model's defaults.
DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def run_server(engine: EngineConfig, server: ServerConfig) -> int:
    """Serve until SIGTERM or Ctrl-C; return the process's exit code."""
    try:
        return asyncio.run(_serve(engine, server))
    except EngineError as error:
        print(f"radixlm: {error}", file=sys.stderr)
    except OSError as error:
        print(
            f"radixlm: cannot listen on {server.host}:{server.port}: {error.strerror or error}; "
            "choose another --port",
            file=sys.stderr,
        )
    return 1


async def _serve(engine: EngineConfig, server: ServerConfig) -> int:
    started = time.monotonic()
    with socket.socket() as probe:  # to know it now, and not after the model is loaded
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" not in server.host:
            probe.bind((server.host, server.port))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    if os.environ.get("RADIXLM_EXIT_WITH_STDIN"):  # the starter's end closes the pipe
        loop.add_reader(sys.stdin, _stdin_ended, loop, stop)
    launching = asyncio.create_task(launch(engine))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([launching, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not launching.done():  # told to end before it was ready
        launching.cancel()
        await asyncio.gather(launching, return_exceptions=True)
        return 0
    launched = launching.result()
    try:
        located = launched.desk.config.model.model_path
        app = make_app(launched.desk, server, sampling_defaults(located))
        # A handler whose client is gone is cancelled, and its requests with it.
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=CUT_OFF_S
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, server.host, server.port).start()
            print(
                f"radixlm: {engine.model_name} is ready at http://{server.host}:{server.port} "
                f"after {time.monotonic() - started:.1f} s",
                file=sys.stderr,
                flush=True,
            )
            lost = asyncio.create_task(launched.desk.lost.wait())
            await asyncio.wait([lost, stopping], return_when=asyncio.FIRST_COMPLETED)
            await _drain(app, server.drain_timeout_s)
            return 1 if lost.done() else 0
        finally:
            await runner.cleanup()
    finally:
        await launched.close()


def _stdin_ended(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    loop.remove_reader(sys.stdin)
    stop.set()


async def _drain(app: web.Application, timeout_s: float) -> None:
    """Take no new work, and give what is under way time to end."""
    app["draining"].set()
    deadline = time.monotonic() + timeout_s
    while app["open"] and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


def sampling_defaults(model_path: str) -> dict[str, Any]:
    """What the checkpoint's generation_config.json recommends."""
    path = Path(model_path) / "generation_config.json"
    if not path.exists():
        return {}
    config = json.loads(path.read_text())
    return {name: config[name] for name in DEFAULTS if config.get(name) is not None}
