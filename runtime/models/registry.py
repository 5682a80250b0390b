"""Which family serves an architecture. A family's module is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module

from torch import Tensor

from ..errors import ModelLoadError
from .decoder import Decoder
from .settings import Settings
from .spec import DecoderSpec
from .weights import Target

ARCHITECTURES = {  # as in config.json → module with a FAMILY
    "DeepseekV2ForCausalLM": ".deepseek",
    "GPT2LMHeadModel": ".gpt2",
    "Gemma2ForCausalLM": ".gemma",
    "Gemma3ForCausalLM": ".gemma",
    "GptOssForCausalLM": ".gpt_oss",
    "LlamaForCausalLM": ".llama",
    "MistralForCausalLM": ".mistral",
    "MixtralForCausalLM": ".mixtral",
    "OPTForCausalLM": ".opt",
    "Olmo2ForCausalLM": ".olmo",
    "Phi3ForCausalLM": ".phi",
    "Qwen2ForCausalLM": ".qwen",
    "Qwen3ForCausalLM": ".qwen",
    "Qwen3MoeForCausalLM": ".qwen",
    "SmolLM3ForCausalLM": ".smollm",
}

VISION = frozenset({"LlavaForConditionalGeneration"})  # a tower around a decoder; see `llava.py`

Place = Callable[[Tensor, DecoderSpec], Target]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model family: how its settings are read, and what its tensors are called."""

    read_spec: Callable[[Settings], DecoderSpec]
    # Each dotted part of `Decoder.parameters`' names, or two of them, → the checkpoint's.
    names: Mapping[str, str]
    base: str = "model."  # prefix of names that checkpoints saved without their head lack
    ignored: tuple[str, ...] = ()  # ends of names that a checkpoint may hold and we don't need
    whole: Collection[str] = ()  # blocks that it holds fused, see `Decoder.parameters`
    # Ends of our names → the target in our tensor, where the checkpoint lays it out otherwise.
    places: Mapping[str, Place] = field(default_factory=dict[str, Place])

    def tensor_name(self, name: str) -> str:
        """Return the checkpoint's name for one of `Decoder.parameters`."""
        parts = name.split(".")
        tail = ".".join(parts[-2:])
        if tail in self.names:
            parts[-2:] = [tail]
        return ".".join(filter(None, (self.names.get(part, part) for part in parts)))

    def targets(self, model: Decoder) -> dict[str, Target]:
        """Return where each of the checkpoint's tensors goes."""
        gatherings = {id(gathering.storage): gathering for gathering in model.gatherings}
        targets = {
            self.tensor_name(name): self._target(name, part, model.spec)
            for name, part in model.parameters(self.whole).items()
        }
        return {
            name: replace(target, gathering=gatherings.get(id(target.view.untyped_storage())))
            for name, target in targets.items()
        }

    def _target(self, name: str, part: Tensor, spec: DecoderSpec) -> Target:
        for end, place in self.places.items():
            if name.endswith(end):
                return place(part, spec)
        return Target.whole(part)


def is_known(architectures: Sequence[str]) -> bool:
    """Whether one of the architectures has a family."""
    return any(name in ARCHITECTURES for name in architectures)


def has_vision(architectures: Sequence[str]) -> bool:
    """Whether one of the architectures is a decoder with a vision tower."""
    return any(name in VISION for name in architectures)


def find_family(architectures: Sequence[str]) -> Family:
    """Return the family of the first architecture that is known.

    Raises:
        ModelLoadError: none is; the message lists those that are.
    """
    for name in architectures:
        if name in ARCHITECTURES:
            family = import_module(ARCHITECTURES[name], __package__).FAMILY
            assert isinstance(family, Family)
            return family
    given = ", ".join(architectures) or "none named in config.json"
    known = ", ".join(sorted({*ARCHITECTURES, *VISION}))
    raise ModelLoadError(
        f"architecture not supported: {given}; supported: {known}; "
        "--model-impl transformers may run others"
    )
