"""A loaded model with its KV pool: rows in, logits out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...radix_cache.kv import KVPool, num_slots_within
from ..attention import make_attention
from ..config import CacheConfig, ModelConfig
from ..errors import ModelLoadError
from ..images import Image
from ..kernels.build import KernelError
from ..messages import Pooling
from ..models.checkpoint import Checkpoint
from ..models.decoder import Decoder
from ..models.layers import Inserted
from ..models.native import NativeDecoder, is_supported
from ..models.pooling import read_pooling
from ..models.registry import find_family, has_vision, is_known
from ..models.settings import Settings
from ..models.shards import Shards
from ..models.spec import DecoderSpec, Shape
from ..quant import find_scheme
from .distortion import Distortions
from .drawn import Drawn
from .inputs import Decodes, Inputs, Row, Staging
from .memory import make_pool, pool_slots, slot_bytes
from .passes import Compute, PlainDecoder
from .sampler import Sampler

if TYPE_CHECKING:
    from ..models.foreign import ForeignModel
    from .vision import VisionEncoder

logger = logging.getLogger(__name__)

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
SMALL = 1_000_000_000  # parameters up to which "auto" is float32 on a CPU


class Runner:
    """Runs passes of one model on one device. For the scheduler's thread alone.

    Attributes:
        vocab_size: width of the logits; it may exceed the tokenizer's.
        context_length: most tokens of a sequence.
        num_layers: layers of the model, and of the pool.
        num_slots: slots of the pool.
        eos_token_ids: what config.json and generation_config.json say ends a text.
        pooling: of embeddings, as the checkpoint says or else the last token's state.
        normalizes: whether embeddings are scaled to length 1, likewise.
        model_type: of config.json.
        architectures: of config.json.
        dtype: of weights, activations and pool; logits are f32 always.
        device: where all of it is.
        weight_bytes: what the weights take in memory.
        pool: keys and values.
        host_pool: those that were evicted to the host, if any are.
        sampler: chooses tokens from what `forward` returns.
        distortions: says what masks did to it.
        vision: how the model takes images; None: text alone.
    """

    def __init__(
        self,
        model: Decoder | ForeignModel,
        compute: Compute,
        pool: KVPool,
        host_pool: KVPool | None,
        settings: Settings,
        *,
        context_length: int,
        eos_token_ids: tuple[int, ...],
        embedding: tuple[Pooling, bool],
        cpu_kernels: bool,
        encoder: VisionEncoder | None,
    ) -> None:
        self.vocab_size = model.spec.vocab_size
        self.context_length = context_length
        self.num_layers = len(model.spec.rules)
        self.num_slots = pool.num_slots
        self.eos_token_ids = eos_token_ids
        self.pooling: Pooling = embedding[0]
        self.normalizes = embedding[1]
        self.model_type = settings.text("model_type", "")
        self.architectures = settings.names("architectures")
        self.dtype = model.dtype
        self.device = model.device
        self.weight_bytes = compute.weight_bytes
        self.pool = pool
        self.host_pool = host_pool
        has_kernels = cpu_kernels and model.device.type == "cpu"
        self.sampler = Sampler(cpu_kernels=has_kernels)
        self.distortions = Distortions(cpu_kernels=has_kernels)
        self.vision = None if encoder is None else encoder.vision
        self._compute = compute
        self._encoder = encoder
        self._staging = Staging(model.device)

    @property
    def is_asynchronous(self) -> bool:
        """Whether `forward` and the sampler return before the device has done what they ask for."""
        return self.device.type == "cuda"

    @classmethod
    def load(cls, config: ModelConfig, cache: CacheConfig) -> Runner:
        """Read a checkpoint and make room for its KV pool.

        `device="auto"` is CUDA where there is one. `dtype="auto"` on a CPU is float32 up to a
        billion parameters and bfloat16 beyond; on CUDA it is the checkpoint's, or else bfloat16.

        Raises:
            ModelLoadError: what cannot be used, in which file, and what could.
        """
        checkpoint = Checkpoint.open(config)
        settings = checkpoint.settings
        device = _device(config.device)
        model, encoder = _load_model(config, checkpoint, device)
        spec, dtype = model.spec, model.dtype
        pool = make_pool(spec, pool_slots(spec, cache, dtype, device), dtype, device)
        host_slots = num_slots_within(cache.host_bytes, slot_bytes(spec, dtype))
        host_slots -= host_slots % cache.page_size
        host_pool = make_pool(spec, host_slots, dtype, torch.device("cpu")) if host_slots else None
        return cls(
            model,
            _compute(model, pool, config),
            pool,
            host_pool,
            settings,
            context_length=_context_length(config, spec),
            eos_token_ids=checkpoint.eos_token_ids,
            embedding=read_pooling(Path(config.model_path)),
            cpu_kernels=not config.disable_cpu_kernels,
            encoder=encoder,
        )

    def show(self, image: Image) -> None:
        """Keep an image's pixels for the rows that glimpse it, until `forget`."""
        assert self._encoder is not None, "the desk sends images to models that see"
        self._encoder.show(image)

    def forget(self, digest: bytes) -> None:
        """Let go of an image's pixels."""
        assert self._encoder is not None, "it was shown"
        self._encoder.forget(digest)

    @torch.inference_mode()
    def forward(
        self, rows: Sequence[Row], decodes: Decodes | None = None, drawn: Drawn | None = None
    ) -> Tensor:
        """Run one pass and write its keys and values into the pool.

        Args:
            rows: prompts, and sequences that are handled one by one.
            decodes: the other sequences.
            drawn: the pass before's tokens, if some inputs are stand-ins for them.

        Returns:
            [W, vocab] f32: the logits of the decodes, one each, then those of every row's wanted
            positions, row after row.
        """
        tokens = None if drawn is None else drawn.tokens
        inputs = Inputs.build(rows, self._staging, decodes, tokens)
        inserted = None
        if image_spans := [seen for row in rows for seen in row.image_spans]:
            assert self._encoder is not None, "the desk sends images to models that see"
            inserted = Inserted(inputs.places, self._encoder.rows(image_spans))
        return self._compute(
            inputs.tokens, inputs.positions, inputs.wanted, inputs.layout, inserted
        )

    @torch.inference_mode()
    def states(self, rows: Sequence[Row]) -> Tensor:
        """Run one pass for the hidden states after the last norm, where logits would be wanted.

        Returns:
            [W, hidden] f32, row after row.
        """
        inputs = Inputs.build(rows, self._staging)
        return self._compute.states(inputs.tokens, inputs.positions, inputs.wanted, inputs.layout)


