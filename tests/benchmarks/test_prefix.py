"""What `benchmarks/prefix.py` counts as shareable."""

import importlib.util
import random
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "prefix.py"


@pytest.mark.parametrize("seed", range(20))
def test_shareable_is_the_longest_prefix_that_an_earlier_prompt_has(seed: int) -> None:
    spec = importlib.util.spec_from_file_location("benchmark_of_prefixes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    rng = random.Random(seed)
    prompts = [[rng.randrange(2) for _ in range(rng.randint(1, 8))] for _ in range(12)]
    expected = 0
    for index, prompt in enumerate(prompts):
        lengths = [
            next((i for i, (a, b) in enumerate(zip(prompt, other, strict=False)) if a != b),
                 min(len(prompt), len(other)))
            for other in prompts[:index]
        ]  # fmt: skip
        expected += min(max(lengths, default=0), len(prompt) - 1)
    assert module.shareable_tokens(prompts) == expected
