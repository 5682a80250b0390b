"""The soak of `benchmarks/schema_soak.py`, shortened."""

import sys
from pathlib import Path

import pytest

from ..scripts import load


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_stays_flat_over_hundreds_of_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    # 300 schemas after the warm-up: if all were kept, they would take twice what may be grown.
    report = load("benchmarks/schema_soak.py").soak(400, max_cached=32)
    assert report.refused == 0
    assert report.is_flat, report
