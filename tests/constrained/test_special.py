"""Marks that are special tokens: they come by their ids, where a grammar names them."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from radixlm.constrained import auto_backend, outlines_backend, xgrammar_backend
from radixlm.constrained.closing import Closing
from radixlm.constrained.errors import MalformedError, UnsupportedError
from radixlm.constrained.forced import Run, Spelling
from radixlm.constrained.grammar import Matcher
from radixlm.constrained.spec import GrammarSpec, Reasoning
from radixlm.constrained.special import character, decoded, encoded, pieces
from radixlm.constrained.vocab import Vocabulary

from .test_backends import allowed

SPECIAL = ("<think>", "</think>", "[CALLS]", "<|channel|>", "<|message|>", "<|end|>")
EXTRA = (b"</", b"think>", b'{"', b'":', b"\n\n", b"ab", b"[CALLS", b"to=f.")
STOP = 256 + len(EXTRA) + len(SPECIAL)
FLAG: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 9}},
    "required": ["a"],
    "additionalProperties": False,
}
THINKING = Reasoning("<think>", gap="\n\n", max_tokens=5)
REASONED = {
    "json": GrammarSpec.json_schema(FLAG).after(THINKING),
    "open": GrammarSpec.choices(["ab", "b"]).after(Reasoning()),
    "none": GrammarSpec.regex("[ab]{2}").after(Reasoning("<think>", max_tokens=0)),
    "mixed": GrammarSpec.ebnf('root ::= "(" root ")" | "</"').after(
        Reasoning("is<think>", "so</think>!", max_tokens=3)
    ),
}


def tag(format_: dict[str, Any]) -> GrammarSpec:
    return GrammarSpec.structural_tag({"type": "structural_tag", "format": format_})


CALL = {"begin": "[CALLS]f", "content": {"type": "json_schema", "json_schema": FLAG}, "end": "]"}
HEAD = "<|channel|>to=f.g<|message|>"
CHANNELS = {
    "type": "triggered_tags",
    "triggers": ["<|channel|>to=f."],
    "tags": [{**CALL, "begin": HEAD, "end": "<|end|>"}],
}
FREE = {"type": "any_text"}
TAGS = {
    "forced": tag({"type": "tags_with_separator", "tags": [CALL], "separator": "<|end|>"}),
    "behind": tag(
        {
            "type": "sequence",
            "elements": [
                {"type": "tag", "begin": "", "content": FREE, "end": ["</think>"]},
                {"type": "const_string", "value": "\n\n"},
                {"type": "tag", **CALL},
            ],
        }
    ),
    "triggered": tag({"type": "triggered_tags", "triggers": ["[CALLS]"], "tags": [CALL]}),
    "channels": tag(CHANNELS),
    "one": tag({**CHANNELS, "at_least_one": True, "stop_after_first": True}),
}


@pytest.fixture(scope="module")
def marked() -> Vocabulary:
    texts = (*(b"" if byte == 0xFF else bytes([byte]) for byte in range(256)), *EXTRA)
    codes = tuple(encoded(character(index)) for index in range(len(SPECIAL)))
    return Vocabulary((*texts, *codes, b""), frozenset({STOP}), SPECIAL)


@pytest.fixture(scope="module")
def compiler(marked: Vocabulary) -> auto_backend.Compiler:
    return auto_backend.Compiler(marked)


def id_of(mark: str) -> int:
    return 256 + len(EXTRA) + SPECIAL.index(mark)


def shown(tokens: list[int], vocabulary: Vocabulary) -> str:
    """The text of tokens with the special ones, as the desk shows it."""
    first = id_of(SPECIAL[0])
    texts = [
        SPECIAL[token - first].encode() if first <= token < STOP else vocabulary.tokens[token]
        for token in tokens
    ]
    return b"".join(texts).decode()


def fed(matcher: Matcher, text: str) -> bool:
    """Give a text to a match: special tokens by their ids, the rest byte by byte."""
    parts = re.split(f"({'|'.join(map(re.escape, SPECIAL))})", text)
    tokens = [
        token
        for at, part in enumerate(parts)
        for token in ([id_of(part)] if at % 2 else part.encode())
    ]
    return all(map(matcher.accept, tokens))


def test_texts_and_codes_are_told_apart() -> None:
    text = f"é{character(0)}東{character(2047)}"
    assert decoded(encoded(text)) == text
    assert decoded(encoded(text) + "東".encode()[:2]) == text
    assert pieces(text) == ["é", character(0), "東", character(2047), ""]
    with pytest.raises(UnicodeDecodeError):
        encoded(text).decode()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", [*REASONED, *TAGS])
def test_the_mask_is_the_set_of_tokens_that_a_fork_accepts(
    name: str, seed: int, compiler: auto_backend.Compiler, marked: Vocabulary
) -> None:
    rng = random.Random(seed)
    matcher, masks = compiler.compile({**REASONED, **TAGS}[name]).matcher(), []
    marks = {*map(id_of, SPECIAL)}
    while True:
        masks.append(mask := allowed(matcher, marked))
        assert mask == {token for token in range(marked.size) if matcher.fork().accept(token)}
        if not mask - marked.stop_ids or len(masks) == 30:
            break
        likely = sorted(mask & marks) or sorted(mask - marked.stop_ids)
        assert matcher.accept(rng.choice(rng.choice([likely, sorted(mask - marked.stop_ids)])))
    count = rng.randrange(len(masks))
    matcher.rollback(count)
    assert allowed(matcher, marked) == masks[len(masks) - 1 - count]


def test_the_mark_ends_the_reasoning_and_text_that_looks_like_it_does_not(
    compiler: auto_backend.Compiler, marked: Vocabulary
) -> None:
    matcher = compiler.compile(REASONED["open"]).matcher()
    assert all(map(matcher.accept, b"a</think>b"))
    assert not matcher.accept(id_of("<|end|>"))
    assert matcher.accept(id_of("</think>"))
    assert allowed(matcher, marked) == {ord("a"), ord("b"), marked.tokens.index(b"ab")}


def test_opening_and_end_are_forced_by_their_tokens(compiler: auto_backend.Compiler) -> None:
    matcher = compiler.compile(REASONED["json"]).matcher()
    assert matcher.forced() == character(0)
    assert not matcher.accept(ord("<"))
    assert fed(matcher, "<think>abcde")
    assert matcher.forced() == f'{character(1)}\n\n{{"a":'
    assert fed(matcher, '</think>\n\n{"a": "')
    assert not any(matcher.accept(id_of(mark)) for mark in SPECIAL)


@pytest.mark.parametrize("name", [*REASONED, *TAGS])
def test_texts_are_whole_at_every_budget(
    name: str, compiler: auto_backend.Compiler, marked: Vocabulary
) -> None:
    spec = {**REASONED, **TAGS}[name]
    grammar = compiler.compile(spec)
    minimum = grammar.completion.minimum
    assert minimum is not None
    for seed in range(8):
        rng = random.Random(seed)
        match = Closing.of(grammar, minimum.tokens + seed * seed // 3)
        assert isinstance(match, Closing)
        tokens: list[int] = []
        while match.remaining and not match.is_finished:
            choices = sorted(allowed(match, marked))
            while not match.admits(token := rng.choice(choices)):
                choices.remove(token)
                if not choices:
                    token = match.way_out()
                    break
            if token in marked.stop_ids:
                break
            assert match.accept(token)
            tokens.append(token)
        assert match.is_accepting
        text = shown(tokens, marked)
        if spec.reasoning is not None:
            assert spec.reasoning.end in text
        for document in re.findall(r'\{"a".*?"\}', text, re.DOTALL):
            assert len(json.loads(document)["a"]) <= 9


def test_calls_between_special_tokens_are_held_to_their_schemas(
    compiler: auto_backend.Compiler,
) -> None:
    def takes(name: str, text: str) -> bool:
        matcher = compiler.compile(TAGS[name]).matcher()
        return fed(matcher, text) and matcher.is_accepting

    call = '[CALLS]f{"a":"x"}]'
    assert takes("forced", f"{call}<|end|>{call}")
    assert not takes("forced", f"{call}{call}")
    assert takes("behind", f"I <see> it.</think>\n\n{call}")
    assert not takes("behind", call)
    assert takes("triggered", f"No. [CALLS {call} Yes.{call}")
    assert takes("triggered", f"<think>Hm.</think>{call}")  # as models write around calls
    assert not takes("triggered", '[CALLS]f{"a":1}]')
    said = "<|channel|>analysis<|message|>Hm. to=f.<|end|>"
    for name in ("channels", "one"):
        assert takes(name, f'{said}{HEAD}{{"a":"x"}}<|end|>')
        assert not takes(name, f'{said}{HEAD}{{"b":"x"}}<|end|>')
        assert not takes(name, f"{said}<|channel|>to=f.h")
    assert takes("channels", said)
    assert not takes("one", said)


def test_forced_runs_have_special_tokens_by_their_ids(marked: Vocabulary) -> None:
    spelling = Spelling(marked, lambda text: list(text.encode()))
    mark = character(1)
    assert spelling.run([], f"x{mark}\n") == Run((ord("x"), id_of("</think>"), ord("\n")), 2)
    assert spelling.run([], mark + mark) == Run((id_of("</think>"),) * 2, 2)
    assert spelling.run([id_of("</think>")], "\n") == Run((ord("\n"),), 0)
    silent = Spelling(marked, lambda text: [])
    assert silent.run([], f"x{mark}") == Run((), 0)


def test_what_cannot_be_written_is_refused_by_its_place(marked: Vocabulary) -> None:
    auto = auto_backend.Compiler(marked)
    with pytest.raises(UnsupportedError, match="xgrammar cannot write") as caught:
        xgrammar_backend.Compiler(marked).compile(TAGS["forced"])
    assert caught.value.pointer == "/format/tags/0/begin"
    both = {**CHANNELS, "triggers": ["<|channel|>", "to"], "tags": [CALL]}
    with pytest.raises(UnsupportedError, match="some with text"):
        auto.compile(tag(both))
    with pytest.raises(UnsupportedError, match="ends inside a special token"):
        auto.compile(tag({**CHANNELS, "triggers": ["[CA"], "tags": [CALL]}))
    with pytest.raises(MalformedError, match="surrogate"):
        GrammarSpec.structural_tag(
            '{"format": {"type": "const_string", "value": "\\ud801"}, "type": "structural_tag"}'
        )


@pytest.mark.parametrize("backend", [xgrammar_backend, outlines_backend])
def test_every_back_end_has_reasoning_between_special_tokens(
    backend: Any, marked: Vocabulary
) -> None:
    matcher = backend.Compiler(marked).compile(REASONED["none"]).matcher()
    assert fed(matcher, "<think></think>ab")
    assert matcher.is_accepting
