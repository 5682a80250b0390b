"""`GET /metrics`, as Prometheus reads it."""

from __future__ import annotations

import re

from .conftest import Server


def read(server: Server) -> dict[str, float]:
    answer = server.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found: dict[str, float] = {}
    kinds: dict[str, str] = {}
    for line in answer.text.splitlines():
        if match := re.fullmatch(r"# TYPE (\w+) (gauge|counter)", line):
            kinds[match[1]] = match[2]
        elif not line.startswith("# HELP "):
            name, _, value = line.partition(" ")
            assert name.endswith("_total") == (kinds[name] == "counter")
            found[name.removeprefix("radixlm_")] = float(value)
    assert found.keys() == {name.removeprefix("radixlm_") for name in kinds}
    return found


def test_counters_grow_with_requests_and_their_grammars(server: Server) -> None:
    before = read(server)
    params = {"regex": "metric [0-9]{3}", "max_new_tokens": 40}
    counts = [server.generate("x", params)["meta_info"]["completion_tokens"] for _ in range(2)]
    refused = server.post("/generate", {"text": "x", "sampling_params": {"regex": "(metric"}})
    assert refused.status_code == 400
    after = read(server)
    grown = {name: after[name] - before[name] for name in after}
    assert grown["generated_tokens_total"] == sum(counts)
    assert grown["grammars_compiled_total"] == 1
    assert grown["grammars_hits_total"] == 1
    assert grown["grammars_refused_total"] == 1
    assert after["grammars_queued"] == after["grammars_compiling"] == 0
    held = after["free_tokens"] + after["cached_tokens"] + after["leased_tokens"]
    assert held == after["pool_tokens"]
