import asyncio
import json
from typing import Any

import pytest

from radixlm.constrained.contract import Failure
from radixlm.runtime.desk import check
from radixlm.runtime.desk.check import Checker
from radixlm.runtime.request import SamplingParams

UNIQUE = {"type": "array", "uniqueItems": True}
# Each "a" doubles the ways in which Python's `re` tries to match.
ENDLESS = {"type": "string", "pattern": "^(?=(a+)+$)"}


def sampling(schema: dict[str, Any]) -> SamplingParams:
    return SamplingParams(json_schema=json.dumps(schema), schema_mode="best_effort")


@pytest.mark.slow
def test_a_check_that_never_ends_is_a_failure_and_the_next_one_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> list[list[Failure]]:
        checker = Checker()
        try:
            first = await checker.check(sampling(UNIQUE), "[1, 1.0]")
            monkeypatch.setattr(check, "PATIENCE_S", 0.3)
            ticks = asyncio.create_task(tick())
            endless = await checker.check(sampling(ENDLESS), json.dumps("a" * 60 + "b"))
            ticks.cancel()
            monkeypatch.setattr(check, "PATIENCE_S", 30.0)
            return [first, endless, await checker.check(sampling(UNIQUE), "[1, 2]")]
        finally:
            checker.close()

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)
            beats.append(1)

    beats: list[int] = []
    first, endless, last = asyncio.run(run())
    assert [failure.keyword for failure in first] == ["/uniqueItems"]
    assert [failure.reason for failure in endless] == ["the document was not checked within 0.3 s"]
    assert last == []
    assert len(beats) > 5  # the event loop went on
