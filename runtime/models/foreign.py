"""Models that `transformers` computes, with our attention over the KV pool as its attention.

Any causal language model takes part whose layers call the attention interface of `transformers`
and keep nothing else from token to token. What it asks of attention (heads, scale, window, soft
cap, sinks) is not read from its configuration, which names it in many ways, but from what its
layers ask for in a pass of one token.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from ..attention import Attention, Rule
from ..errors import ModelLoadError
from .registry import ARCHITECTURES, VISION
from .settings import Settings

NAME = "radixlm"  # of our attention in transformers' registry
# Ropes that transformers changes as a sequence grows, which keys in the pool cannot follow.
MAX_REASON = 300  # characters of a message of theirs
GROWING_ROPES = ("dynamic", "longrope")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignSpec:
    """What the runtime knows of a model that `transformers` computes."""

    vocab_size: int
    max_positions: int
    rules: tuple[Rule, ...]  # of each layer
    kv_heads: int
    key_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True)
class Request:
    """What one layer asks of attention."""

    rule: Rule
    kv_heads: int
    key_dim: int
    value_dim: int


Heads = tuple[Tensor, Tensor, Tensor]  # queries, keys and values, [T, heads, dim]


class Probe:
    """Stands where attention does, to learn what each layer asks for. Its results mean nothing."""

    def __init__(self) -> None:
        self.requests: dict[int, Request] = {}

    def attend(self, layer: int, rule: Rule, heads: Heads, sinks: Tensor | None) -> Tensor:
        """Note the request; return zeros of the right shape."""
        queries, keys, values = heads
        if layer in self.requests:
            raise ModelLoadError(f"layer {layer} attends twice in one pass")
        self.requests[layer] = Request(rule, keys.shape[1], keys.shape[2], values.shape[2])
        return values.new_zeros(*queries.shape[:2], values.shape[2])


class Paged:
    """Attention over the pool, for the layers of one pass."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention

    def attend(self, layer: int, rule: Rule, heads: Heads, sinks: Tensor | None) -> Tensor:
        """Write the keys and values, then attend; the rule is the one that `Probe` saw."""
        queries, keys, values = heads
        self._attention.write(layer, keys, values)
        return self._attention.attend(layer, queries, sinks)


class ForeignModel:
    """A causal language model of `transformers`. Called as a `Decoder` is.

    Args:
        model: made with `attn_implementation=NAME`, its weights filled.

    Raises:
        ModelLoadError: it asks for what our attention does not do, or does not ask it at all.
    """

    def __init__(self, model: transformers.PreTrainedModel) -> None:
        self._model = model
        self.dtype, self.device = model.dtype, model.device
        self.attend: Callable[[int, Rule, Heads, Tensor | None], Tensor] = Probe().attend
        for part in model.modules():
            if hasattr(part, "layer_idx"):
                vars(part)["radixlm"] = self  # where `_attend` finds it
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.spec = self._probed()

    @property
    def weight_bytes(self) -> int:
        """What the weights take in memory."""
        return sum(part.nbytes for part in self._model.parameters())

    @torch.inference_mode()
    def _probed(self) -> ForeignSpec:
        config = self._model.config.get_text_config()
        kind = type(self._model).__name__
        ropes = str(getattr(config, "rope_parameters", None))
        if any(f"'{growing}'" in ropes for growing in GROWING_ROPES):
            raise ModelLoadError(f"{kind} has a rope that changes with the length: {ropes}")
        probe = Probe()
        one = torch.zeros(1, dtype=torch.int64, device=self.device)
        try:
            self._run(one, one, one, probe)
        except (TypeError, AttributeError, ValueError) as error:
            raise ModelLoadError(f"{kind} cannot be run as a plain decoder: {error}") from error
        requests = [probe.requests[layer] for layer in sorted(probe.requests)]
        if sorted(probe.requests) != list(range(config.num_hidden_layers)):
            raise ModelLoadError(
                f"{len(requests)} of the {config.num_hidden_layers} layers of {kind} attend "
                "through transformers' interface; all must, and keep no other state"
            )
        shapes = {(one.kv_heads, one.key_dim, one.value_dim) for one in requests}
        if len(shapes) > 1:
            raise ModelLoadError(f"the layers of {kind} have keys of several shapes: {shapes}")
        _check_windows(config, requests, kind)
        positions = getattr(config, "max_position_embeddings", None)
        if not isinstance(positions, int):
            raise ModelLoadError(f"the settings of {kind} have no max_position_embeddings")
        kv_heads, key_dim, value_dim = shapes.pop()
        model: Any = self._model
        return ForeignSpec(
            vocab_size=model.get_output_embeddings().weight.shape[0],
            max_positions=positions,
            rules=tuple(request.rule for request in requests),
            kv_heads=kv_heads,
            key_dim=key_dim,
            value_dim=value_dim,
        )

    def __call__(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, attention: Attention
    ) -> Tensor:
        """Run one pass; see `Decoder`."""
        return self._run(tokens, positions, wanted, Paged(attention))

    def states(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, attention: Attention
    ) -> Tensor:
        """Run one pass for hidden states; see `Decoder`."""
        self.attend = Paged(attention).attend
        out = self._model.base_model(
            input_ids=tokens[None], position_ids=positions[None], use_cache=False
        )
        hidden: Tensor = out.last_hidden_state[0]
        return hidden.index_select(0, wanted).float()

    def _run(self, tokens: Tensor, positions: Tensor, wanted: Tensor, how: Probe | Paged) -> Tensor:
        self.attend = how.attend
        more: dict[str, Any] = {"logits_to_keep": wanted} if self._keeps else {}
        out = self._model(
            input_ids=tokens[None], position_ids=positions[None], use_cache=False, **more
        )
        logits: Tensor = out.logits[0]
        return (logits if self._keeps else logits.index_select(0, wanted)).float()


