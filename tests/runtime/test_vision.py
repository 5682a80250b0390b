"""A model that sees, against `transformers`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from radixlm.runtime.attention.plain import PlainAttention
from radixlm.runtime.config import CacheConfig, ModelConfig
from radixlm.runtime.desk import pictures
from radixlm.runtime.engine.inputs import ImageSpan, Row
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.errors import InvalidRequestError, ModelLoadError
from radixlm.runtime.images import Image
from radixlm.runtime.messages import VisionSpec
from radixlm.runtime.models.llava import LlavaSettings
from radixlm.runtime.models.registry import find_family
from radixlm.runtime.models.settings import Settings
from radixlm.runtime.offline import Engine

from .vision import IMAGE, ROWS, picture, write_llava

pytest.importorskip("PIL", reason="Pillow, of the extra `vision`, is not installed")
TOLERANCE = 2e-4  # of logits in f32
GREEDY = {"temperature": 0, "max_new_tokens": 4, "ignore_eos": True}
QUESTION = f"Look: {IMAGE} What is it?"
PROMPT = f"Tell me: {IMAGE} is a picture, {IMAGE} is another. What is it?"


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("llava")
    write_llava(folder)
    return str(folder)


@pytest.fixture(scope="module")
def engine(llava: str) -> Iterator[Engine]:
    limits = {"max_total_tokens": 3000, "check_invariants": True, "chunked_prefill_size": 24}
    with Engine(model_path=llava, in_process=True, **limits) as made:
        yield made


class Reference:
    """The same checkpoint as `transformers` computes it."""

    def __init__(self, folder: str) -> None:
        self.model: Any = transformers.LlavaForConditionalGeneration.from_pretrained(folder)
        self._processor: Any = transformers.AutoProcessor.from_pretrained(folder)

    def inputs(self, text: str, images: list[Any]) -> dict[str, torch.Tensor]:
        found = self._processor(text=text, images=images or None, return_tensors="pt")
        return {name: found[name] for name in ("input_ids", "pixel_values") if name in found}

    @torch.inference_mode()
    def logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = self.model(**inputs).logits[0]
        return found

    def continued(self, text: str, images: list[Any], count: int) -> list[int]:
        inputs = self.inputs(text, images)
        out = self.model.generate(**inputs, max_new_tokens=count, do_sample=False, eos_token_id=-1)
        new: list[int] = out[0, inputs["input_ids"].shape[1] :].tolist()
        return new


def load(folder: Path | str, kernels: str) -> Runner:
    model = ModelConfig(
        model_path=str(folder),
        dtype="float32",
        device="cuda" if kernels == "cuda" else "cpu",
        disable_cpu_kernels=kernels == "torch",
    )
    return Runner.load(model, CacheConfig(max_total_tokens=200))


@pytest.mark.parametrize("chunk", [1000, 11])
@pytest.mark.parametrize(
    ("tower", "text", "kernels"),
    [
        ("clip", "llama", "compiled"),
        ("clip", "llama", "torch"),
        ("siglip", "qwen2", "torch"),
        pytest.param("clip", "llama", "cuda", marks=pytest.mark.gpu),
        pytest.param("siglip", "qwen2", "cuda", marks=pytest.mark.gpu),
    ],
)
def test_logits_are_those_of_transformers_however_a_prompt_is_cut(
    tmp_path: Path,
    tower: str,
    text: str,
    kernels: str,
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kernels == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    if kernels == "compiled":
        if shutil.which("g++") is None:
            pytest.skip("g++ is not installed")

        def unexpected(*_: object) -> None:
            raise AssertionError("the compiled pass has its own attention")

        monkeypatch.setattr(PlainAttention, "plan", unexpected)
    write_llava(tmp_path, tower=tower, text=text)
    reference = Reference(str(tmp_path))
    inputs = reference.inputs(PROMPT, [picture(1), picture(2)])
    runner = load(tmp_path, kernels)
    difference = (logits(runner, inputs, chunk) - reference.logits(inputs)).abs().max()
    assert difference < TOLERANCE


def logits(runner: Runner, inputs: dict[str, torch.Tensor], chunk: int = 1000) -> torch.Tensor:
    """Those after every position of a prompt, computed in chunks; on the host."""
    assert runner.vision is not None
    assert runner.vision.num_rows == ROWS
    tokens = inputs["input_ids"][0].numpy().astype(np.int32)
    places = np.flatnonzero(tokens == runner.vision.image_token_id)[::ROWS].tolist()
    images = [
        Image.of(pixels.numpy(), ROWS).moved(at)
        for pixels, at in zip(inputs["pixel_values"], places, strict=True)
    ]
    for image in images:
        runner.show(image)
    slots = np.arange(len(tokens), dtype=np.int32)
    found = []
    for start in range(0, len(tokens), chunk):
        stop = min(start + chunk, len(tokens))
        image_spans = []
        for image in images:
            first, last = max(image.at, start), min(image.at + ROWS, stop)
            if first < last:
                image_spans.append(ImageSpan(image, first - image.at, last - first, first - start))
        row = Row(tokens[start:stop], start, slots[:stop], 0, tuple(image_spans))
        found.append(runner.forward([row]).cpu())
    return torch.cat(found)


@pytest.mark.parametrize(
    ("text", "head", "tower", "projector"),
    [
        (
            "language_model.model.",
            "language_model.lm_head.",
            "vision_tower.vision_model.",
            "multi_modal_projector.",
        ),
        (
            "model.language_model.",
            "lm_head.",
            "model.vision_tower.vision_model.",
            "model.multi_modal_projector.",
        ),
    ],
)
def test_tensors_are_found_under_every_name_that_they_were_saved_by(
    llava: str, tmp_path: Path, text: str, head: str, tower: str, projector: str
) -> None:
    spelled = {
        "language_model.model.": text,
        "language_model.lm_head.": head,
        "vision_tower.": tower,
        "multi_modal_projector.": projector,
    }

    def renamed(name: str) -> str:
        prefix = next(prefix for prefix in spelled if name.startswith(prefix))
        return spelled[prefix] + name.removeprefix(prefix).removeprefix("vision_model.")

    shutil.copytree(llava, tmp_path, dirs_exist_ok=True)
    held = load_file(tmp_path / "model.safetensors")
    save_file({renamed(name): part for name, part in held.items()}, tmp_path / "model.safetensors")
    inputs = Reference(llava).inputs(QUESTION, [picture(1)])
    found, wanted = (logits(load(folder, "torch"), inputs) for folder in (tmp_path, llava))
    assert torch.equal(found, wanted)


def test_settings_of_the_hub_say_what_they_leave_out(tmp_path: Path) -> None:
    values: dict[str, Any] = {  # of llava-1.5-7b-hf, whose nested parts lack most of their fields
        "architectures": ["LlavaForConditionalGeneration"],
        "image_token_index": 32000,
        "model_type": "llava",
        "projector_hidden_act": "gelu",
        "text_config": {
            "architectures": ["LlamaForCausalLM"],
            "max_position_embeddings": 4096,
            "model_type": "llama",
            "rms_norm_eps": 1e-05,
            "torch_dtype": "float16",
            "vocab_size": 32064,
        },
        "vision_config": {
            "hidden_size": 1024,
            "image_size": 336,
            "intermediate_size": 4096,
            "model_type": "clip_vision_model",
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "patch_size": 14,
        },
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }
    (tmp_path / "config.json").write_text(json.dumps(values))
    read = LlavaSettings.read(Settings(values, "config.json"), tmp_path)
    assert read.vision == VisionSpec(image_token_id=32000, num_rows=576, shape=(3, 336, 336))
    spec = find_family(read.text_architectures).read_spec(read.text)
    assert (spec.hidden, len(spec.layers), spec.vocab_size) == (4096, 32, 32064)
    assert spec.layers[0].norm.eps == 1e-05
    values["vision_config"]["model_type"] = "pixtral"
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ModelLoadError, match="model_type 'pixtral', which is not supported"):
        LlavaSettings.read(Settings(values, "config.json"), tmp_path)


@pytest.mark.parametrize("part", ["vision_tower.", "multi_modal_projector.linear_2"])
def test_a_part_that_is_missing_is_named(llava: str, tmp_path: Path, part: str) -> None:
    shutil.copytree(llava, tmp_path, dirs_exist_ok=True)
    held = load_file(tmp_path / "model.safetensors")
    kept = {name: tensor for name, tensor in held.items() if not name.startswith(part)}
    save_file(kept, tmp_path / "model.safetensors")
    with pytest.raises(ModelLoadError, match=rf"lacks {part.replace('.', '[.]')}"):
        load(tmp_path, "torch")


def test_greedy_texts_are_those_of_transformers(llava: str, engine: Engine) -> None:
    reference = Reference(llava)
    params = {"temperature": 0, "max_new_tokens": 24, "ignore_eos": True}
    images = [[picture(1), picture(2)], [picture(3), picture(1)], []]
    prompts = [PROMPT, PROMPT, "Tell me."]
    found = engine.generate(prompts, params, image_data=images)
    outputs = [each["output_ids"] for each in found]
    assert outputs[0] == reference.continued(PROMPT, images[0], 24)
    assert outputs[1] == reference.continued(PROMPT, images[1], 24)
    assert outputs[0] != outputs[1]
    assert len(set(outputs[0])) > 4


def test_files_are_taken_by_their_path_and_decoded_as_transformers_does(
    llava: str, engine: Engine
) -> None:
    if "RADIXLM_DATA" not in os.environ:
        pytest.skip("RADIXLM_DATA does not name the folder of shared data")
    from PIL import Image as Pillow

    reference = Reference(llava)
    for path in sorted(Path(os.environ["RADIXLM_DATA"], "images").iterdir()):
        found = engine.generate(QUESTION, GREEDY, image_data=path)["output_ids"]
        assert found == reference.continued(QUESTION, [Pillow.open(path).convert("RGB")], 4), path


def test_image_processors_of_older_files_serve(llava: str, tmp_path: Path, engine: Engine) -> None:
    shutil.copytree(llava, tmp_path, dirs_exist_ok=True)
    saved = json.loads((tmp_path / "processor_config.json").read_text())["image_processor"]
    (tmp_path / "processor_config.json").unlink()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(saved))
    with Engine(model_path=str(tmp_path), in_process=True, max_total_tokens=500) as made:
        found = made.generate(QUESTION, GREEDY, image_data=picture(1))
    wanted = engine.generate(QUESTION, GREEDY, image_data=picture(1))
    assert found["output_ids"] == wanted["output_ids"]
    saved["crop_size"] = saved["size"] = {"height": 14, "width": 14}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(saved))
    with (
        Engine(model_path=str(tmp_path), in_process=True, max_total_tokens=500) as made,
        pytest.raises(InvalidRequestError, match=r"of shape \[3, 14, 14\].* takes \[3, 28, 28\]"),
    ):
        made.generate(QUESTION, GREEDY, image_data=picture(1))


def test_the_same_image_is_cached_and_another_of_its_size_is_not(engine: Engine) -> None:
    def ask(seed: int, text: str = QUESTION) -> tuple[int, int, list[int]]:
        found = engine.generate(text, GREEDY, image_data=picture(seed))
        meta = found["meta_info"]
        assert meta["cached_tokens"] + meta["computed_tokens"] == meta["prompt_tokens"]
        return meta["cached_tokens"], meta["prompt_tokens"], found["output_ids"]

    engine.flush_cache()
    before = len(engine.desk.tokenizer.encode("Look: "))
    first, prompt, one = ask(11)
    again, _, same = ask(11)
    assert (first, again, same) == (0, prompt - 1, one)
    other, _, another = ask(12)
    assert other == before
    assert another != one
    assert ask(12)[0] == prompt - 1
    assert ask(11, f"Look: {IMAGE} And this?")[0] >= before + ROWS


def test_an_image_behind_another_image_is_another_prefix(engine: Engine) -> None:
    def cached(*seeds: int) -> int:
        images = [picture(seed) for seed in seeds]
        found = engine.generate(f"{IMAGE}{IMAGE} both?", GREEDY, image_data=images)
        return int(found["meta_info"]["cached_tokens"])

    engine.flush_cache()
    assert cached(21, 22) == 0
    assert cached(21, 23) == ROWS
    assert cached(22, 21) == 0
    assert cached(21, 22) >= 2 * ROWS


@pytest.mark.slow
def test_a_request_that_is_sent_back_to_the_queue_sees_its_images_again(llava: str) -> None:
    params = {"temperature": 0, "max_new_tokens": 40, "ignore_eos": True}
    images = [picture(seed) for seed in range(6)]
    found = []
    for slots in (2000, 140):
        settings: dict[str, Any] = {"max_total_tokens": slots, "chunked_prefill_size": 16}
        with Engine(model_path=llava, in_process=True, check_invariants=True, **settings) as made:
            found.append(made.generate([QUESTION] * 6, params, image_data=images))
    assert [one["output_ids"] for one in found[1]] == [one["output_ids"] for one in found[0]]
    assert sum(one["meta_info"]["num_retractions"] for one in found[1]) > 0


def test_prompt_logprobs_and_penalties_know_nothing_of_keys(llava: str, engine: Engine) -> None:
    reference = Reference(llava)
    inputs = reference.inputs(QUESTION, [picture(11)])
    tokens = inputs["input_ids"][0].tolist()
    found = engine.generate(
        QUESTION,
        {**GREEDY, "repetition_penalty": 1.3, "presence_penalty": 0.5},
        image_data=picture(11),
        return_logprob=True,
        logprob_start_len=0,
    )
    scored = found["meta_info"]["input_token_logprobs"]
    assert [token for _, token, _ in scored] == tokens
    wanted = (
        reference.logits(inputs).log_softmax(-1)[:-1].gather(1, inputs["input_ids"][0, 1:, None])
    )
    given = torch.tensor([logprob for logprob, _, _ in scored[1:]])
    assert (given - wanted[:, 0]).abs().max() < TOLERANCE


def test_the_tree_shows_an_image_as_one(engine: Engine) -> None:
    engine.flush_cache()
    engine.generate(QUESTION, GREEDY, image_data=picture(11))
    assert "<image>" in str(engine.cache_tree(max_tokens=64))


def test_a_saved_cache_knows_images_again(llava: str, tmp_path: Path) -> None:
    cached = []
    for seed in (11, 11, 12):
        settings: dict[str, Any] = {"max_total_tokens": 500, "cache_dir": str(tmp_path)}
        with Engine(model_path=llava, in_process=True, **settings) as made:
            found = made.generate(QUESTION, GREEDY, image_data=picture(seed))
            cached.append((found["meta_info"]["cached_tokens"], found["output_ids"]))
    assert cached[1] == (found["meta_info"]["prompt_tokens"] - 1, cached[0][1])
    assert cached[2][0] < ROWS


def test_a_prompt_and_its_images_must_agree(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError, match=r"has 1 placeholders.* 0 images"):
        engine.generate(QUESTION, GREEDY)
    with pytest.raises(InvalidRequestError, match="image_data has 1 entries for 2 prompts"):
        engine.generate([QUESTION, QUESTION], GREEDY, image_data=[picture(1)])


def test_a_model_of_text_alone_says_so(tiny_model: str) -> None:
    settings: dict[str, Any] = {"max_total_tokens": 100, "in_process": True}
    with (
        Engine(model_path=tiny_model, **settings) as made,
        pytest.raises(InvalidRequestError, match="takes text alone"),
    ):
        made.generate("Look.", GREEDY, image_data=picture(1))


def test_damaged_images_and_bombs_are_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = BytesIO()
    picture(1, 200, 200).save(whole, format="PNG")
    with pytest.raises(InvalidRequestError, match="cannot be read as PNG"):
        engine.generate(QUESTION, GREEDY, image_data=whole.getvalue()[:300])
    monkeypatch.setattr(pictures, "MAX_PIXELS", 30_000)
    with pytest.raises(InvalidRequestError, match="200 x 200 pixels; at most 30000"):
        engine.generate(QUESTION, GREEDY, image_data=whole.getvalue())
    monkeypatch.setattr(pictures, "MAX_IMAGE_BYTES", 100)
    with pytest.raises(InvalidRequestError, match="bytes; at most 100"):
        engine.generate(QUESTION, GREEDY, image_data=whole.getvalue())