def _load_model(
    config: ModelConfig, checkpoint: Checkpoint, device: torch.device
) -> tuple[Decoder | ForeignModel, VisionEncoder | None]:
    """Load our decoder where its family is known, or else what `transformers` makes of it."""
    settings = checkpoint.settings
    architectures = settings.names("architectures")
    if has_vision(architectures) and config.model_impl != "transformers":
        return _load_llava(config, checkpoint, device)
    if config.model_impl == "transformers" or (
        config.model_impl == "auto" and not is_known(architectures)
    ):
        if not isinstance(checkpoint.source, Shards):
            raise ModelLoadError(
                f"load_format {config.load_format!r} is read by our own decoder alone, which does "
                f"not know {', '.join(architectures)} or is not wanted; use safetensors"
            )
        if config.quantization:
            raise ModelLoadError(
                f"quantization {config.quantization!r} is for our own decoder alone, which does "
                f"not know {', '.join(architectures)} or is not wanted; leave it out"
            )
        # Imports every model of transformers that it touches.
        from ..models.foreign import count_parameters, load_foreign

        folder = Path(config.model_path)
        dtype = _dtype(config.dtype, settings, lambda: count_parameters(folder), device)
        return load_foreign(folder, dtype, device), None
    family = find_family(architectures)
    model = _room(config, family.read_spec(settings), settings, device)
    checkpoint.fill(family.targets(model), family.ignored, family.base)
    if config.quantization:
        _tell(model, config.quantization)
    return model, None


