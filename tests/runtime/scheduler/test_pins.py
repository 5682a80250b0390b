"""Pins as the scheduler gives them to users."""

from __future__ import annotations

import numpy as np
import pytest

from radixlm.radix_cache import RadixCache
from radixlm.runtime.messages import Pin
from radixlm.runtime.scheduler import pins


def test_there_is_a_most_of_pins_that_users_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "MAX_PINS", 2)
    cache = RadixCache(16)
    tokens = np.arange(4, dtype=np.int32)
    lease = cache.acquire(tokens)
    cache.extend(lease, 4)
    cache.commit(lease, tokens)
    answers = [
        pins.pin(cache, Pin(call=call, name=f"{call}", tokens=tokens.tolist())) for call in range(3)
    ]
    assert [answer.done for answer in answers] == [True, True, False]
    assert answers[2].error == "2 prefixes are pinned already; unpin some"
    again = pins.pin(cache, Pin(call=4, name="1", tokens=tokens.tolist()[:2]))
    assert again.done, "one that is replaced is no more"
