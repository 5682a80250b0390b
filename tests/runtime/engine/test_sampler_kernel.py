"""The compiled sampler against the one in torch, and against itself in other batches."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from radixlm.constrained.bitmask import apply_bitmask_reference
from radixlm.runtime.engine import logits as arithmetic
from radixlm.runtime.engine import native_sampler
from radixlm.runtime.engine.native_sampler import NativeDraw
from radixlm.runtime.engine.sampler import FAILED, Drawing, Sampler

REFERENCE = Sampler(cpu_kernels=False)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def kernel() -> NativeDraw:
    return NativeDraw()


def random_drawing(rng: np.random.Generator, rows: int, vocab: int) -> Drawing:
    """Return rows each with some of the filters, in all combinations."""
    with_k, with_p, with_min, greedy = rng.random((4, rows)) < [[0.5], [0.5], [0.4], [0.1]]
    return Drawing(
        greedy=greedy,
        temperature=rng.choice([0.05, 0.7, 1.0, 1.7, 40.0], rows).astype(np.float32),
        top_k=np.where(with_k, rng.integers(1, vocab + 20, rows), -1),
        top_p=np.where(with_p, rng.uniform(0.01, 1, rows), 1).astype(np.float32),
        min_p=np.where(with_min, rng.uniform(0, 1, rows) ** 3, 0).astype(np.float32),
        seed=rng.integers(0, 2**64, rows, dtype=np.uint64),
        position=rng.integers(0, 1 << 20, rows),
    )


def same_drawing(rows: int, top_k: int, top_p: float, min_p: float) -> Drawing:
    return Drawing(
        greedy=np.zeros(rows, dtype=np.bool_),
        temperature=np.ones(rows, dtype=np.float32),
        top_k=np.full(rows, top_k),
        top_p=np.full(rows, top_p, dtype=np.float32),
        min_p=np.full(rows, min_p, dtype=np.float32),
        seed=np.arange(rows, dtype=np.uint64),
        position=np.full(rows, 3),
    )


def random_logits(rng: np.random.Generator, rows: int, vocab: int) -> Tensor:
    """Return rows from flat to steep, some of their tokens forbidden."""
    steepness = rng.choice([0.1, 1.0, 3.0, 20.0], (rows, 1))
    values = rng.standard_normal((rows, vocab)) * steepness
    values[rng.random((rows, vocab)) < rng.choice([0, 0.5], (rows, 1))] = -np.inf
    values[:, -1] = 0  # something is allowed
    return torch.from_numpy(values.astype(np.float32))


def is_a_matter_of_rounding(logits: Tensor, drawing: Drawing, tokens: tuple[int, int]) -> bool:
    """Whether two tokens of a row score the same, or a filter's sum ends between them."""
    scaled = logits.double() / float(drawing.temperature[0])
    noise = arithmetic.gumbel_noise(
        arithmetic.noise_keys(drawing.seed, drawing.position), len(logits), CPU
    )
    scores = scaled + noise[0].double()
    if abs(float(scores[tokens[0]] - scores[tokens[1]])) < 1e-4:
        return True
    probs = scaled.softmax(-1)
    for token in tokens:
        likelier = probs[probs > probs[token]]
        rank_gap = (likelier - probs[token]).min() if len(likelier) else torch.tensor(1.0)
        if abs(float(likelier.sum()) - float(drawing.top_p[0])) < 1e-5:
            return True
        if float(rank_gap) < 1e-6 * float(probs[token]):  # one probability in f32
            return True
        if abs(float(probs[token] / probs.max()) - float(drawing.min_p[0])) < 1e-6:
            return True
    return False


def assert_agreement(kernel: NativeDraw, logits: Tensor, drawing: Drawing) -> int:
    """Assert that both draw the same but for rounding, and return how often that decided."""
    tokens, expected = kernel(logits, drawing), REFERENCE.draw(logits, drawing).numpy()
    differing = np.flatnonzero(tokens != expected)
    for row in differing:
        pair = int(tokens[row]), int(expected[row])
        assert FAILED not in pair
        assert is_a_matter_of_rounding(logits[row], drawing.take(np.array([row])), pair), (
            f"row {row} draws {pair[0]}, and {pair[1]} in torch: {drawing.take(np.array([row]))}"
        )
    return len(differing)


