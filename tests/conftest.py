"""What all rooms' tests have in common: which of them `make quick` leaves out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings

settings.register_profile("quick", max_examples=25)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `slow` the tests of a server, and of a long table all cases but each nth.

    A server is a process that imports torch and loads a model: seconds, before any test.
    """
    seen = Counter[str]()
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if "server" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
        if (mark := item.get_closest_marker("sample")) is not None:
            name = f"{item.path}::{item.originalname}"
            if seen[name] % mark.args[0]:
                item.add_marker(pytest.mark.slow)
            seen[name] += 1
