"""The shipped model, in this process and behind a server: started once for all that ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import radixlm as rl


@pytest.fixture(scope="session")
def engine() -> Iterator[rl.Engine]:
    with rl.Engine(in_process=True) as made:
        yield made


@pytest.fixture(scope="session")
def server() -> Iterator[rl.Runtime]:
    with rl.Runtime(port=31700) as runtime:
        yield runtime
