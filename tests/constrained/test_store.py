"""Compiled grammars on disk."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from radixlm.constrained import store as store_module
from radixlm.constrained.contract import Contract, Finding, Status
from radixlm.constrained.errors import LimitError, UnsupportedError
from radixlm.constrained.lowered import Lowered, Refusal
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.store import Store
from radixlm.constrained.vocab import Vocabulary

SPEC = GrammarSpec.regex("a+")
FINDING = Finding("/a/~1b", Status.CHECKED, "why", "what else")
MADE = Lowered("llguidance", "start: /a+/", '{"type": "string"}', Contract((FINDING,)))


@pytest.fixture
def store(tmp_path: Path, byte_vocabulary: Vocabulary) -> Store:
    return Store(tmp_path / "grammars", byte_vocabulary, "auto", max_bytes=10_000)


def test_what_is_put_is_got(store: Store, tmp_path: Path, byte_vocabulary: Vocabulary) -> None:
    assert store.get(SPEC) is None
    store.put(SPEC, MADE)
    assert store.get(SPEC) == MADE
    other = Store(tmp_path / "grammars", byte_vocabulary, "auto", max_bytes=10_000)
    assert other.get(SPEC) == MADE
    assert store.get(GrammarSpec.regex("b+")) is None
    assert store.get(GrammarSpec("regex", "a+", "best_effort")) is None


def test_a_refusal_comes_back_as_the_same_error(store: Store) -> None:
    error = UnsupportedError("not so", kind="json_schema", pointer="/a", hint="do this")
    store.put(SPEC, Refusal.of(error))
    found = store.get(SPEC)
    assert isinstance(found, Refusal)
    assert type(found.error()) is UnsupportedError
    assert str(found.error()) == str(error)
    assert isinstance(Refusal.of_limit("much", "regex").error(), LimitError)


def test_another_vocabulary_back_end_or_code_shares_nothing(
    store: Store, tmp_path: Path, byte_vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(SPEC, MADE)
    folder = tmp_path / "grammars"
    others = Vocabulary((*byte_vocabulary.tokens[:-1], b"more", b""), frozenset({257}))
    assert Store(folder, others, "auto", max_bytes=10_000).get(SPEC) is None
    assert Store(folder, byte_vocabulary, "xgrammar", max_bytes=10_000).get(SPEC) is None
    monkeypatch.setattr(store_module, "code_digest", lambda: "newer")
    assert Store(folder, byte_vocabulary, "auto", max_bytes=10_000).get(SPEC) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "words"])
def test_a_damaged_file_is_ignored_removed_and_told_of_once(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    for spec in (SPEC, GrammarSpec.regex("b+")):
        store.put(spec, MADE)
    for path in (tmp_path / "grammars").iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(
            {"cut": bytes(data[:-3]), "flip": bytes(data), "empty": b"", "words": b"no " * 30}[
                damage
            ]
        )
    with caplog.at_level(logging.WARNING):
        assert store.get(SPEC) is None
        assert store.get(GrammarSpec.regex("b+")) is None
    assert len(caplog.records) == 1
    assert "damaged" in caplog.text
    assert list((tmp_path / "grammars").iterdir()) == []
    store.put(SPEC, MADE)
    assert store.get(SPEC) == MADE


def test_the_files_are_bounded_and_the_least_used_goes_first(store: Store, tmp_path: Path) -> None:
    specs = [GrammarSpec.regex(f"{letter}+") for letter in "abcd"]
    large = Lowered("llguidance", "x" * 3_000)
    for age, spec in enumerate(specs[:3]):
        store.put(spec, large)
        newest = max((tmp_path / "grammars").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (age + 1, age + 1))
    assert store.get(specs[0]) == large  # which makes it the last used
    store.put(specs[3], large)
    assert [store.get(spec) is not None for spec in specs] == [True, False, True, True]
    store.put(GrammarSpec.regex("e"), Lowered("llguidance", "x" * 20_000))  # more than all
    assert store.get(GrammarSpec.regex("e")) is None
    sizes = [path.stat().st_size for path in (tmp_path / "grammars").iterdir()]
    assert sum(sizes) <= 10_000


def test_a_folder_that_cannot_be_written_is_told_of_and_nothing_is_kept(
    tmp_path: Path, byte_vocabulary: Vocabulary, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "grammars", byte_vocabulary, "auto", max_bytes=1_000)
    with caplog.at_level(logging.WARNING):
        store.put(SPEC, MADE)
        store.put(SPEC, MADE)
    assert store.get(SPEC) is None
    assert len(caplog.records) == 1
