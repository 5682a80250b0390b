"""The part of a layer that looks at other tokens, around the attention over the KV pool."""

from __future__ import annotations

import torch
from torch import Tensor

from ..attention import Attention
from .layers import LayerNorm, RMSNorm, Storage
from .rope import Rotation, rotate
from .spec import AttentionSpec


class SelfAttention:
    """Grouped-query attention. Queries, keys and values are one projection."""

    def __init__(self, spec: AttentionSpec, hidden: int, storage: Storage) -> None:
        self.spec = spec
        self._heads = [spec.heads, spec.kv_heads]
        self._sizes = {
            "q": spec.heads * spec.head_dim,
            "k": spec.kv_heads * spec.head_dim,
            "v": spec.kv_heads * spec.head_dim,
        }
        self.qkv = storage.linear(sum(self._sizes.values()), hidden, bias=spec.bias)
        self.out = storage.linear(hidden, self._sizes["q"], bias=spec.out_bias)
        self.qk_norms = None  # of queries, and of keys
        if spec.qk_norm is not None:
            heads = [1, 1] if spec.qk_norm_width == "head" else self._heads
            widths = [count * spec.head_dim for count in heads]
            self.qk_norms = [storage.norm(width, spec.qk_norm) for width in widths]
        self.sinks = storage.empty(spec.heads) if spec.sinks else None  # [heads]

    def __call__(
        self, x: Tensor, rotation: Rotation | None, attention: Attention, index: int
    ) -> Tensor:
        """Map [T, hidden] to [T, hidden], and write keys and values of layer `index`."""
        qkv = self.qkv(x).view(len(x), -1, self.spec.head_dim)
        rotating, values = qkv.split_with_sizes([sum(self._heads), self._heads[1]], 1)
        if self.qk_norms is not None:
            parts = rotating.split_with_sizes(self._heads, 1)
            rotating = torch.cat(list(map(self._normalised, self.qk_norms, parts)), 1)
        if rotation is not None:
            rotating = rotate(rotating, rotation)
        queries, keys = rotating.split_with_sizes(self._heads, 1)
        attention.write(index, keys, values)
        attended = attention.attend(index, queries, self.sinks)
        return self.out(attended.reshape(len(x), -1))

    def _normalised(self, norm: RMSNorm | LayerNorm, heads: Tensor) -> Tensor:
        if self.spec.qk_norm_width == "head":
            return norm(heads)
        return norm(heads.flatten(1)).view(heads.shape)

    def parameters(self, whole: bool = False) -> dict[str, Tensor]:
        """Return `q`, `k`, `v` (or `qkv` if it is wanted `whole`), `out`, norms and sinks."""
        rows = {"qkv": sum(self._sizes.values())} if whole else self._sizes
        named = self.qkv.parts(**rows) | self.out.parts(out=len(self.out.room))
        if self.qk_norms is not None:
            for name, norm in zip(("q_norm", "k_norm"), self.qk_norms, strict=True):
                named |= norm.parameters(name)
        if self.sinks is not None:
            named["sinks"] = self.sinks
        return named


class LatentAttention:
    """See `Latent`. Heads never get keys and values of their own.

    A key is `expand_keys` of the latent; its product with a query is that of the latent with the
    query mapped back. Likewise the average of values is the mapped average of latents. So the
    pool has one head, whose key is the latent and the shared rotated key, and whose value is
    the latent. Source: DeepSeek-V2 (arXiv:2405.04434), appendix C, and its remark on absorption.
    """

    def __init__(self, spec: AttentionSpec, hidden: int, storage: Storage) -> None:
        assert spec.latent is not None, "a spec with `latent`"
        self.spec, self.latent = spec, spec.latent
        latent, heads = spec.latent, spec.heads
        self._plain = spec.head_dim - latent.rotated  # dimensions of a head without position
        if latent.query_rank is not None:
            self.q_down = storage.linear(latent.query_rank, hidden, bias=spec.bias)
            self.q_norm = storage.norm(latent.query_rank, latent.norm)
        self.q = storage.linear(heads * spec.head_dim, latent.query_rank or hidden)
        self.kv_down = storage.linear(latent.rank + latent.rotated, hidden, bias=spec.bias)
        self.kv_norm = storage.norm(latent.rank, latent.norm)
        # [heads, head_dim - rotated + value_dim, rank]: keys before values
        self.kv_up = storage.empty(heads, self._plain + latent.value_dim, latent.rank)
        self.out = storage.linear(hidden, heads * latent.value_dim, bias=spec.out_bias)

    def __call__(
        self, x: Tensor, rotation: Rotation | None, attention: Attention, index: int
    ) -> Tensor:
        """Map [T, hidden] to [T, hidden], and write what keys and values come from."""
        assert rotation is not None, "latent attention has a rope"
        sizes = [self._plain, self.latent.rotated]
        narrow = x if self.latent.query_rank is None else self.q_norm(self.q_down(x))
        plain, turning = self.q(narrow).view(len(x), -1, sum(sizes)).split_with_sizes(sizes, 2)
        to_keys, to_values = self.kv_up.split_with_sizes([self._plain, self.latent.value_dim], 1)
        absorbed = torch.einsum("thd,hdr->thr", plain, to_keys)
        queries = torch.cat((absorbed, rotate(turning, rotation)), 2)
        shared = self.kv_down(x)[:, None]
        latents, key = shared.split_with_sizes([self.latent.rank, self.latent.rotated], 2)
        latents = self.kv_norm(latents)
        attention.write(index, torch.cat((latents, rotate(key, rotation)), 2), latents)
        attended = attention.attend(index, queries)
        return self.out(torch.einsum("thr,hvr->thv", attended, to_values).flatten(1))

    def parameters(self, whole: bool = False) -> dict[str, Tensor]:
        """Return `q` (or `q_down`, `q_norm`, `q_up`), `kv_down`, `kv_norm`, `kv_up` and `out`."""
        named = self.out.parts(out=len(self.out.room))
        if self.latent.query_rank is None:
            named |= self.q.parts(q=len(self.q.room))
        else:
            named |= self.q_down.parts(q_down=self.latent.query_rank)
            named |= self.q_norm.parameters("q_norm") | self.q.parts(q_up=len(self.q.room))
        named |= self.kv_down.parts(kv_down=len(self.kv_down.room))
        named |= self.kv_norm.parameters("kv_norm")
        named["kv_up.weight"] = self.kv_up.flatten(0, 1)
        return named
