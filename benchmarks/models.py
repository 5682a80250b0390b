"""Do the model families agree with `transformers`? The table of docs/models.md.

Each family gets a small model with random weights, written by `save_pretrained`. Its logits are
compared over the ways in which a sequence can go through the model; then 64 tokens are chosen
greedily, in a batch, and must be those that `transformers` ranks first. Families with a star are
run through `transformers`, on our attention; so are all with `--model-impl transformers`. Models
that see are shown images, whose placeholders chunks cut.

    python benchmarks/models.py [--json] [FAMILY ...]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from model_families import FAMILIES, SMALL, TOWER, VOCAB, Family  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from torch import Tensor  # noqa: E402

from radixlm.runtime.config import CacheConfig, ModelConfig  # noqa: E402
from radixlm.runtime.engine.inputs import ImageSpan, Row  # noqa: E402
from radixlm.runtime.engine.runner import Runner  # noqa: E402
from radixlm.runtime.images import Image  # noqa: E402

LENGTH, GREEDY = 96, 64
TIE = 1e-5  # logits nearer to each other than f32 can tell
IMAGES_AT = 5, 36  # positions; chunks cut the second one


@dataclass(frozen=True)
class Prompt:
    """Tokens, placeholders of images among them, and the images."""

    tokens: NDArray[np.int32]
    images: tuple[Image, ...] = ()


class Reference:
    """A model of `transformers` with random weights, and its checkpoint.

    Attributes:
        num_rows: placeholders of an image; 0: the model takes text alone.
    """

    def __init__(self, family: Family, folder: Path, **changes: Any) -> None:
        settings = SMALL | family.settings | changes
        config = getattr(transformers, family.config)(**settings)
        self.num_rows = (TOWER["image_size"] // TOWER["patch_size"]) ** 2 if family.tower else 0
        kinds: Any = transformers.AutoModelForCausalLM
        if family.tower:
            config, kinds = _with_tower(family, settings), transformers.AutoModelForImageTextToText
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.model = kinds.from_config(config, attn_implementation="eager").eval()
            for name, parameter in self.model.named_parameters():
                # Norms and biases are made uneven too: all ones and zeros would hide a mistake.
                # Embeddings that are the head too would repeat their token if they were large.
                width = 0.05 if config.tie_word_embeddings and "embed" in name else 0.2
                centre = float(parameter.detach().mean().round()) if parameter.dim() == 1 else 0.0
                torch.nn.init.normal_(parameter, centre, width)
        if family.tower:  # it is never chosen: what follows it would be no image
            self.model.lm_head.weight.data[VOCAB] = 0
        for module in self.model.modules():
            if hasattr(module, "limit") and hasattr(config, "swiglu_limit"):
                module.limit = config.swiglu_limit  # before 5.18 it was 7 whatever the settings say
        self.model.save_pretrained(folder)
        self.folder = folder

    def prompt(self, rng: np.random.Generator, length: int) -> Prompt:
        """Return random tokens, with images where the model sees and there is room."""
        tokens = rng.integers(3, VOCAB, length, dtype=np.int32)
        images: list[Image] = []
        for at in IMAGES_AT:
            if self.num_rows and at + self.num_rows < length:
                size = TOWER["image_size"]
                pixels = rng.normal(size=(3, size, size)).astype(np.float32)
                images.append(Image.of(pixels, self.num_rows).moved(at))
                tokens[at : at + self.num_rows] = VOCAB
        return Prompt(tokens, tuple(images))

    @torch.inference_mode()
    def logits(self, prompt: Prompt) -> Tensor:
        """Return [n, vocab] for [n] tokens."""
        shown: dict[str, Any] = {}
        if prompt.images:
            pixels = [
                np.frombuffer(image.pixels, "<f4").reshape(image.shape) for image in prompt.images
            ]
            shown["pixel_values"] = torch.from_numpy(np.stack(pixels))
        ids = torch.from_numpy(prompt.tokens.astype(np.int64))[None]
        found = self.model(input_ids=ids, use_cache=False, **shown)
        assert isinstance(found.logits, Tensor)
        return found.logits[0].float()


def _with_tower(family: Family, settings: dict[str, Any]) -> Any:
    """The settings of a model that sees, with one placeholder beyond the decoder's vocabulary."""
    is_clip = family.tower == "CLIPVisionConfig"
    head: dict[str, Any] = {} if is_clip else {"vision_use_head": False}
    return transformers.LlavaConfig(
        vision_config=getattr(transformers, family.tower)(**TOWER, **head),
        text_config=getattr(transformers, family.config)(**settings | {"vocab_size": VOCAB + 1}),
        image_token_index=VOCAB,
        vision_feature_select_strategy="default" if is_clip else "full",
        vision_feature_layer=-2 if is_clip else -1,
        tie_word_embeddings=False,
    )


