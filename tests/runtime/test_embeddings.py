"""Embeddings and prompt log-probabilities against `transformers` on the same weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from radixlm.runtime.errors import InvalidRequestError, ModelLoadError
from radixlm.runtime.models.pooling import read_pooling
from radixlm.runtime.offline import Engine

TEXTS = [
    "First Citizen: before we proceed any further, hear me speak. All: speak, speak. " * 2,
    "The quick brown fox",
    "x",
    "東京 😀 naïve",
]
PATHS: dict[str, dict[str, Any]] = {
    "compiled": {"device": "cpu"},
    "torch": {"device": "cpu", "disable_cpu_kernels": True},
    "transformers": {"model_impl": "transformers"},
    "in chunks": {"chunked_prefill_size": 7},
}


@pytest.fixture(scope="module")
def reference(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A random Llama in a shape that the compiled kernel takes, which `name_or_path` holds."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("embedding")
    for file in Path(tiny_model).glob("token*"):
        shutil.copy(file, folder)
    tiny = LlamaConfig.from_pretrained(tiny_model)
    tiny.update({"hidden_size": 128, "head_dim": 32, "num_attention_heads": 4})
    torch.manual_seed(0)
    model = LlamaForCausalLM(tiny).eval()
    model.save_pretrained(folder)
    model.name_or_path = str(folder)
    return model


@pytest.fixture(scope="module", params=[*PATHS, pytest.param("cuda", marks=pytest.mark.gpu)])
def embedding_engine(request: pytest.FixtureRequest, reference: Any) -> Iterator[Engine]:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    settings = {"in_process": True, "max_total_tokens": 4000, "check_invariants": True}
    path = PATHS.get(request.param, {"device": "cuda", "dtype": "float32"})
    with Engine(model_path=reference.name_or_path, **settings, **path) as made:
        yield made


@torch.inference_mode()
def states(reference: Any, ids: list[int]) -> NDArray[np.float32]:
    """The hidden states after the last norm, [n, hidden]."""
    found: NDArray[np.float32] = reference.model(torch.tensor([ids])).last_hidden_state[0].numpy()
    return found


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_embeddings_are_the_pooled_states_of_transformers(
    pooling: str, normalize: bool, embedding_engine: Engine, reference: Any
) -> None:
    found = embedding_engine.encode(TEXTS, pooling=pooling, normalize=normalize)
    for text, result in zip(TEXTS, found, strict=True):
        ids = embedding_engine.desk.tokenizer.encode(text)
        all_states = states(reference, ids)
        expected = all_states[-1] if pooling == "last" else all_states.mean(0)
        if normalize:
            expected = expected / np.linalg.norm(expected)
        np.testing.assert_allclose(result["embedding"], expected, atol=1e-4)
        assert result["meta_info"]["prompt_tokens"] == len(ids)


def test_prompt_logprobs_are_those_of_transformers(
    embedding_engine: Engine, reference: Any
) -> None:
    ids = embedding_engine.desk.tokenizer.encode(TEXTS[0])
    result = embedding_engine.generate(
        input_ids=ids,
        sampling_params={"max_new_tokens": 0},
        return_logprob=True,
        logprob_start_len=0,
    )
    with torch.inference_mode():
        scores = reference(torch.tensor([ids])).logits[0].log_softmax(-1)
    found = result["meta_info"]["input_token_logprobs"]
    assert [token for _, token, _ in found] == ids
    assert found[0][0] is None
    expected = [float(scores[at, token]) for at, token in enumerate(ids[1:])]
    np.testing.assert_allclose([p for p, _, _ in found[1:]], expected, atol=1e-4)


def test_embedding_and_generating_share_what_is_cached(embedding_engine: Engine) -> None:
    engine = embedding_engine
    engine.flush_cache()
    cold = engine.encode(TEXTS[0])
    generated = engine.generate(TEXTS[0], {"max_new_tokens": 2, "temperature": 0})
    assert cold["meta_info"]["cached_tokens"] == 0
    assert generated["meta_info"]["cached_tokens"] == cold["meta_info"]["prompt_tokens"] - 1
    warm = engine.encode(TEXTS[0])
    assert warm["meta_info"]["computed_tokens"] == 1
    np.testing.assert_allclose(warm["embedding"], cold["embedding"], atol=1e-5)
    mean = engine.encode(TEXTS[0], pooling="mean")  # which needs every position's state
    assert mean["meta_info"]["cached_tokens"] == 0


def test_the_first_dimensions_are_kept_and_scaled_again(engine: Engine) -> None:
    whole = np.array(engine.encode("Hello", normalize=False)["embedding"])
    first = np.array(engine.encode("Hello", dimensions=8)["embedding"])
    np.testing.assert_allclose(first, whole[:8] / np.linalg.norm(whole[:8]), atol=1e-6)
    with pytest.raises(InvalidRequestError, match=r"dimensions is 65.*64"):
        engine.encode("Hello", dimensions=65)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": ""}, "empty"),
        ({"text": []}, "empty"),
        ({"text": "x", "input_ids": [1]}, "exactly one"),
        ({"text": "x", "pooling": "cls"}, "pooling"),
        ({"text": "x", "dimensions": 0}, "dimensions"),
        ({"text": "x", "nosuch": 1}, "nosuch"),
        ({"text": ["x"] * 2049}, "2048"),
        ({"input_ids": [9999]}, "9999"),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    fields: dict[str, Any], message: str, engine: Engine
) -> None:
    fields = dict(fields)
    with pytest.raises(InvalidRequestError, match=message):
        engine.encode(fields.pop("text", None), **fields)


def test_a_server_for_embeddings_does_not_generate(tiny_model: str) -> None:
    settings = {"in_process": True, "max_total_tokens": 200}
    with Engine(model_path=tiny_model, is_embedding=True, **settings) as engine:
        assert len(engine.encode("Hello")["embedding"]) == 64
        with pytest.raises(InvalidRequestError, match="--is-embedding"):
            engine.generate("Hello")


def write_modules(folder: Path, mode: str, *, normalizes: bool) -> None:
    names = ["Transformer", "Pooling", *(["Normalize"] if normalizes else [])]
    modules = [
        {"idx": index, "path": f"{index}_{name}", "type": f"sentence_transformers.models.{name}"}
        for index, name in enumerate(names)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", mode)}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))


def test_a_checkpoint_says_how_it_pools(tmp_path: Path) -> None:
    assert read_pooling(tmp_path) == ("last", True)
    write_modules(tmp_path, "mean_tokens", normalizes=False)
    assert read_pooling(tmp_path) == ("mean", False)


def test_a_pooling_that_is_not_supported_is_named(tmp_path: Path) -> None:
    write_modules(tmp_path, "cls_token", normalizes=True)
    with pytest.raises(ModelLoadError, match="pooling_mode_cls_token"):
        read_pooling(tmp_path)