@needs_compiler
@pytest.mark.parametrize("vocab", [1, 2, 7, 8, 9, 31, 40, 513, 1024, 5003])
def test_the_kernel_draws_what_torch_draws(kernel: NativeDraw, vocab: int) -> None:
    rng = np.random.default_rng(vocab)
    rows = 1000 if vocab < 100 else 100
    logits = random_logits(rng, rows, vocab)
    assert assert_agreement(kernel, logits, random_drawing(rng, rows, vocab)) <= 1


@needs_compiler
def test_a_large_vocabulary_draws_what_torch_draws(kernel: NativeDraw) -> None:
    rng = np.random.default_rng(0)
    assert_agreement(kernel, random_logits(rng, 4, 128_256), random_drawing(rng, 4, 128_256))


@needs_compiler
@pytest.mark.parametrize(
    ("top_k", "top_p", "min_p"),
    [(-1, 1.0, 0.0), (4, 1.0, 0.0), (5, 1.0, 0.0), (-1, 0.5, 0.0), (-1, 1.0, 0.4), (9, 0.9, 0.2)],
)
def test_the_kernel_draws_every_kept_token_and_no_other(
    kernel: NativeDraw, top_k: int, top_p: float, min_p: float
) -> None:
    """Tokens 3, 4 and 5 are as likely as each other, and the top 4 end within them."""
    logits = torch.tensor([0.0, 1.0, -1.5, 0.5, 0.5, 0.5, 0.7, -torch.inf, -0.2, 0.2, -2.0])
    draws = 4000
    drawing = same_drawing(draws, top_k, top_p, min_p)
    kept = logits[None].clone()
    columns = (drawing.top_k[:1], drawing.top_p[:1], drawing.min_p[:1])
    arithmetic.keep_likeliest(kept, *columns)
    drawn = set(kernel(logits.expand(draws, -1), drawing).tolist())
    assert drawn == set(kept[0].isfinite().nonzero().flatten().tolist())