def _load_llava(
    config: ModelConfig, checkpoint: Checkpoint, device: torch.device
) -> tuple[Decoder, VisionEncoder]:
    """Load a decoder, and the vision tower that its checkpoint holds."""
    # Imports models of transformers.
    from ..models import llava
    from .vision import VisionEncoder

    llava_settings = llava.LlavaSettings.read(checkpoint.settings, Path(config.model_path))
    family = find_family(llava_settings.text_architectures)
    model = _room(config, family.read_spec(llava_settings.text), checkpoint.settings, device)
    tower = llava.Tower(llava_settings, model.dtype, device)
    stored = () if checkpoint.source is None else checkpoint.source.stored()
    targets = llava.text_targets(family.targets(model), stored) | tower.targets(stored)
    checkpoint.fill(targets, (*family.ignored, *llava.IGNORED))
    return model, VisionEncoder(tower)


def _room(
    config: ModelConfig, spec: DecoderSpec, settings: Settings, device: torch.device
) -> Decoder:
    """Make room for a decoder's weights."""
    dtype = _dtype(config.dtype, settings, lambda: _num_parameters(spec), device)
    served = replace(spec, max_positions=_context_length(config, spec))
    scheme = find_scheme(config.quantization) if config.quantization else None
    return Decoder(served, dtype, device, scheme)


def _tell(model: Decoder, name: str) -> None:
    """Log what became of a model's matrices."""
    forms = ", ".join(f"{count} as {form}" for form, count in model.forms.most_common())
    size = model.weight_bytes / 1e6
    logger.info(
        "quantization %s: matrices are held %s; all weights take %.1f MB", name, forms, size
    )


def _compute(model: Decoder | ForeignModel, pool: KVPool, config: ModelConfig) -> Compute:
    """Return the compiled pass where there is one, which empties `model`; else torch's."""
    if (
        isinstance(model, Decoder)
        and not config.disable_cpu_kernels
        and is_supported(model.spec, model.dtype, model.device)
    ):
        try:
            return NativeDecoder(model, pool)
        except KernelError as error:
            logger.warning("CPU kernels are not used, which costs speed: %s", error)
    return PlainDecoder(model, make_attention("plain", pool, model.spec.rules))


def _context_length(config: ModelConfig, spec: Shape) -> int:
    wanted = config.context_length or spec.max_positions
    if wanted > spec.max_positions:
        raise ModelLoadError(
            f"context_length is {wanted}; the model in {config.model_path} was made for at most "
            f"{spec.max_positions} positions"
        )
    return wanted


def _device(name: str) -> torch.device:
    found = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if found else "cpu"
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise ModelLoadError(f"device is {name!r}; it must be auto, cpu or cuda")
    if name != "cpu" and not found:
        raise ModelLoadError(f"device is {name!r}, but torch finds no CUDA device here")
    return torch.device(name)


def _dtype(
    name: str, settings: Settings, num_parameters: Callable[[], int], device: torch.device
) -> torch.dtype:
    if name == "auto":
        if device.type == "cpu":
            return torch.float32 if num_parameters() <= SMALL else torch.bfloat16
        name = settings.text("dtype", settings.text("torch_dtype", "bfloat16"))
    if name not in DTYPES:
        raise ModelLoadError(f"dtype is {name!r}; it must be auto or one of {', '.join(DTYPES)}")
    return DTYPES[name]


def _num_parameters(spec: DecoderSpec) -> int:
    empty = Decoder(spec, torch.float32, torch.device("meta"))
    return sum(part.numel() for part in empty.parameters().values())
