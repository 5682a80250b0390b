from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests

from radixlm.lang.backends.server_process import Runtime


class Server:
    """A running server, and what tests ask of it."""

    def __init__(self, url: str, runtime: Runtime) -> None:
        self.url = url
        self.runtime = runtime

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=120, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=120, **options)

    def generate(self, text: str, params: dict[str, Any] | None = None, **fields: Any) -> Any:
        answer = self.post("/generate", {"text": text, "sampling_params": params, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.get("/get_server_info").json()["internal_states"][0]
        assert state["free"] + state["cached"] + state["leased"] == state["pool"]
        return state

    def wait_until_idle(self, timeout_s: float = 20) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while (state := self.state())["running"] + state["waiting"]:
            assert time.monotonic() < deadline, state
            time.sleep(0.02)
        assert state["leased"] == 0
        return state


@pytest.fixture(scope="package")
def server(tiny_model: str) -> Iterator[Server]:
    with Runtime(model_path=tiny_model, served_model_name="tiny", port=31300) as runtime:
        yield Server(runtime.url, runtime)


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as made:
        yield made
