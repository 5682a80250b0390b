"""LLaVA: an image becomes rows among the decoder's embeddings, by a vision tower and a projector.

The text part is a decoder of a family of its own, named in `text_config`. Tower (CLIP, SigLIP) and
projector are modules of `transformers`, filled from the same checkpoint. Source: LLaVA-1.5
(arXiv:2310.03744).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelLoadError
from ..messages import VisionSpec
from .settings import Settings
from .weights import Target

TOWERS = ("clip_vision_model", "siglip_vision_model")
IGNORED = ("embeddings.position_ids",)  # a buffer that old versions saved


@dataclass(frozen=True, slots=True, kw_only=True)
class LlavaSettings:
    """What the settings say of a model that sees."""

    config: Any  # of transformers
    text: Settings  # of the decoder
    text_architectures: tuple[str, ...]
    vision: VisionSpec

    @classmethod
    def read(cls, settings: Settings, folder: Path) -> LlavaSettings:
        """Read config.json.

        Raises:
            ModelLoadError: it cannot be read, or asks for what is not supported.
        """
        import transformers
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        try:
            # Nested settings lack what is the default of `transformers`, which knows it.
            config: Any = transformers.LlavaConfig.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelLoadError(f"cannot read {settings.source}: {error}") from error
        vision, text = config.vision_config, config.text_config
        if vision.model_type not in TOWERS:
            raise ModelLoadError(
                f"{settings.source}: vision_config has model_type {vision.model_type!r}, which is "
                f"not supported; supported: {', '.join(TOWERS)}"
            )
        fields = text.to_dict() | {"tie_word_embeddings": config.tie_word_embeddings}
        names: Mapping[str, Any] = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        has_class_row = vision.model_type == "clip_vision_model"
        drops_first = config.vision_feature_select_strategy == "default"
        return cls(
            config=config,
            text=Settings(fields, f"{settings.source}: text_config"),
            text_architectures=(str(names.get(text.model_type, text.model_type)),),
            vision=VisionSpec(
                image_token_id=int(config.image_token_id),
                shape=(vision.num_channels, vision.image_size, vision.image_size),
                num_rows=(vision.image_size // vision.patch_size) ** 2
                + has_class_row
                - drops_first,
            ),
        )


class Tower:
    """Pixels to rows of embeddings; with room for its weights, which are to be filled in.

    Args:
        settings: the model's.
        dtype: of weights and rows.
        device: of both.
    """

    def __init__(self, settings: LlavaSettings, dtype: torch.dtype, device: torch.device) -> None:
        import transformers
        from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

        self.vision = settings.vision
        self._config = config = settings.config
        self._dtype, self._device = dtype, device
        kinds: Any = transformers.AutoModel
        with torch.device("meta"):
            tower = kinds.from_config(config.vision_config)
            projector = LlavaMultiModalProjector(config)
        self._tower: Any = _with_room(tower, dtype, device)
        self._projector: Any = _with_room(projector, dtype, device)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Return [rows, hidden] for an image, [channels, height, width]."""
        config = self._config
        batch = pixels.to(self._device, self._dtype)[None]
        states = self._tower(batch, output_hidden_states=True).hidden_states
        wanted = config.vision_feature_layer
        layers = [wanted] if isinstance(wanted, int) else wanted
        first = 1 if config.vision_feature_select_strategy == "default" else 0
        features = torch.cat([states[layer][:, first:] for layer in layers], dim=-1)
        rows: Tensor = self._projector(features)[0]
        return rows

    def targets(self, stored: Collection[str]) -> dict[str, Target]:
        """Return where each of the checkpoint's tensors goes, by the name that it has there."""
        tower = {
            _spelled(name.removeprefix("vision_model."), _TOWER, stored): tensor
            for name, tensor in self._tower.state_dict().items()
        }
        projector = {
            _spelled(name, _PROJECTOR, stored): tensor
            for name, tensor in self._projector.state_dict().items()
        }
        return {name: Target.whole(tensor) for name, tensor in (tower | projector).items()}


# What the names of the parts begin with, as one version of `transformers` or another has saved
# them; the hub's first.
_TOWER = (
    "vision_tower.vision_model.",
    "vision_tower.",
    "model.vision_tower.vision_model.",
    "model.vision_tower.",
)
_PROJECTOR = ("multi_modal_projector.", "model.multi_modal_projector.")


def text_targets(targets: Mapping[str, Target], stored: Collection[str]) -> dict[str, Target]:
    """Rename the decoder's targets from what its family calls them to what they are called here."""
    return {
        name if name in stored else _text_name(name, stored): target
        for name, target in targets.items()
    }


def _text_name(name: str, stored: Collection[str]) -> str:
    inner = f"model.language_model.{name.removeprefix('model.')}"
    return inner if inner in stored else f"language_model.{name}"


def _spelled(name: str, prefixes: tuple[str, ...], stored: Collection[str]) -> str:
    spelled = [f"{prefix}{name}" for prefix in prefixes]
    return next((each for each in spelled if each in stored), spelled[0])


def _with_room(module: nn.Module, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Give a module without storage some, uninitialised but for what counts positions."""
    module = module.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    for name, buffer in module.named_buffers():
        assert name.endswith("position_ids"), f"no one fills {name}"
        buffer.copy_(torch.arange(buffer.numel(), device=device).view_as(buffer))
    return module
