"""The tree of tokens of options that are scored together."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from radixlm.runtime.scheduler.scoring import ROOT, Options


def random_options(seed: int) -> list[list[int]]:
    """Options over three tokens, so that many begin alike, equal each other or are empty."""
    rng = random.Random(seed)
    return [[rng.randrange(3) for _ in range(rng.randrange(6))] for _ in range(rng.randint(1, 12))]


def text_of(options: Options, node: int) -> tuple[int, ...]:
    tokens: list[int] = []
    while node != ROOT:
        tokens.append(int(options.tokens[node]))
        node = int(options.parents[node])
    return tuple(tokens[::-1])


@pytest.mark.parametrize("seed", range(30))
def test_the_nodes_are_the_beginnings_that_some_option_goes_on_from(seed: int) -> None:
    asked = random_options(seed)
    options = Options.of(asked)
    beginnings = {tuple(o[:end]) for o in asked for end in range(1, len(o))}
    nodes = [text_of(options, node) for node in range(len(options))]
    assert nodes == sorted(beginnings), "each once, depth first"


@pytest.mark.parametrize("seed", range(30))
def test_an_options_path_spells_it(seed: int) -> None:
    asked = random_options(seed)
    options = Options.of(asked)
    for option, path in zip(asked, options.paths, strict=True):
        assert options.targets[path].tolist() == option
        sources = [text_of(options, int(source)) for source in options.sources[path]]
        assert sources == [tuple(option[:end]) for end in range(len(option))]


@pytest.mark.parametrize("seed", range(30))
def test_pieces_cover_any_part_of_the_nodes_and_come_with_the_path_to_them(seed: int) -> None:
    rng = random.Random(seed)
    options = Options.of(random_options(seed))
    begin = rng.randint(0, len(options))
    end = rng.randint(begin, len(options))
    covered: list[int] = []
    for path, first, after in options.runs(begin, end):
        nodes = [*path.tolist(), *range(first, after)]
        assert all(options.parents[b] == a for a, b in itertools.pairwise(nodes))
        assert options.parents[nodes[0]] == ROOT
        covered += range(first, after)
    assert covered == list(range(begin, end))


@pytest.mark.parametrize("seed", range(30))
def test_the_edges_that_leave_a_part_of_the_nodes_lie_side_by_side(seed: int) -> None:
    options = Options.of(random_options(seed))
    found: list[int] = []
    for node in range(ROOT, len(options)):
        edges = options.edges_from(node, node + 1)
        assert (options.sources[edges] == node).all()
        found += range(len(options.sources))[edges]
    assert found == list(range(len(options.sources)))


def test_the_path_of_the_likeliest_option_ends_before_its_last_token() -> None:
    options = Options.of([[5, 6, 7], [5, 8], [9], []])
    options.scores[:] = -3.0
    options.scores[options.paths[0]] = [-0.1, -0.2, -0.3]
    assert options.logprobs()[:2] == [pytest.approx([-0.1, -0.2, -0.3]), pytest.approx([-0.1, -3])]
    assert options.likeliest().tolist() == [], "an empty option has a mean of 0"
    options.scores[options.paths[0]] = 0.5
    assert options.tokens[options.likeliest()].tolist() == [5, 6]


def test_many_options_are_a_tree_in_no_time() -> None:
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 50, (4096, 20)).tolist()
    options = Options.of(asked)
    assert len(options) < 4096 * 19
    assert options.targets[options.paths[-1]].tolist() == asked[-1]
