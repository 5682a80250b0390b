"""An engine that finds what an earlier one had cached."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from radixlm.ir import loop
from radixlm.runtime.errors import EngineError, InvalidRequestError, ModelLoadError
from radixlm.runtime.offline import Engine
from radixlm.runtime.scheduler.disk import model_digest, tokenizer_digest

LONG = "First Citizen: before we proceed any further, hear me speak. All: speak, speak. " * 3
GREEDY = {"temperature": 0, "max_new_tokens": 16, "ignore_eos": True}
FILE = "cache.safetensors"

Answer = dict[str, Any]


@pytest.fixture
def ask(tiny_model: str, tmp_path: Path) -> Callable[..., Answer]:
    """Start an engine, ask for one generation and close it."""

    def asked(prompt: str = LONG, **settings: Any) -> Answer:
        fields = {"model_path": tiny_model, "in_process": True, "max_total_tokens": 3000}
        fields["cache_dir"] = tmp_path / "cache"
        with Engine(**{**fields, "check_invariants": True, **settings}) as engine:
            answer: Answer = engine.generate(prompt, GREEDY)
        return answer

    return asked


def test_an_engine_that_starts_again_finds_its_prefix_and_gives_the_same_tokens(
    ask: Callable[..., Answer], tmp_path: Path
) -> None:
    first = ask()
    assert first["meta_info"]["cached_tokens"] == 0
    again = ask()
    assert again["meta_info"]["computed_tokens"] == 1
    assert again["output_ids"] == first["output_ids"]
    longer = ask(LONG + first["text"] + " and")
    assert longer["meta_info"]["cached_tokens"] >= first["meta_info"]["prompt_tokens"]
    alone = ask(LONG + first["text"] + " and", cache_dir=None)
    assert alone["meta_info"]["cached_tokens"] == 0
    assert longer["output_ids"] == alone["output_ids"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [FILE]


@pytest.mark.slow
def test_a_scheduler_process_saves_and_restores_too(ask: Callable[..., Answer]) -> None:
    first = ask(in_process=False)
    again = ask(in_process=False)
    assert again["meta_info"]["computed_tokens"] == 1
    assert again["output_ids"] == first["output_ids"]


def test_a_pool_in_another_place_and_of_another_size_gets_the_same(
    ask: Callable[..., Answer],
) -> None:
    first = ask()
    ask("The quick brown fox")
    again = ask(max_total_tokens=1000, eviction_policy="slru")
    assert again["meta_info"]["computed_tokens"] == 1
    assert again["output_ids"] == first["output_ids"]


def test_no_more_tokens_are_saved_than_asked_for(ask: Callable[..., Answer]) -> None:
    ask(max_saved_tokens=20)
    assert ask()["meta_info"]["cached_tokens"] == 20


def refused(caplog: pytest.LogCaptureFixture, path: Path) -> str:
    (record,) = [entry for entry in caplog.records if entry.levelno == logging.WARNING]
    message = record.getMessage()
    assert message.startswith(f"{path} is not used: ")
    return message


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"dtype": "bfloat16"}, "another dtype float32, here bfloat16"),
        ({"page_size": 4}, "pages of 1 tokens, here they have 4"),
    ],
)
def test_a_file_of_another_configuration_is_refused_and_replaced(
    settings: Answer,
    reason: str,
    ask: Callable[..., Answer],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ask()
    assert ask(**settings)["meta_info"]["cached_tokens"] == 0
    assert reason in refused(caplog, tmp_path / "cache" / FILE)
    assert ask(**settings)["meta_info"]["cached_tokens"] > 0


def test_a_file_of_another_model_is_refused(
    ask: Callable[..., Answer], tiny_model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    weights = load_file(other / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"] *= 1.5
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    ask()
    assert ask(model_path=str(other))["meta_info"]["cached_tokens"] == 0
    assert "another model" in refused(caplog, tmp_path / "cache" / FILE)


def test_a_truncated_file_is_refused_and_the_engine_works(
    ask: Callable[..., Answer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = ask()
    path = tmp_path / "cache" / FILE
    path.write_bytes(path.read_bytes()[:-1000])
    again = ask()
    assert "it is damaged" in refused(caplog, path)
    assert again["meta_info"]["cached_tokens"] == 0
    assert again["output_ids"] == first["output_ids"]
    assert ask()["meta_info"]["computed_tokens"] == 1, "it was replaced"


def test_a_folder_that_cannot_be_made_is_told_at_the_start(
    ask: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelLoadError, match=r"cache_dir '.*file' cannot be made"):
        ask(cache_dir=tmp_path / "file")


def test_the_cache_is_saved_when_asked_and_pins_come_back(tiny_model: str, tmp_path: Path) -> None:
    settings = {"model_path": tiny_model, "in_process": True, "max_total_tokens": 3000}
    with Engine(**settings, cache_dir=tmp_path) as engine:
        desk = engine.desk
        ids = desk.tokenizer.encode(LONG)
        loop.wait(desk.pin("rules", ids, ttl_s=600))
        desk.hold(ids[:5])
        assert loop.wait(desk.save_cache()) == len(ids)
        assert (tmp_path / FILE).exists()
    with Engine(**settings, cache_dir=tmp_path) as engine:
        (pin,) = loop.wait(engine.desk.pins())
        assert (pin.name, pin.num_tokens) == ("rules", len(ids))
        assert pin.ttl_left_s is not None
        assert pin.ttl_left_s < 600
        shutil.rmtree(tmp_path)
        with pytest.raises(EngineError, match="the cache is not saved"):
            loop.wait(engine.desk.save_cache())


@pytest.mark.parametrize("settings", [{}, {"disable_radix_cache": True, "cache_dir": "unused"}])
def test_saving_without_a_place_or_a_cache_is_refused(settings: Answer, tiny_model: str) -> None:
    with (
        Engine(model_path=tiny_model, in_process=True, max_total_tokens=500, **settings) as engine,
        pytest.raises(InvalidRequestError, match="start the server with --cache-dir"),
    ):
        loop.wait(engine.desk.save_cache())
    assert not Path("unused").exists()


def test_a_digest_tells_checkpoints_apart_wherever_they_differ(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = {f"{layer}": torch.rand(512, 1024) for layer in range(8)}  # 16 MiB: sampled
    (tmp_path / "config.json").write_text("{}")
    path = tmp_path / "model.safetensors"
    save_file(weights, path)
    seen = {model_digest(tmp_path)}
    for name in weights:
        save_file({**weights, name: weights[name] + 1}, path)
        seen.add(model_digest(tmp_path))
    save_file({"renamed" if name == "3" else name: part for name, part in weights.items()}, path)
    seen.add(model_digest(tmp_path))
    save_file(weights, path)
    (tmp_path / "config.json").write_text('{"rope_theta": 1}')
    seen.add(model_digest(tmp_path))
    assert len(seen) == 11
    (tmp_path / "config.json").write_text("{}")
    path.touch()
    assert model_digest(tmp_path) in seen, "not by its time"


def test_a_digest_tells_tokenizers_apart(tiny_model: str, tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(tiny_model, folder)
    before = tokenizer_digest(folder)
    assert before == tokenizer_digest(Path(tiny_model))
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["version"] = "2.0"
    path.write_text(json.dumps(content))
    assert tokenizer_digest(folder) != before