class Sequences:
    """Sequences with scattered slots, cut into rows at will."""

    def __init__(self, runner: Runner, prompts: Sequence[Prompt]) -> None:
        self.runner, self.tokens = runner, [prompt.tokens for prompt in prompts]
        self.images = [prompt.images for prompt in prompts]
        self.done = [0] * len(prompts)
        free = np.random.default_rng(3).permutation(runner.num_slots).astype(np.int32)
        self.slots = np.array_split(free, len(prompts))
        for image in (image for images in self.images for image in images):
            runner.show(image)

    def step(self, counts: Sequence[int]) -> list[Tensor]:
        """Run `counts[i]` more tokens of each sequence that has a count; all logits wanted."""
        rows = []
        for index, count in enumerate(counts):
            start = self.done[index]
            self.done[index] = end = start + count
            if count:
                row = self.tokens[index][start:end], start, self.slots[index][:end], 0
                rows.append(Row(*row, self._shown(index, start, end)))
        return list(self.runner.forward(rows).split([n for n in counts if n]))

    def _shown(self, index: int, start: int, end: int) -> tuple[ImageSpan, ...]:
        """What a row shows of its sequence's images."""
        cuts = [
            (image, max(image.at, start), min(image.at + image.count, end))
            for image in self.images[index]
        ]
        return tuple(
            ImageSpan(image, first - image.at, last - first, first - start)
            for image, first, last in cuts
            if first < last
        )

    def logits(self, passes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Run all passes and return each sequence's logits, in one piece."""
        found: list[list[Tensor]] = [[] for _ in self.tokens]
        for counts in passes:
            active = [index for index, count in enumerate(counts) if count]
            for index, logits in zip(active, self.step(counts), strict=True):
                found[index].append(logits)
        return [torch.cat(parts) for parts in found]


WAYS: dict[str, tuple[Sequence[int], Sequence[Sequence[int]]]] = {  # lengths, then passes
    "prefill": ([LENGTH], [[LENGTH]]),
    "chunked": ([LENGTH], [[40], [1], [37], [18]]),
    "decode": ([LENGTH], [[LENGTH - 24], *[[1]] * 24]),
    "batch": (
        [LENGTH, 9, 60, 1, 33],
        [[1, 9, 55, 0, 30], [60, 0, 1, 1, 1], [1, 0, 1, 0, 1], [33, 0, 3, 0, 1], [1, 0, 0, 0, 0]],
    ),
}


def load(folder: Path, **settings: Any) -> Runner:
    options = {"device": "cpu", "dtype": "float32"} | settings
    return Runner.load(
        ModelConfig(model_path=str(folder), **options), CacheConfig(max_total_tokens=1000)
    )


def difference(reference: Reference, runner: Runner, ways: Sequence[str]) -> float:
    """Return the largest difference between logits over these ways through the model."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for way in ways:
        lengths, passes = WAYS[way]
        prompts = [reference.prompt(rng, length) for length in lengths]
        ours = Sequences(runner, prompts).logits(passes)
        theirs = [reference.logits(one) for one in prompts]
        pairs = zip(ours, theirs, strict=True)
        found = max(float((a.cpu() - b).abs().max()) for a, b in pairs)
        worst = max(worst, found) if found == found else float("inf")  # NaN agrees with nothing
    return worst


def greedy(reference: Reference, runner: Runner) -> dict[str, int]:
    """Choose tokens in a batch; return the last three fields of `Outcome`."""
    rng = np.random.default_rng(5)
    lengths = [7, 30, 18]
    sequences = Sequences(runner, [reference.prompt(rng, length) for length in lengths])
    counts = lengths
    for _ in range(GREEDY):
        chosen = [int(logits[-1].argmax()) for logits in sequences.step(counts)]
        for index, token in enumerate(chosen):
            sequences.tokens[index] = np.append(sequences.tokens[index], np.int32(token))
        counts = [1, 1, 1]
    agreed, ties, ever = GREEDY, 0, set[int]()
    for length, sequence, images in zip(lengths, sequences.tokens, sequences.images, strict=True):
        logits = reference.logits(Prompt(sequence, images))[length - 1 : -1]
        taken = torch.from_numpy(sequence[length:].astype(np.int64))
        ever.update(taken.tolist())
        behind = (logits.amax(-1) - logits.gather(1, taken[:, None])[:, 0]).numpy()
        ties += int(((behind > 0) & (behind < TIE)).sum())
        same = behind < TIE
        agreed = min(agreed, GREEDY if same.all() else int(same.argmin()))
    return {"greedy": agreed, "ties": ties, "distinct": len(ever)}


@dataclass(frozen=True)
class Outcome:
    """The largest difference of logits in each column, None where there is nothing to compare."""

    family: str
    prefill: float
    chunked: float
    decode: float
    batch: float
    window: float | None
    ropes: dict[str, float]
    greedy: int  # steps that agree, of `GREEDY`
    ties: int  # of them, tokens less than `TIE` behind the first, which rounding may exchange
    distinct: int  # different tokens: a model that repeats one would agree too easily


def measure(name: str, **settings: Any) -> Outcome:
    """Compare one family; `settings` are of `ModelConfig`."""
    family = FAMILIES[name]

    def variant(changes: dict[str, Any], **more: Any) -> tuple[Reference, Runner]:
        folder = Path(tempfile.mkdtemp(dir=temporary))
        return Reference(family, folder, **changes), load(folder, **settings, **more)

    with tempfile.TemporaryDirectory() as temporary:
        plain = variant({})
        columns = {way: difference(*plain, [way]) for way in WAYS}
        every = list(WAYS)
        window = difference(*variant(family.window), every) if family.window else None
        # Sequences of full length only: what "dynamic" does depends on it.
        whole = ["prefill", "chunked", "decode"]
        ropes = {
            kind: difference(*variant(changes, context_length=LENGTH), whole)
            for kind, changes in family.ropes.items()
        }
        chosen = greedy(*plain)
    return Outcome(family=name, **columns, window=window, ropes=ropes, **chosen)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a table in Markdown."""

    def cell(value: float | None) -> str:
        return "—" if value is None else f"{value:.0e}"

    lines = [
        "| family | prefill | chunked | decode | mixed batch | window | rope scaling | greedy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        numbers = (one.prefill, one.chunked, one.decode, one.batch, one.window)
        ropes = ", ".join(f"{kind} {cell(value)}" for kind, value in one.ropes.items()) or "—"
        whose = one.family if FAMILIES[one.family].is_own else f"{one.family} *"
        cells = [whose, *map(cell, numbers), ropes, f"{one.greedy} of {GREEDY}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help=f"of {', '.join(FAMILIES)}; none: all")
    parser.add_argument("--model-impl", default="auto", help="auto, native or transformers")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    outcomes = [
        measure(name, model_impl=options.model_impl) for name in options.families or FAMILIES
    ]
    print(table(outcomes))
    if options.json:
        print(json.dumps({"families": [asdict(outcome) for outcome in outcomes]}))


if __name__ == "__main__":
    main()