@needs_compiler
def test_noise_is_that_of_torch_from_the_rarest_to_the_commonest(kernel: NativeDraw) -> None:
    """A token with the same score as another, and 2e-5 more or less, wins or loses against it."""
    vocab, margin = 20_000, 2e-5
    drawing = same_drawing(1, -1, 1.0, 0.0)
    keys = arithmetic.noise_keys(drawing.seed, drawing.position)
    noise = arithmetic.gumbel_noise(keys, vocab, CPU)[0].double()
    order = noise.argsort()
    other = int(order[vocab // 2])
    for token in order[[*range(20), *range(100, vocab, 997), *range(-20, 0)]].tolist():
        for more in (margin, -margin):
            logits = torch.full((1, vocab), -torch.inf)
            logits[0, token] = 0
            logits[0, other] = float(noise[token] - noise[other]) - more
            if token != other:
                assert kernel(logits, drawing) == [token if more > 0 else other]


@needs_compiler
def test_tokens_of_a_row_are_the_same_alone_and_in_any_batch(kernel: NativeDraw) -> None:
    rng = np.random.default_rng(1)
    logits, drawing = random_logits(rng, 40, 4099), random_drawing(rng, 40, 4099)
    together = kernel(logits, drawing)
    for row in range(40):
        assert kernel(logits[row : row + 1], drawing.take(np.array([row]))) == together[row]
    order = rng.permutation(40)
    assert np.array_equal(kernel(logits[order], drawing.take(order)), together[order])


@needs_compiler
@pytest.mark.parametrize("vocab", [5, 31, 32, 64, 1030])
@pytest.mark.parametrize("covered", [0, 40], ids=["whole", "padded"])
def test_a_mask_forbids_as_if_it_had_been_applied(
    kernel: NativeDraw, vocab: int, covered: int
) -> None:
    """Half of the rows are held to one of three masks, which may end before the logits do."""
    rng = np.random.default_rng(vocab)
    logits, drawing = random_logits(rng, 60, vocab + covered), random_drawing(rng, 60, vocab)
    drawing.greedy[::3] = True
    words = rng.integers(-(2**31), 2**31, (3, -(-vocab // 32))).astype(np.int32)
    words[2] = 0
    mask = torch.from_numpy(words)
    pairs = np.stack((rng.permutation(60)[:30], rng.integers(0, 3, 30)), 1).astype(np.int32)
    masked = logits.clone()
    apply_bitmask_reference(masked, mask, torch.from_numpy(pairs))
    found = kernel(logits, drawing, mask, pairs)
    assert np.array_equal(found, kernel(masked, drawing))
    assert set(found[pairs[pairs[:, 1] == 2, 0]].tolist()) == {FAILED}
    assert torch.equal(Sampler().draw(logits, drawing, mask=mask, pairs=pairs), torch.tensor(found))


@needs_compiler
def test_helping_threads_draw_the_same(kernel: NativeDraw) -> None:
    rng = np.random.default_rng(2)
    logits, drawing = random_logits(rng, 64, 2000), random_drawing(rng, 64, 2000)
    alone = kernel(logits, drawing)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        helped = NativeDraw()
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(helped(logits, drawing), alone) for _ in range(20))


def spoil_first(row: Tensor) -> None:
    row[0] = torch.nan


def spoil_last(row: Tensor) -> None:
    row[-1] = torch.nan


def spoil_infinite(row: Tensor) -> None:
    row[-2] = torch.inf


def spoil_all(row: Tensor) -> None:
    row.fill_(-torch.inf)


@needs_compiler
@pytest.mark.parametrize("spoil", [spoil_first, spoil_last, spoil_infinite, spoil_all])
@pytest.mark.parametrize("vocab", [5, 16, 43])
def test_unusable_rows_fail_alone(
    kernel: NativeDraw, spoil: Callable[[Tensor], None], vocab: int
) -> None:
    rng = np.random.default_rng(3)
    logits, drawing = random_logits(rng, 60, vocab), random_drawing(rng, 60, vocab)
    expected = kernel(logits, drawing)
    for row in range(0, 60, 3):
        spoil(logits[row])
        expected[row] = FAILED
    assert np.array_equal(kernel(logits, drawing), expected)


@needs_compiler
def test_logits_that_a_temperature_makes_infinite_fail(kernel: NativeDraw) -> None:
    drawing = same_drawing(1, -1, 1.0, 0.0)
    drawing.temperature[:] = 2e-6
    logits = torch.tensor([[1e34, 1.0]])
    assert kernel(logits, drawing) == REFERENCE.draw(logits, drawing).numpy() == FAILED


@needs_compiler
def test_logits_and_columns_may_be_views(kernel: NativeDraw) -> None:
    rng = np.random.default_rng(4)
    logits, drawing = random_logits(rng, 30, 50), random_drawing(rng, 30, 50)
    every_other = slice(None, None, 2)
    columns: list[NDArray[np.generic]] = [
        getattr(drawing, name)[every_other] for name in drawing.__slots__
    ]
    tokens = kernel(logits[every_other, 3:], Drawing(*columns))  # type: ignore[arg-type]
    picked = drawing.take(np.arange(0, 30, 2))
    assert np.array_equal(tokens, kernel(logits[every_other, 3:].contiguous(), picked))


def test_without_a_compiler_torch_draws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    rng = np.random.default_rng(5)
    logits, drawing = random_logits(rng, 8, 50), random_drawing(rng, 8, 50)
    assert np.array_equal(
        Sampler().draw(logits, drawing).numpy(), REFERENCE.draw(logits, drawing).numpy()
    )


def test_switched_off_the_kernel_is_not_even_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_library(source: str) -> None:
        raise AssertionError(source)

    monkeypatch.setattr(native_sampler, "load_library", load_library)
    Sampler(cpu_kernels=False)
    with pytest.raises(AssertionError, match=r"sampler\.cpp"):
        Sampler()
