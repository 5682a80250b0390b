"""The architecture, small enough to read at once, with parameters named as in transformers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Llama model; the defaults are what an hour on one CPU core can train."""

    vocab_size: int = 4096
    hidden_size: int = 192
    intermediate_size: int = 384
    num_hidden_layers: int = 4
    num_attention_heads: int = 6
    num_key_value_heads: int = 2
    head_dim: int = 32
    max_position_embeddings: int = 2048
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5

    def config(self) -> dict[str, Any]:
        """Return config.json as transformers reads it."""
        sizes = asdict(self)
        theta = sizes.pop("rope_theta")
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            **sizes,
            "rope_theta": theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": theta},
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "initializer_range": 0.02,
            "bos_token_id": None,
            "eos_token_id": [2, 0],
            "pad_token_id": 0,
            "use_cache": True,
            "dtype": "bfloat16",
        }


SHAPES = {
    "small": Shape(),  # 2.1 million parameters
    "large": Shape(
        hidden_size=256,
        intermediate_size=832,
        num_hidden_layers=8,
        num_attention_heads=4,
        head_dim=64,
    ),  # 7.8 million parameters: for a GPU
}


class Norm(nn.Module):
    """RMSNorm, computed in f32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension of [..., size]."""
        wide = F.rms_norm(x.float(), list(self.weight.shape), self.weight, self.eps)
        return wide.to(x.dtype)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a projection without bias."""
    return nn.Linear(inputs, outputs, bias=False)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dim = (
            shape.num_attention_heads,
            shape.num_key_value_heads,
            shape.head_dim,
        )
        self.q_proj = linear(shape.hidden_size, self.heads * self.dim)
        self.k_proj = linear(shape.hidden_size, self.kv_heads * self.dim)
        self.v_proj = linear(shape.hidden_size, self.kv_heads * self.dim)
        self.o_proj = linear(self.heads * self.dim, shape.hidden_size)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Any) -> Tensor:
        """Attend within [batch, length, hidden]; `mask`: None, a bool tensor or a BlockMask."""
        batch, length, _ = x.shape
        q = self.q_proj(x).view(batch, length, self.heads, self.dim).transpose(1, 2)
        k = self.k_proj(x).view(batch, length, self.kv_heads, self.dim).transpose(1, 2)
        v = self.v_proj(x).view(batch, length, self.kv_heads, self.dim).transpose(1, 2)
        q, k = rotate(q, rotation), rotate(k, rotation)
        if mask is None:
            groups = (
                self.heads // self.kv_heads
            )  # repeated by hand: the CPU's fast path wants equal heads
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif isinstance(mask, Tensor):
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        else:
            from torch.nn.attention.flex_attention import flex_attention

            out = flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the two halves of each head by the position's angles."""
    cos, sin = rotation
    left, right = x.chunk(2, -1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1).to(x.dtype)


class Mlp(nn.Module):
    """The gated feed-forward block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = linear(shape.hidden_size, shape.intermediate_size)
        self.up_proj = linear(shape.hidden_size, shape.intermediate_size)
        self.down_proj = linear(shape.intermediate_size, shape.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., hidden] to the same shape."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """Attention and feed-forward with their norms."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = Mlp(shape)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Any) -> Tensor:
        """Map [batch, length, hidden] to the same shape."""
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """The decoder; the embedding is also the output matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList([Layer(shape) for _ in range(shape.num_hidden_layers)])
        self.norm = Norm(shape.hidden_size, shape.rms_norm_eps)
        # The embedding must outweigh what the layers add, or copying a token through the tied output
        # is hardly learnt: with std 0.02 the first feed-forward block drowned it a hundred to one.
        nn.init.normal_(self.embed_tokens.weight, std=1.0)
        nn.init.constant_(self.norm.weight, 0.05)
        for name, weight in self.layers.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(weight)
            elif weight.ndim == 2:
                nn.init.normal_(weight, std=shape.hidden_size**-0.5)

    def rotation(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return cosines and sines, [length, head_dim / 2] f32 each."""
        half = torch.arange(0, self.shape.head_dim, 2, device=device).float() / self.shape.head_dim
        angles = torch.outer(
            torch.arange(length, device=device).float(), self.shape.rope_theta**-half
        )
        return angles.cos(), angles.sin()

    def forward(
        self,
        ids: Tensor,
        targets: Tensor,
        weights: Tensor,
        rotation: tuple[Tensor, Tensor],
        mask: Any = None,
        chosen: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted mean loss of [batch, length] ids against their targets.

        Args:
            ids: [batch, length] i64.
            targets: The next ids, the same shape.
            weights: The loss weight of each target.
            rotation: What `rotation` returns for this length.
            mask: None for plain causal attention, else what `Attention` takes.
            chosen: [n] i64 flat positions with a loss; the others cost no logits.
        """
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, rotation, mask)
        x, targets, weights = x.flatten(0, 1), targets.flatten(), weights.flatten()
        if chosen is not None:
            x, targets, weights = x[chosen], targets[chosen], weights[chosen]
        logits = F.linear(self.norm(x), self.embed_tokens.weight)
        losses = F.cross_entropy(logits.float(), targets, reduction="none")
        return (losses * weights).sum() / weights.sum().clamp(min=1)
