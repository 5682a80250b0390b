"""Grammars that may take long are compiled where they can be ended."""

from __future__ import annotations

import pytest
import torch

from radixlm.constrained import xgrammar_process
from radixlm.constrained.bitmask import allocate_bitmask
from radixlm.constrained.errors import LimitError
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary
from radixlm.constrained.xgrammar_backend import Compiler

WORDS = GrammarSpec.ebnf('root ::= ("ab" | "cd"){2,9} [x-z]+')


@pytest.fixture(scope="module")
def compiler(byte_vocabulary: Vocabulary) -> Compiler:
    return Compiler(byte_vocabulary)


@pytest.mark.slow
def test_what_was_compiled_elsewhere_masks_the_same(
    compiler: Compiler, byte_vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = compiler.compile(WORDS).matcher()
    monkeypatch.setattr(xgrammar_process, "MAX_CHEAP_WORK", 0)
    there = compiler.compile(WORDS).matcher()
    masks = allocate_bitmask(2, byte_vocabulary.size)
    for byte in b"abcdabx":
        here.fill(masks, 0)
        there.fill(masks, 1)
        assert torch.equal(masks[0], masks[1])
        assert here.accept(byte)
        assert there.accept(byte)


@pytest.mark.slow
def test_a_grammar_past_its_time_is_ended_and_the_next_is_compiled(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xgrammar_process, "MAX_CHEAP_WORK", 0)
    compiler.compile(WORDS)  # the process is there
    monkeypatch.setattr(xgrammar_process, "TIMEOUT_S", 0.0)
    with pytest.raises(LimitError, match="does not compile within 0 s"):
        compiler.compile(GrammarSpec.ebnf('root ::= "a" root | "b"'))
    monkeypatch.setattr(xgrammar_process, "TIMEOUT_S", 60.0)
    assert compiler.compile(WORDS).matcher().accept(ord("a"))


def test_a_small_grammar_is_cheap_and_a_large_one_is_not() -> None:
    small = {"grammar_expr_data": [8, 3, 0, 1, 5], "grammar_expr_indptr": [0]}
    large = {"grammar_expr_data": [8, 3, 0, 1, 5000], "grammar_expr_indptr": [0]}
    assert xgrammar_process.is_cheap(small, 128_256)
    assert not xgrammar_process.is_cheap(large, 128_256)