def _check_windows(
    config: transformers.PreTrainedConfig, requests: Sequence[Request], kind: str
) -> None:
    """Refuse a model whose windows are in the masks alone, which our attention doesn't get."""
    types = getattr(config, "layer_types", None)
    if types is None:
        types = ["sliding_attention" if getattr(config, "sliding_window", None) else ""]
        types *= len(requests)
    for layer, (name, request) in enumerate(zip(types, requests, strict=True)):
        if name not in ("", "full_attention") and request.rule.window is None:
            raise ModelLoadError(
                f"layer {layer} of {kind} has {name}, and asks attention for no window"
            )


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    is_causal: bool | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """What `transformers` calls in each layer, with [1, heads, T, dim]; it gets [1, T, heads, dim].

    The mask is none because we registered none: windows come as `sliding_window`.
    """
    if attention_mask is not None or position_bias is not None:
        raise ModelLoadError(f"{type(module).__name__} attends with a mask or bias of its own")
    if not (getattr(module, "is_causal", True) if is_causal is None else is_causal):
        raise ModelLoadError(f"{type(module).__name__} attends to later positions")
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    rule = Rule(scale=scale, window=sliding_window, softcap=softcap)
    heads = (query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1))
    owner, layer = module.radixlm, module.layer_idx
    assert isinstance(owner, ForeignModel), "every module with a layer_idx has its owner"
    assert isinstance(layer, int), "attention belongs to a layer"
    return owner.attend(layer, rule, heads, s_aux)[None], None


transformers.AttentionInterface.register(NAME, _attend)


def count_parameters(folder: Path) -> int:
    """Return how many weights a checkpoint's model has, by its settings.

    Raises:
        ModelLoadError: `transformers` does not know the model.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"):
            kinds: Any = transformers.AutoModelForCausalLM
            model = kinds.from_config(config, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise _cannot_load(folder, error) from error
    return sum(parameter.numel() for parameter in model.parameters())


def _cannot_load(folder: Path, error: Exception) -> ModelLoadError:
    """Return the error with the first sentence of theirs, which goes on for a screen."""
    reason = str(error).strip().partition("\n")[0].partition(". ")[0]
    given = ", ".join(Settings.read(folder / "config.json").names("architectures"))
    known = ", ".join(sorted({*ARCHITECTURES, *VISION}))
    return ModelLoadError(
        f"transformers cannot load {folder}, whose architecture {given or '(none is named)'} is "
        f"none of our own ({known}): {reason[:MAX_REASON]}"
    )


def load_foreign(folder: Path, dtype: torch.dtype, device: torch.device) -> ForeignModel:
    """Load a checkpoint with `transformers`.

    No code of the checkpoint's own is run.

    Args:
        folder: the checkpoint.
        dtype: of its weights.
        device: where they go.

    Raises:
        ModelLoadError: `transformers` does not know it, its weights don't fit its settings, or it
            cannot attend over our pool.
    """
    try:
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=NAME,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except KeyError as error:  # of the model's own table of attentions, which lacks ours
        raise ModelLoadError(
            f"transformers cannot load {folder}: its layers do not attend through the "
            f"attention interface ({error})"
        ) from error
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise _cannot_load(folder, error) from error
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if missing[3:] else "")
        raise ModelLoadError(f"the checkpoint {folder} lacks {named}")
    return ForeignModel(model.to(device).eval())
