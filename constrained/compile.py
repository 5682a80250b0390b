"""Compiling one grammar at once, with its contract: what scripts and notebooks use.

A server uses `compiler.GrammarCompiler`, which compiles in a process that can be ended, and keeps
what it compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .contract import Contract
from .layout import PropertyOrder, Whitespace
from .spec import GrammarSpec, Mode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from .grammar import Grammar
    from .vocab import Vocabulary

__all__ = ["Compiled", "compile"]


class Compiled(NamedTuple):
    """A grammar and what it promises."""

    grammar: Grammar
    contract: Contract


def compile(
    schema: GrammarSpec | Mapping[str, Any] | bool | str | type,
    vocabulary: Vocabulary | PreTrainedTokenizerFast,
    *,
    mode: Mode = "strict",
    whitespace: Whitespace = "compact",
    property_order: PropertyOrder = "declared",
    backend: str = "auto",
) -> Compiled:
    """Compile a schema, or a spec of any kind, for a tokenizer.

    Args:
        schema: what `GrammarSpec.json_schema` takes, or a spec.
        vocabulary: a vocabulary, or a fast tokenizer of transformers with an end-of-text token. To
            read a tokenizer takes some 0.1 s: make a `Vocabulary` once for many grammars.
        mode: "strict" refuses a schema of which the mask cannot enforce all; "best_effort" leaves
            the rest to `Grammar.check`. A spec has its own mode and layout, which count.
        whitespace: "flexible" lets the text be indented; see `layout.py`.
        property_order: "any": what an object names comes in any order.
        backend: a name in `compiler.BACKENDS`.

    Raises:
        GrammarError: the schema is refused; the error names pointer, keyword and a rewrite.
        ValueError: there is no such back end, or the tokenizer is of no known kind.
    """
    from .compiler import load_backend
    from .vocab import Vocabulary

    if not isinstance(schema, GrammarSpec):
        schema = GrammarSpec.json_schema(
            schema, mode=mode, whitespace=whitespace, property_order=property_order
        )
    if not isinstance(vocabulary, Vocabulary):
        stop_id: Any = vocabulary.eos_token_id
        vocabulary = Vocabulary.from_tokenizer(
            vocabulary, vocab_size=len(vocabulary), stop_ids=[] if stop_id is None else [stop_id]
        )
    grammar = load_backend(backend, vocabulary).compile(schema)
    return Compiled(grammar, grammar.contract)
