"""A checkpoint in a real family's format with its real tokenizer, served and asked over HTTP."""

from __future__ import annotations

import lzma
import os
from pathlib import Path

import openai
import pytest
import torch

from .test_server import serving

pytestmark = pytest.mark.slow


@pytest.fixture
def qwen3(tmp_path: Path) -> Path:
    """A Qwen3 checkpoint of random weights with Qwen2.5's tokenizer and chat template."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    if "RADIXLM_DATA" not in os.environ:
        pytest.skip("RADIXLM_DATA does not name the folder of shared data")
    tokenizer = Path(os.environ["RADIXLM_DATA"]) / "tokenizers" / "qwen2.5"
    folder = tmp_path / "qwen3"
    config = Qwen3Config(
        vocab_size=151_936,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=151_645,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen3ForCausalLM(config).bfloat16().save_pretrained(folder, max_shard_size="8MB")
    packed = (tokenizer / "tokenizer.json.xz").read_bytes()
    (folder / "tokenizer.json").write_bytes(lzma.decompress(packed))
    settings = (tokenizer / "tokenizer_config.json").read_bytes()
    (folder / "tokenizer_config.json").write_bytes(settings)
    return folder


def test_a_qwen3_checkpoint_answers_the_openai_client(qwen3: Path) -> None:
    options = ("--served-model-name", "qwen3", "--device", "cpu", "--max-total-tokens", "2048")
    with (
        serving(str(qwen3), *options) as (_, url),
        openai.OpenAI(base_url=url + "/v1", api_key="none") as client,
    ):
        ask(client)


def ask(client: openai.OpenAI) -> None:
    question = "What is the capital of France?"
    said = client.chat.completions.create(
        model="qwen3",
        messages=[{"role": "user", "content": question}],
        max_tokens=12,
        temperature=0,
    )
    assert said.usage is not None
    assert said.usage.completion_tokens == 12
    # The template's own: a system turn, the question's 7 tokens and the marks of three turns.
    assert said.usage.prompt_tokens == 36
    chosen = client.chat.completions.create(
        model="qwen3",
        messages=[{"role": "user", "content": question}],
        max_tokens=20,
        extra_body={"regex": "(Paris|Lyon)"},
    )
    assert chosen.choices[0].message.content in ("Paris", "Lyon")
    streamed = client.completions.create(
        model="qwen3", prompt="Once 東京", max_tokens=8, temperature=0, stream=True
    )
    text = "".join(chunk.choices[0].text for chunk in streamed if chunk.choices)
    whole = client.completions.create(
        model="qwen3", prompt="Once 東京", max_tokens=8, temperature=0
    )
    assert text == whole.choices[0].text
    assert [model.id for model in client.models.list()] == ["qwen3"]
