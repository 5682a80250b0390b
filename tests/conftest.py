"""What all rooms' tests have in common: which of them `make quick` leaves out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter

import pytest
from hypothesis import settings

from radixlm.runtime.kernels.build import cache_folder

settings.register_profile("quick", max_examples=25)


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a cache of its own: a grammar kept by an earlier run is not compiled again.

    The compiled kernels stay where they are, for they take a minute.
    """
    kernels = cache_folder() / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    base = tempfile.mkdtemp(prefix="radixlm-tests-")
    config.add_cleanup(lambda: shutil.rmtree(base, ignore_errors=True))
    os.environ["XDG_CACHE_HOME"] = base
    own = cache_folder()
    own.mkdir()
    (own / "kernels").symlink_to(kernels)


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
