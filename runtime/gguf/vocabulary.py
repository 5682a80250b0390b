"""The tokenizer that a GGUF file carries, as a fast tokenizer of `transformers`.

`transformers` can convert these files itself, but takes seconds for it and gets SentencePiece's
leading spaces wrong (31 of the 46 texts that llama.cpp tests its own with); here all are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as Steps

from ..errors import ModelLoadError
from .file import GGUFFile

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4  # types of tokens, beside ordinary ones
SPACE = "\u2581"  # what SentencePiece writes for one
# How models split text into words: by `tokenizer.ggml.pre`, a pattern, or None for GPT-2's own.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3, QWEN2 = _WORDS % r"\p{N}{1,3}", _WORDS % r"\p{N}"
PATTERNS = {
    "gpt-2": None,
    "smollm": None,
    "llama-bpe": LLAMA3,
    "llama-v3": LLAMA3,
    "llama3": LLAMA3,
    "qwen2": QWEN2,
    "deepseek-r1-qwen": QWEN2,
}
ONE_BY_ONE = ("smollm",)  # digits are words
NORMALISED = ("qwen2", "deepseek-r1-qwen")


def read_tokenizer(file: GGUFFile) -> Any:
    """Build the tokenizer, with its chat template.

    Returns:
        a `PreTrainedTokenizerFast`.

    Raises:
        ModelLoadError: the file has no tokenizer, or one of a kind that is not known.
    """
    from transformers import PreTrainedTokenizerFast

    kind = file.fields.get("tokenizer.ggml.model")
    tokens = file.fields.get("tokenizer.ggml.tokens")
    if kind not in ("gpt2", "llama") or not tokens:
        raise ModelLoadError(
            f"{file.path}: its tokenizer is {kind!r}; gpt2 and llama are known; "
            "--tokenizer-path names a folder with another"
        )
    made = _byte_level(file, tokens) if kind == "gpt2" else _sentence_piece(file, tokens)
    _add_special(made, file, tokens)
    named = {
        f"{name}_token": tokens[file.fields[f"tokenizer.ggml.{field}_token_id"]]
        for name, field in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
        if f"tokenizer.ggml.{field}_token_id" in file.fields
    }
    if _adds_bos(file, kind) and "bos_token" in named:
        bos, bos_id = named["bos_token"], file.fields["tokenizer.ggml.bos_token_id"]
        made.post_processor = processors.TemplateProcessing(
            single=[bos, "$A"], pair=[bos, "$A", f"{bos}:1", "$B:1"], special_tokens=[(bos, bos_id)]
        )
    make: Any = PreTrainedTokenizerFast  # it has no types
    return make(
        tokenizer_object=made,
        chat_template=file.fields.get("tokenizer.chat_template"),
        clean_up_tokenization_spaces=False,
        **named,
    )


def _byte_level(file: GGUFFile, tokens: Sequence[str]) -> Tokenizer:
    pre = file.fields.get("tokenizer.ggml.pre", "gpt-2")
    if pre not in PATTERNS:
        raise ModelLoadError(
            f"{file.path}: tokenizer.ggml.pre is {pre!r}; known: {', '.join(PATTERNS)}; "
            "--tokenizer-path names a folder with another tokenizer"
        )
    merges = [
        (left, right)
        for left, _, right in (m.partition(" ") for m in file.fields["tokenizer.ggml.merges"])
    ]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    pattern = PATTERNS[pre]
    made = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pattern == LLAMA3))
    steps: list[PreTokenizer] = [Digits(individual_digits=True)] if pre in ONE_BY_ONE else []
    if pattern is not None:
        steps.append(Split(Regex(pattern), "isolated"))
    steps.append(ByteLevel(add_prefix_space=False, use_regex=pattern is None))
    made.pre_tokenizer = Steps(steps)
    if pre in NORMALISED:
        made.normalizer = normalizers.NFC()
    made.decoder = decoders.ByteLevel()
    return made


def _sentence_piece(file: GGUFFile, tokens: Sequence[str]) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    unknown = tokens[file.fields.get("tokenizer.ggml.unknown_token_id", 0)]
    scores = file.fields["tokenizer.ggml.scores"].tolist()
    made = Tokenizer(
        models.BPE(
            vocabulary,
            merges_by_score(vocabulary, scores),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    adds_space = file.fields.get("tokenizer.ggml.add_space_prefix", True)
    replaced = normalizers.Replace(" ", SPACE)
    made.normalizer = (
        normalizers.Sequence([normalizers.Prepend(SPACE), replaced]) if adds_space else replaced
    )
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if adds_space:
        steps.append(decoders.Strip(" ", 1, 0))
    made.decoder = decoders.Sequence(steps)
    return made


def merges_by_score(vocabulary: dict[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Return the merges that SentencePiece would try, best first.

    It joins whatever adjacent pieces make the piece of the highest score; so every way to cut a
    piece in two others is a merge, ranked by the whole's score.
    """
    found: list[tuple[float, int, int, str, str]] = []
    for token, index in vocabulary.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in vocabulary and right in vocabulary:
                found.append((-scores[index], vocabulary[left], vocabulary[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]


def _add_special(made: Tokenizer, file: GGUFFile, tokens: Sequence[str]) -> None:
    types = file.fields.get("tokenizer.ggml.token_type", [])
    added = [
        AddedToken(tokens[index], special=kind != USER_DEFINED, normalized=False)
        for index, kind in enumerate(types)
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ]
    made.add_tokens([token for token in added if not token.special])
    made.add_special_tokens([token for token in added if token.special])


def _adds_bos(file: GGUFFile, kind: str) -> bool:
    """Whether texts begin with BOS; files of some kinds leave that unsaid."""
    usual = kind == "llama" or PATTERNS.get(file.fields.get("tokenizer.ggml.pre", "")) == LLAMA3
    return bool(file.fields.get("tokenizer.ggml.add_bos_token", usual))
