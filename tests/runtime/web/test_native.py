"""`/generate` and the control routes, over HTTP against a server process."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import requests

from .conftest import Server

pytestmark = pytest.mark.slow

GREEDY = {"temperature": 0, "max_new_tokens": 8, "ignore_eos": True}
ENDLESS = {"max_new_tokens": 1900, "ignore_eos": True}


def events(response: requests.Response) -> list[str]:
    return [line[6:] for line in response.text.split("\n\n") if line.startswith("data: ")]


def test_a_text_gives_an_object_and_a_list_a_list(server: Server) -> None:
    one = server.generate("They wrote", GREEDY)
    assert set(one) == {"text", "output_ids", "meta_info"}
    assert len(one["output_ids"]) == one["meta_info"]["completion_tokens"] == 8
    assert one["meta_info"]["finish_reason"] == {"type": "length", "length": 8}
    body = {"text": ["They wrote", "a"], "sampling_params": GREEDY, "rid": "r"}
    batch = server.post("/generate", body).json()
    assert [result["meta_info"]["id"] for result in batch] == ["r_0", "r_1"]
    assert batch[0]["output_ids"] == one["output_ids"]
    single = server.post("/generate", {"text": ["a"], "sampling_params": GREEDY}).json()
    assert len(single) == 1
    samples = server.generate("a", {**GREEDY, "n": 2})
    assert samples[0]["output_ids"] == samples[1]["output_ids"]


def test_put_is_taken_like_post(server: Server) -> None:
    body = {"text": "a", "sampling_params": GREEDY}
    assert requests.put(server.url + "/generate", json=body, timeout=60).status_code == 200


def test_nulls_mean_the_default(server: Server) -> None:
    names = ("input_ids", "rid", "return_logprob", "logprob_start_len", "stream", "image_data")
    params = {**GREEDY, "stop": None, "regex": None, "top_p": None, "seed": None}
    server.generate("a", params, **dict.fromkeys(names))
    server.generate("a", {"max_new_tokens": None, "stop": ["a", "e", " "]})


def test_logprobs_travel_as_triples(server: Server) -> None:
    meta = server.generate(
        "They wrote", GREEDY, return_logprob=True, logprob_start_len=0, top_logprobs_num=2
    )["meta_info"]
    assert len(meta["input_token_logprobs"]) == meta["prompt_tokens"]
    assert meta["input_token_logprobs"][0][0] is None
    assert len(meta["output_token_logprobs"]) == 8
    assert len(meta["output_top_logprobs"][0]) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"text": "a", "sampling_params": {"temprature": 1}}, "temprature"),
        ({"text": "a", "sampling_params": {"temperature": "x"}}, "temperature"),
        ({"text": "a", "sampling_params": {"top_p": 2}}, "top_p is 2"),
        ({"text": "a", "sampling_params": {"stop": 5}}, "stop"),
        ({"text": "a", "sampling_params": {"regex": "("}}, "Failed to compile the grammar"),
        ({"text": "a", "sampling_params": {"json_schema": "{"}}, "Failed to compile the grammar"),
        ({"text": 5}, "malformed"),
        ({"text": "a", "nosuch": 1}, "nosuch"),
        ({"text": "a", "rid": 5}, "rid"),
        ({"text": "a", "priority": "high"}, "priority"),
        ({"text": "a", "priority": 1 << 70}, ""),
        ({"input_ids": [1.5]}, "input_ids"),
        ({"input_ids": [True]}, "input_ids"),
        ({"input_ids": [[1], 2]}, "input_ids"),
        ({"input_ids": [100000]}, "100000"),
        ({"input_ids": [5] * 3000}, "is longer than the model's context length"),
        ({"text": "a", "return_logprob": True, "logprob_start_len": 999}, "logprob_start_len"),
        ({"text": "a", "return_logprob": True, "top_logprobs_num": -1}, "top_logprobs_num"),
        ({"text": "a", "return_logprob": True, "token_ids_logprob": [99999]}, "token_ids_logprob"),
        ({"text": ["a", "b"], "rid": ["x", "x"]}, "Duplicate request ID"),
        ([1], "JSON object"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_requests_are_400_or_an_event(
    stream: bool, body: Any, message: str, server: Server
) -> None:
    if not stream or isinstance(body, list):
        answer = server.post("/generate", body)
        assert answer.status_code == 400
        assert message in answer.json()["error"]["message"]
    else:
        answer = server.post("/generate", {**body, "stream": True})
        assert answer.status_code == 200
        first, last = events(answer)
        assert message in json.loads(first)["error"]["message"]
        assert last == "[DONE]"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{", "application/json"),
        (b'{"text": "\\ud800"}', "application/json"),
        (b'{"text": "a", "sampling_params": {"temperature": NaN}}', "application/json"),
        (b"\xff", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"text": "a"}', "text/plain"),
        (b'{"text": "a"}', ""),
    ],
)
def test_what_is_no_json_is_400(data: bytes, kind: str, server: Server) -> None:
    answer = requests.post(
        server.url + "/generate", data=data, headers={"Content-Type": kind}, timeout=60
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_a_stream_comes_event_by_event_and_cumulative(server: Server) -> None:
    whole = server.generate("They wrote", {**GREEDY, "max_new_tokens": 30})
    body = {
        "text": "They wrote",
        "sampling_params": {**GREEDY, "max_new_tokens": 30},
        "stream": True,
    }
    with server.post("/generate", body, stream=True) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        arrivals = [(time.monotonic(), line) for line in answer.iter_lines() if line]
    assert arrivals[-1][1] == b"data: [DONE]"
    chunks = [json.loads(line[6:]) for _, line in arrivals[:-1]]
    assert len(chunks) > 3
    assert arrivals[0][0] < arrivals[-1][0]
    assert all(whole["text"].startswith(chunk["text"]) for chunk in chunks)
    assert chunks[-1]["output_ids"] == whole["output_ids"]


def test_a_client_that_leaves_frees_its_request(server: Server) -> None:
    body = {"text": "a", "sampling_params": ENDLESS, "stream": True}
    with server.post("/generate", body, stream=True) as answer:
        lines = answer.iter_lines()  # kept: without it the connection is closed
        next(lines)
        assert server.state()["running"] == 1
    server.wait_until_idle(5)


def test_a_client_that_leaves_while_it_waits_frees_its_request(server: Server) -> None:
    body = {"text": ["a", "b"], "sampling_params": {**ENDLESS, "n": 2}}
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(server.url + "/generate", json=body, timeout=0.5)
    server.wait_until_idle(5)


def test_abort_by_the_beginning_of_the_name(server: Server) -> None:
    found: list[requests.Response] = []
    body = {"text": ["a", "b"], "sampling_params": ENDLESS, "rid": "job"}
    asking = threading.Thread(target=lambda: found.append(server.post("/generate", body)))
    asking.start()
    while server.state()["running"] < 2:
        time.sleep(0.01)
    assert server.post("/abort_request", {"rid": "jo"}).status_code == 200
    asking.join()
    assert found[0].status_code == 200
    for result in found[0].json():
        assert result["meta_info"]["finish_reason"]["type"] == "abort"
        assert len(result["output_ids"]) == result["meta_info"]["completion_tokens"] < 1900
    server.wait_until_idle()


@pytest.mark.parametrize("body", [{}, {"rid": ""}, {"rid": 5}])
def test_an_abort_without_a_name_is_refused(body: Any, server: Server) -> None:
    assert server.post("/abort_request", body).status_code == 400


def test_flush_is_200_when_idle_and_400_while_something_runs(server: Server) -> None:
    server.wait_until_idle()
    assert server.post("/flush_cache").status_code == 200
    assert server.state()["cached"] == 0
    body = {"text": "a", "sampling_params": ENDLESS, "stream": True}
    with server.post("/generate", body, stream=True) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert server.get("/flush_cache").status_code == 400
    server.wait_until_idle()


def test_health_and_facts(server: Server) -> None:
    for path in ("/health", "/health_generate", "/ping"):
        assert server.get(path).status_code == 200
    info = server.get("/get_model_info").json()
    assert info["is_generation"] is True
    assert info["role_format"]["parts"]["user"] == ["<|im_start|>user\n", "<|im_end|>\n"]
    facts = server.get("/get_server_info").json()
    assert facts["served_model_name"] == "tiny"
    assert facts["max_req_input_len"] == 2047


def test_tokenize_and_back(server: Server) -> None:
    found = server.post("/tokenize", {"prompt": "naïve 😀"}).json()
    assert found["count"] == len(found["tokens"])
    assert server.post("/detokenize", {"tokens": found["tokens"]}).json() == {"text": "naïve 😀"}
    assert server.post("/tokenize", {"prompt": 5}).status_code == 400
    assert server.post("/detokenize", {"tokens": [-1]}).status_code == 400


def test_too_large_a_request_is_413_and_an_unknown_path_404(server: Server) -> None:
    assert server.post("/generate", {"text": "x" * (17 << 20)}).status_code == 413
    assert server.get("/nothing").status_code == 404
