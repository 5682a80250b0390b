from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import openai
import pytest

from .conftest import Server


def test_openais_client_gets_embeddings(client: openai.OpenAI, server: Server) -> None:
    texts = ["The quick brown fox", "They wrote"]
    answer = client.embeddings.create(model="tiny", input=texts)  # asks for base64 by itself
    assert [item.index for item in answer.data] == [0, 1]
    plain = [server.post("/encode", {"text": text}).json() for text in texts]
    for item, native in zip(answer.data, plain, strict=True):
        np.testing.assert_allclose(item.embedding, native["embedding"], atol=1e-5)
    total = sum(native["meta_info"]["prompt_tokens"] for native in plain)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == total
    ids = server.post("/tokenize", {"prompt": texts}).json()["tokens"]
    again = client.embeddings.create(model="tiny", input=ids, encoding_format="float", dimensions=8)
    assert [len(item.embedding) for item in again.data] == [8, 8]
    one = client.embeddings.create(model="tiny", input=ids[0])
    np.testing.assert_allclose(one.data[0].embedding, plain[0]["embedding"], atol=1e-5)


def test_base64_holds_the_same_numbers(server: Server) -> None:
    body = {"input": "They wrote", "normalize": False, "pooling": "mean"}
    numbers = server.post("/v1/embeddings", body).json()["data"][0]["embedding"]
    written = server.post("/v1/embeddings", {**body, "encoding_format": "base64"}).json()
    data = base64.b64decode(written["data"][0]["embedding"])
    np.testing.assert_array_equal(np.frombuffer(data, "<f4"), np.array(numbers, dtype="<f4"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": {"text": "x"}}, "input"),
        ({"input": ["x", 1]}, "malformed"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "x", "nosuch": 1}, "nosuch"),
        ({"input": "x", "dimensions": "8"}, "dimensions"),
    ],
)
def test_a_bad_request_for_embeddings_is_told_what_is_wrong(
    body: dict[str, Any], message: str, server: Server
) -> None:
    answer = server.post("/v1/embeddings", body)
    assert answer.status_code == 400
    assert message in answer.json()["message"]


def test_a_runtime_gives_embeddings_as_json_text(server: Server) -> None:
    found = json.loads(server.runtime.encode(["They wrote", "x"], normalize=False))
    body = {"text": "They wrote", "normalize": False}
    expected = server.post("/encode", body).json()["embedding"]
    assert len(found) == 2
    np.testing.assert_allclose(found[0]["embedding"], expected, atol=1e-5)
