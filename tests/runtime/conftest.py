"""A tiny model with random weights, made here, and an engine on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from radixlm.runtime.config import ModelConfig
from radixlm.runtime.offline import Engine
from radixlm.runtime.tokenizer import Tokenizer, load_tokenizer

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and nobody minds. What is its population?",
    'They wrote {"name": "Ada", "age": 36, "tags": ["math", "engines"], "ok": true} in 1843.',
    "First Citizen: before we proceed any further, hear me speak. All: speak, speak.",
    "You are a helpful assistant. Tell me the capital of France, please. It is Paris.",
    "Les élèves déjà là; 東京 2026-01-01T10:00:00Z 😀 naïve café → ok.",
    "def add(a, b): return a + b  # [1, 2, 3.5] != (0.25, -7)",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (  # with calls as Qwen's templates write them, and thinking left out of later prompts
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}"
    "{% for call in m.tool_calls or () %}"
    '<tool_call>\n{"name": "{{ call.function.name }}", '
    '"arguments": {{ call.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_model(folder: Path, *, heads: int = 4, marks: Sequence[str] = ()) -> None:
    """Write a Llama checkpoint with random weights and a tokenizer trained on `SENTENCES`.

    With two heads they are wide enough for the compiled decoder. `marks` are special tokens, too.
    """
    import torch
    from tokenizers import Tokenizer as Trained
    from tokenizers import decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    trained = Trained(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[*SPECIAL, *marks],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=trained.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=2,
        tie_word_embeddings=True,
        initializer_range=0.3,  # the usual 0.02 would make greedy decoding repeat one token
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small gain nothing from a second thread, and lose much on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # for scheduler and server processes
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_model(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tokenizer(tiny_model: str) -> Tokenizer:
    return load_tokenizer(ModelConfig(model_path=tiny_model))


@pytest.fixture(scope="session")
def engine(tiny_model: str) -> Iterator[Engine]:
    # Checking the invariants walks the whole pool after every step, so the pool is a small one.
    limits = {"max_total_tokens": 6000, "check_invariants": True}
    with Engine(model_path=tiny_model, in_process=True, **limits) as made:
        yield made
