"""Back ends over two vocabularies: one token a byte, and a small byte-level BPE trained here."""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path
from typing import Protocol

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from radixlm.constrained import auto_backend, llguidance_backend
from radixlm.constrained.grammar import Grammar
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary
from radixlm.constrained.xgrammar_backend import Compiler

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and nobody minds.",
    'They wrote {"name": "Ada", "age": 36, "tags": ["math", "engines"]} in 1843.',
    '{"ok": true, "none": null, "list": [1, 2, 3.5], "text": "a\\nb"}',
    "Les élèves déjà là; 東京 2026-01-01T10:00:00Z 😀 naïve café.",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


class Backend(Protocol):
    def compile(self, spec: GrammarSpec) -> Grammar: ...


class Accepts(Protocol):
    def __call__(self, spec: GrammarSpec, text: str) -> bool: ...


@pytest.fixture(scope="session")
def byte_vocabulary() -> Vocabulary:
    return Vocabulary((*(bytes([byte]) for byte in range(256)), b""), frozenset({256}))


@pytest.fixture(scope="session")
def byte_compiler(byte_vocabulary: Vocabulary) -> Compiler:
    return Compiler(byte_vocabulary)


@pytest.fixture(scope="session")
def byte_llguidance(byte_vocabulary: Vocabulary) -> llguidance_backend.Compiler:
    return llguidance_backend.Compiler(byte_vocabulary)


@pytest.fixture(scope="session")
def byte_auto(byte_vocabulary: Vocabulary) -> auto_backend.Compiler:
    return auto_backend.Compiler(byte_vocabulary)


@pytest.fixture(scope="session")
def accepts(byte_auto: auto_backend.Compiler) -> Accepts:
    """Whether a grammar takes a whole text, byte by byte."""
    return taker(byte_auto)


@pytest.fixture(scope="session")
def xgrammar_accepts(byte_compiler: Compiler) -> Accepts:
    return taker(byte_compiler)


def taker(compiler: Backend) -> Accepts:
    compiled: dict[GrammarSpec, Grammar] = {}

    def accepts(spec: GrammarSpec, text: str) -> bool:
        if spec not in compiled:
            compiled[spec] = compiler.compile(spec)
        matcher = compiled[spec].matcher()
        return all(matcher.accept(byte) for byte in text.encode()) and matcher.is_accepting

    return accepts


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")


@pytest.fixture(scope="session")
def vocabulary(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert isinstance(stop, int)
    return Vocabulary.from_tokenizer(tokenizer, vocab_size=len(tokenizer) + 10, stop_ids=[stop])


@pytest.fixture(scope="session", params=["gpt-2", "phi-3", "qwen2.5"])
def real_tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> PreTrainedTokenizerFast:
    if "RADIXLM_DATA" not in os.environ:
        pytest.skip("RADIXLM_DATA does not name the folder of shared data")
    folder = Path(os.environ["RADIXLM_DATA"]) / "tokenizers" / request.param
    packed = folder / "tokenizer.json.xz"
    data = (
        lzma.decompress(packed.read_bytes())
        if packed.exists()
        else (folder / "tokenizer.json").read_bytes()
    )
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    path.write_bytes(data)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    return PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token=config["eos_token"])
