"""Tokenizers to test with: real ones where RADIXLM_DATA has them, and one as SentencePiece's."""

from __future__ import annotations

import json
import lzma
import os
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from radixlm.runtime.config import ModelConfig
from radixlm.runtime.tokenizer import Tokenizer, load_tokenizer

REAL = ("gpt-2", "qwen2.5", "llama-3.1", "llama-2-spm", "phi-3")
# A name here -> that of its vectors of texts and ids.
VECTORS = {
    "gpt-2": "gpt-2",
    "qwen2.5": "qwen2",
    "llama-3.1": "llama-bpe",
    "llama-2-spm": "llama-spm",
    "phi-3": "phi-3",
}


def data() -> Path:
    folder = os.environ.get("RADIXLM_DATA")
    if folder is None:
        pytest.skip("set RADIXLM_DATA to the folder with tokenizers/")
    return Path(folder) / "tokenizers"


@cache
def real(name: str) -> Tokenizer:
    """Load a real tokenizer, or skip the test."""
    folder = Path(mkdtemp())
    try:
        for file in (data() / name).iterdir():
            if file.suffix == ".xz":
                (folder / file.stem).write_bytes(lzma.decompress(file.read_bytes()))
            else:
                shutil.copy(file, folder)
        return load_tokenizer(ModelConfig(model_path=str(folder)))
    finally:
        shutil.rmtree(folder)


def vectors(name: str) -> list[tuple[str, list[int]]]:
    """Texts and their ids, without special tokens."""
    stem = data() / "ggml" / f"ggml-vocab-{VECTORS[name]}.gguf"
    texts = stem.with_suffix(".gguf.inp").read_text().split("\n__ggml_vocab_test__\n")
    lines = stem.with_suffix(".gguf.out").read_text().splitlines()
    return [(t, [int(i) for i in line.split()]) for t, line in zip(texts, lines, strict=False)]


TALK = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}</s>"
    "{% else %}[{{ m.role }}]{{ m.content }}[/]{% endif %}{% endfor %}"
)


@cache
def sentence_piece(template: str | None = TALK) -> Tokenizer:
    """A small vocabulary as Llama 2's: a space before texts, byte fallback, a BOS at the start."""
    from tokenizers import Tokenizer as Trained
    from tokenizers import decoders, models, normalizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    trained = Trained(models.BPE())
    spaces = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    trained.normalizer = normalizers.Sequence(spaces)
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False, special_tokens=[])
    trained.train_from_iterator(["Hello there", "say hello to the world, the other one"], trainer)
    state = json.loads(trained.to_str())
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names += list(state["model"]["vocab"])
    state["model"]["vocab"] = {name: index for index, name in enumerate(names)}
    state["model"] |= {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
    backend = Trained.from_str(json.dumps(state))
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    backend.add_tokens(["[user]", "[/]"])
    inner = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    inner.chat_template = template
    return Tokenizer(inner, "sentence-piece")
