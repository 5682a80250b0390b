"""`Runtime`: a server of one's own, in a process that ends with this one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

from ...ir import loop
from ...ir.errors import BackendError
from .endpoint import RuntimeEndpoint

PORT_TRIES = 1000


class Runtime:
    """Starts `launch_server` and waits until it is ready.

    Args:
        log_level: of the server.
        launch_timeout: seconds until the start counts as failed.
        **server_args: options of `launch_server` by field name (`model_path=...`, `page_size=16`).
            Of `port` and the ones after it the first free is taken.

    Attributes:
        url: where it listens.
        endpoint: the `RuntimeEndpoint` on it; `set_default_backend(runtime)` uses that.

    Raises:
        BackendError: the server ended or was not ready in time; its own message is on stderr.
    """

    def __init__(
        self, log_level: str = "error", launch_timeout: float = 300.0, **server_args: Any
    ) -> None:
        host = str(server_args.pop("host", "127.0.0.1"))
        first = int(server_args.pop("port", 30000))
        given = {"host": host, "log_level": log_level, **server_args}
        deadline = time.monotonic() + launch_timeout
        self._process: subprocess.Popen[bytes] | None = None
        endpoint = None
        while endpoint is None:
            port = _free_port(host, first)
            self.url = f"http://{host}:{port}"
            self._process = _start({**given, "port": port})
            try:
                endpoint = self._wait(deadline, server_args.get("api_key"))
            except BaseException:
                self.shutdown()
                raise
            if endpoint is None:  # somebody else took the port in the meantime
                self.shutdown()
                first = port + 1
        self.endpoint = endpoint

    def _wait(self, deadline: float, api_key: str | None) -> RuntimeEndpoint | None:
        """Wait until the server answers; None when another process's server does at its port."""
        assert self._process is not None
        while time.monotonic() < deadline:
            if (code := self._process.poll()) is not None:
                raise BackendError(f"the server ended with exit code {code}; see its message above")
            try:
                endpoint = RuntimeEndpoint(self.url, api_key)
                if endpoint.get_server_info()["pid"] == self._process.pid:
                    return endpoint
                endpoint.close()
                return None
            except BackendError as error:
                if not error.retryable:
                    raise
            time.sleep(0.1)
        raise BackendError(f"the server at {self.url} was not ready in time; raise launch_timeout")

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            BackendError: it was shut down.
        """
        if self._process is None:
            raise BackendError("the runtime was shut down")
        return self._process.pid

    def generate(
        self, prompt: str | list[str], sampling_params: dict[str, Any] | None = None, **fields: Any
    ) -> str:
        """Generate; return the answer as JSON text, as SGLang's `Runtime` does."""
        body = {"text": prompt, "sampling_params": sampling_params or {}, **fields}
        return json.dumps(loop.wait(self.endpoint.request("POST", "/generate", body)))

    def encode(self, prompt: str | list[str], **fields: Any) -> str:
        """Embed; return the answer of `POST /encode` as JSON text, as SGLang's `Runtime` does."""
        body = {"text": prompt, **fields}
        return json.dumps(loop.wait(self.endpoint.request("POST", "/encode", body)))

    async def async_generate(
        self, prompt: str, sampling_params: dict[str, Any] | None = None
    ) -> AsyncIterator[str]:
        """Iterate over pieces of the generated text, from any event loop."""
        body = {"text": prompt, "sampling_params": sampling_params or {}, "stream": True}
        async for piece in loop.iterate_async(self.endpoint.stream_text(body)):
            yield piece

    add_request = async_generate

    def shutdown(self) -> None:
        """End the server and wait until it is gone. May be called again."""
        process, self._process = self._process, None
        if process is None:
            return
        if hasattr(self, "endpoint"):
            self.endpoint.close()
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()


def _start(given: dict[str, Any]) -> subprocess.Popen[bytes]:
    package = Path(sys.modules[__name__.partition(".")[0]].__path__[0]).parent
    path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.Popen(
        [sys.executable, "-m", "radixlm.launch_server", *_options(given)],
        stdin=subprocess.PIPE,  # the server ends when this pipe does
        env={**os.environ, "PYTHONPATH": path, "RADIXLM_EXIT_WITH_STDIN": "1"},
    )


def _options(given: dict[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in given.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, str(value)]
    return words


def _free_port(host: str, first: int) -> int:
    for port in range(first, min(first + PORT_TRIES, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise BackendError(f"no free port from {first} on")
