"""A short run of `benchmarks/complete.py` on the schemas that it has of its own."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "complete.py"


@pytest.mark.slow
def test_every_generation_is_valid_whole_and_within_its_budget(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RADIXLM_DATA", raising=False)
    spec = importlib.util.spec_from_file_location("benchmark_of_budgets", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    (result,) = module.main(["--generations", "36", "--json"])
    assert result["generations"] == 36
    assert result["valid_and_whole"] == result["within_budget"] == 36
    assert result["refused_below"] == result["schemas"] == 6
    assert result["closed_by_budget"] > 12
    assert not result["wrong"]
    assert '"valid_and_whole": 36' in capsys.readouterr().out
