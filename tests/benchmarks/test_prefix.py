"""What `benchmarks/prefix.py` counts as shareable."""

import random

import pytest

from ..scripts import load


@pytest.mark.parametrize("seed", range(20))
def test_shareable_is_the_longest_prefix_that_an_earlier_prompt_has(seed: int) -> None:
    module = load("benchmarks/prefix.py")
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
