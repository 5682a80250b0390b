"""The soak of `benchmarks/soak.py`, shortened."""

from pathlib import Path

import pytest

from ..scripts import load


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_arrivals_aborts_pins_and_flushes_leave_nothing_behind(tiny_model: str) -> None:
    module = load("benchmarks/soak.py")
    report = module.soak(40, model_path=tiny_model)
    assert not report.faults, report
