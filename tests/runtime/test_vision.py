"""A model that sees, against `transformers`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from radixlm.runtime.config import CacheConfig, ModelConfig
from radixlm.runtime.engine.inputs import Glimpse, Row
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.images import Image
from radixlm.runtime.offline import Engine

from .vision import IMAGE, ROWS, picture, write_llava

pytest.importorskip("PIL", reason="Pillow, of the extra `vision`, is not installed")
TOLERANCE = 2e-4  # of logits in f32
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
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        self._processor: Any = transformers.AutoImageProcessor.from_pretrained(folder)

    def inputs(self, text: str, images: list[Any]) -> dict[str, torch.Tensor]:
        ids: list[int] = []
        for token in self._tokenizer.encode(text):
            ids += [token] * (ROWS if token == self.model.config.image_token_id else 1)
        pixels = self._processor(images=images, return_tensors="pt")["pixel_values"]
        return {"input_ids": torch.tensor([ids]), "pixel_values": pixels}

    @torch.inference_mode()
    def logits(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = self.model(**inputs).logits[0]
        return found

    def continued(self, text: str, images: list[Any], count: int) -> list[int]:
        inputs = self.inputs(text, images)
        out = self.model.generate(**inputs, max_new_tokens=count, do_sample=False, eos_token_id=-1)
        new: list[int] = out[0, inputs["input_ids"].shape[1] :].tolist()
        return new


@pytest.mark.parametrize("chunk", [1000, 11])
@pytest.mark.parametrize(
    ("tower", "text", "kernels"),
    [("clip", "llama", True), ("clip", "llama", False), ("siglip", "qwen2", False)],
)
def test_logits_are_those_of_transformers_however_a_prompt_is_cut(
    tmp_path: Path, tower: str, text: str, kernels: bool, chunk: int
) -> None:
    write_llava(tmp_path, tower=tower, text=text)
    reference = Reference(str(tmp_path))
    inputs = reference.inputs(PROMPT, [picture(1), picture(2)])
    model = ModelConfig(model_path=str(tmp_path), device="cpu", disable_cpu_kernels=not kernels)
    runner = Runner.load(model, CacheConfig(max_total_tokens=200))
    assert runner.sight is not None
    assert runner.sight.num_rows == ROWS
    tokens = inputs["input_ids"][0].numpy().astype(np.int32)
    places = np.flatnonzero(tokens == runner.sight.image_token_id)[::ROWS].tolist()
    images = [
        Image.of(pixels.numpy(), ROWS).moved(at)
        for pixels, at in zip(inputs["pixel_values"], places, strict=True)
    ]
    slots = np.arange(len(tokens), dtype=np.int32)
    found = []
    for start in range(0, len(tokens), chunk):
        stop = min(start + chunk, len(tokens))
        glimpses = []
        for image in images:
            first, last = max(image.at, start), min(image.at + ROWS, stop)
            if first < last:
                glimpses.append(Glimpse(image, first - image.at, last - first, first - start))
        row = Row(tokens[start:stop], start, slots[:stop], 0, tuple(glimpses))
        found.append(runner.forward([row]))
    difference = (torch.cat(found) - reference.logits(inputs)).abs().max()
    assert difference < TOLERANCE


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
