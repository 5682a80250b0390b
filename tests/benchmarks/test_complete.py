"""A short run of `benchmarks/complete.py` on the schemas that it has of its own."""

import sys

import pytest

from ..scripts import load


@pytest.mark.slow
def test_every_generation_is_valid_whole_and_within_its_budget(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RADIXLM_DATA", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = load("benchmarks/complete.py")
    (result,) = module.main(["--generations", "36", "--json"])
    assert result["generations"] == 36
    assert result["valid_and_whole"] == result["within_budget"] == 36
    assert result["refused_below"] == result["schemas"] == 6
    assert result["closed_by_budget"] > 12
    assert not result["wrong"]
    assert '"valid_and_whole": 36' in capsys.readouterr().out
