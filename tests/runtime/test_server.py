"""The server as a process: keys, limits, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from radixlm.runtime.cli import launch_server

pytestmark = pytest.mark.slow

SOURCE = str(Path(__file__).parents[2] / "src")
KEY = {"Authorization": "Bearer secret"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(model: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    port = free_port()
    command = [sys.executable, "-m", "radixlm.launch_server", "--model-path", model]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--log-level", "error", *options],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    with process:
        try:
            deadline = time.monotonic() + 120
            while True:
                assert process.poll() is None
                assert time.monotonic() < deadline
                try:
                    requests.get(url + "/health", timeout=5)
                    break
                except requests.ConnectionError:
                    time.sleep(0.1)
            yield process, url
        finally:
            process.kill()


def running(url: str) -> int:
    info = requests.get(url + "/get_server_info", headers=KEY, timeout=30).json()
    state = info["internal_states"][0]
    return int(state["running"])


def test_keys_a_full_queue_and_a_drain(tiny_model: str) -> None:
    limits = ("--max-running-requests", "1", "--max-queued-requests", "1")
    with serving(tiny_model, "--api-key", "secret", *limits) as (process, url):
        body: dict[str, Any] = {
            "text": "a",
            "sampling_params": {"max_new_tokens": 600, "ignore_eos": True},
        }
        assert requests.get(url + "/health", timeout=30).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer sécret"}):
            encoded = {name: value.encode() for name, value in headers.items()}
            refused = requests.post(url + "/generate", json=body, headers=encoded, timeout=30)
            assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})

        found: list[requests.Response] = []

        def ask() -> None:
            found.append(requests.post(url + "/generate", json=body, headers=KEY, timeout=120))

        first = threading.Thread(target=ask)
        first.start()
        while running(url) < 1:
            time.sleep(0.01)
        second = threading.Thread(target=ask)
        second.start()
        info: dict[str, Any] = {"waiting": 0}
        while info["waiting"] < 1:
            answer = requests.get(url + "/get_server_info", headers=KEY, timeout=30).json()
            info = answer["internal_states"][0]
        for path, fields in (
            ("/generate", body),
            ("/v1/completions", {"prompt": "a", "stream": True}),
        ):
            full = requests.post(url + path, json=fields, headers=KEY, timeout=30)
            assert full.status_code == 503
            assert "The request queue is full" in full.text
            assert 1 <= int(full.headers["Retry-After"]) <= 60
        in_events = requests.post(
            url + "/generate", json={"text": "a", "stream": True}, headers=KEY, timeout=30
        )
        assert (in_events.status_code, "retry_after_s" in in_events.text) == (200, True)
        ended = requests.post(
            url + "/v1/completions",
            json={"prompt": "a", "timeout_s": 1e-4},
            headers=KEY,
            timeout=30,
        )
        assert (ended.status_code, ended.json()["type"]) == (504, "RequestTimeoutError")

        process.send_signal(signal.SIGTERM)
        late = None
        while late is None or late.status_code != 503:
            late = requests.get(url + "/health", timeout=30)
        late = requests.post(url + "/generate", json=body, headers=KEY, timeout=30)
        assert late.status_code == 503
        assert int(late.headers["Retry-After"]) == 30  # until it is gone, at the latest
        first.join()
        second.join()
        assert [answer.status_code for answer in found] == [200, 200]
        assert all(len(answer.json()["output_ids"]) == 600 for answer in found)
        assert process.wait(30) == 0
        assert process.stderr is not None
        words = process.stderr.read()
        assert "is ready at" in words
        assert len(words.splitlines()) == 1


def test_a_killed_scheduler_ends_the_server_with_1(tiny_model: str) -> None:
    with serving(tiny_model) as (process, url):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        body = {"text": "a", "sampling_params": {"max_new_tokens": 1900, "ignore_eos": True}}
        found: list[requests.Response] = []

        def ask() -> None:
            found.append(requests.post(url + "/generate", json=body, timeout=60))

        asking = threading.Thread(target=ask)
        asking.start()
        while running(url) < 1:
            time.sleep(0.01)
        [scheduler] = [int(pid) for pid in children]
        os.kill(scheduler, signal.SIGKILL)
        asking.join()
        assert found[0].status_code == 503
        assert "ended unexpectedly" in found[0].json()["error"]["message"]
        assert process.wait(30) == 1


def test_a_port_in_use_is_said_before_anything_is_loaded(
    tiny_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert launch_server(["--model-path", tiny_model, "--port", str(port)]) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_wrong_model_or_setting_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    port = str(free_port())
    assert launch_server(["--model-path", "/no/such", "--port", port]) == 1
    assert "/no/such" in capsys.readouterr().err
    assert launch_server(["--page-size", "0", "--port", port]) == 2
    assert "page_size" in capsys.readouterr().err
