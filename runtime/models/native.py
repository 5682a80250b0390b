"""The decoder's pass as one compiled call, for CPUs; `decoder.py` is its reference.

A pass of a small model in torch is dispatch: eight layers of a dozen operations take 5 ms, the
arithmetic of one token in them 0.4 ms. Here everything between token ids and logits runs
in C++ (`kernels/csrc/decoder.cpp`), on the weights packed once in the order in which they are read.
"""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import replace

import torch
from torch import Tensor

from ...radix_cache.kv import KVPool
from ..attention import Layout, Rule
from ..kernels.build import DECODER, load_library
from .decoder import Decoder, Layer
from .layers import Inserted
from .mlp import Dense
from .panels import Matrix, Packer, exact
from .self_attention import SelfAttention
from .spec import MLP, AttentionSpec, DecoderSpec, LayerSpec


class _Layer(ctypes.Structure):
    _fields_ = (
        ("attention_norm", ctypes.c_void_p),
        ("qkv", Matrix),
        ("q_norm", ctypes.c_void_p),
        ("k_norm", ctypes.c_void_p),
        ("window", ctypes.c_int64),
        ("out", Matrix),
        ("mlp_norm", ctypes.c_void_p),
        ("gate_up", Matrix),
        ("down", Matrix),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("layers", "hidden", "heads", "kv_heads")),
        *((name, ctypes.c_int64) for name in ("head_dim", "intermediate", "vocab", "pool_is_bf16")),
        ("eps", ctypes.c_float),
        ("scale", ctypes.c_float),
        ("magnitude", ctypes.c_float),
        ("frequencies", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
        ("embedding", ctypes.c_void_p),
        ("embedding_is_bf16", ctypes.c_int64),
        ("head", Matrix),
        ("layer", ctypes.c_void_p),
    )


class _Pass(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("tokens", "rows", "wanted")),
        *((name, ctypes.c_void_p) for name in ("token_ids", "inserted_at", "inserted")),
        *((name, ctypes.c_void_p) for name in ("positions", "query_lens", "kv_lens")),
        *((name, ctypes.c_void_p) for name in ("slots", "wanted_tokens", "logits", "states")),
    )


def is_supported(spec: DecoderSpec, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the kernel computes such a model, in f32 or bf16 on a CPU.

    Layers are Llama's, alike but for their windows; queries and keys may have norms of heads.
    """
    first = _without_window(spec.layers[0])
    return (
        device.type == "cpu"
        and dtype in (torch.float32, torch.bfloat16)
        and all(_without_window(layer) == first for layer in spec.layers)
        and _is_plain(first)
        and (spec.hidden % 16, spec.norm) == (0, first.norm)
        and (spec.embedding_scale, spec.learned_positions, spec.logit_softcap) == (1.0, None, None)
    )


def _without_window(layer: LayerSpec) -> LayerSpec:
    attention = layer.attention
    return replace(layer, attention=replace(attention, rule=replace(attention.rule, window=None)))


def _is_plain(layer: LayerSpec) -> bool:
    """Whether the kernel has the parts of a layer without window, in whole registers (16 f32)."""
    attention, mlp = layer.attention, layer.mlp
    half = attention.head_dim // 2
    rope = attention.rope
    usual = AttentionSpec(
        heads=attention.heads,
        kv_heads=attention.kv_heads,
        head_dim=attention.head_dim,
        rule=Rule(scale=attention.rule.scale),
        rope=rope,
        bias=attention.bias,
        out_bias=attention.out_bias,
        qk_norm=layer.norm if attention.qk_norm else None,
    )
    return (
        attention == usual
        and half % 16 == 0
        and rope is not None
        and (rope.partial, rope.neighbours) == (1.0, False)
        and isinstance(mlp, MLP)
        and mlp == MLP(intermediate=mlp.intermediate, bias=mlp.bias)
        and mlp.intermediate % 16 == 0
        and (layer.norm.kind, layer.norm.offset, layer.norms) == ("rms", 0.0, "before")
    )


class NativeDecoder:
    """A decoder's weights, packed, with the pool that its keys and values go to.

    Args:
        decoder: filled; its matrices are packed where they lie, or in new memory and then let go,
            layer by layer. Not to be used afterwards.
        pool: of the decoder's dtype.

    Raises:
        KernelError: the kernel can't be compiled here.
    """

    def __init__(self, decoder: Decoder, pool: KVPool) -> None:
        self._library = load_library(DECODER)
        self._library.radixlm_decoder_new.restype = ctypes.c_void_p
        self._pack = pack = Packer(self._library)
        self.spec = spec = decoder.spec
        pack.keep(pool)
        layers = (_Layer * len(spec.layers))()
        for index in range(len(spec.layers)):
            layers[index] = self._layer(decoder.layers.pop(0), pool.keys[index], pool.values[index])
        pack.keep(layers)
        separate = None if decoder.embedding is None else exact(decoder.embedding)
        attention, mlp = spec.layers[0].attention, spec.layers[0].mlp
        assert isinstance(mlp, MLP), "is_supported said so"
        model = _Model(
            layers=len(spec.layers),
            hidden=spec.hidden,
            heads=attention.heads,
            kv_heads=attention.kv_heads,
            head_dim=attention.head_dim,
            intermediate=mlp.intermediate,
            vocab=spec.vocab_size,
            pool_is_bf16=decoder.dtype == torch.bfloat16,
            eps=spec.norm.eps,
            scale=attention.rule.scale,
            magnitude=decoder.ropes[0].magnitude,
            frequencies=pack.floats(decoder.frequencies[0]),
            norm=pack.floats(decoder.norm.weight),
            embedding=None if separate is None else pack.address(separate),
            embedding_is_bf16=separate is not None and separate.dtype == torch.bfloat16,
            head=pack.linear(decoder.head),
            layer=ctypes.addressof(layers),
        )
        pack.keep(model)
        threads = ctypes.c_int64(torch.get_num_threads())
        new = self._library.radixlm_decoder_new
        handle = ctypes.c_void_p(new(ctypes.byref(model), threads))
        self._handle = handle
        weakref.finalize(self, self._library.radixlm_decoder_free, handle)

    @property
    def weight_bytes(self) -> int:
        """What the packed weights take in memory."""
        return self._pack.nbytes

    def __call__(
        self,
        tokens: Tensor,
        positions: Tensor,
        wanted: Tensor,
        layout: Layout,
        inserted: Inserted | None = None,
    ) -> Tensor:
        """Run one pass; arguments and result as those of `Decoder`, all on the host."""
        logits = torch.empty(len(wanted), self.spec.vocab_size)
        self._run(tokens, positions, wanted, layout, inserted, logits=logits)
        return logits

    def states(self, tokens: Tensor, positions: Tensor, wanted: Tensor, layout: Layout) -> Tensor:
        """Run one pass; arguments and result as those of `Decoder.states`, all on the host."""
        states = torch.empty(len(wanted), self.spec.hidden)
        self._run(tokens, positions, wanted, layout, states=states)
        return states

    def _run(
        self,
        tokens: Tensor,
        positions: Tensor,
        wanted: Tensor,
        layout: Layout,
        inserted: Inserted | None = None,
        *,
        logits: Tensor | None = None,
        states: Tensor | None = None,
    ) -> None:
        at = rows = None
        if inserted is not None:
            at = torch.full_like(tokens, -1)
            at[inserted.places] = torch.arange(len(inserted.places))
            rows = inserted.rows.float().contiguous()
        work = _Pass(
            tokens=len(tokens),
            rows=len(layout.query_lens),
            wanted=len(wanted),
            token_ids=tokens.data_ptr(),
            inserted_at=None if at is None else at.data_ptr(),
            inserted=None if rows is None else rows.data_ptr(),
            positions=positions.data_ptr(),
            query_lens=layout.query_lens.ctypes.data,
            kv_lens=layout.kv_lens.ctypes.data,
            slots=layout.addresses.ctypes.data,
            wanted_tokens=wanted.data_ptr(),
            logits=None if logits is None else logits.data_ptr(),
            states=None if states is None else states.data_ptr(),
        )
        self._library.radixlm_decoder_run(self._handle, ctypes.byref(work))

    def _layer(self, layer: Layer, keys: Tensor, values: Tensor) -> _Layer:
        attention, mlp, pack = layer.attention, layer.mlp, self._pack
        assert isinstance(attention, SelfAttention), "is_supported said so"
        assert isinstance(mlp, Dense), "is_supported said so"
        assert layer.attention_norm is not None, "is_supported said so"
        assert layer.mlp_norm is not None, "is_supported said so"
        norms: list[int | None] = [None, None]
        if attention.qk_norms is not None:
            norms = [pack.floats(norm.weight) for norm in attention.qk_norms]
        return _Layer(
            attention_norm=pack.floats(layer.attention_norm.weight),
            qkv=pack.linear(attention.qkv),
            q_norm=norms[0],
            k_norm=norms[1],
            window=attention.spec.rule.window or 0,
            out=pack.linear(attention.out),
            mlp_norm=pack.floats(layer.mlp_norm.weight),
            gate_up=pack.linear(mlp.gate_up, halves=2),
            down=pack.linear(mlp.down),
            keys=keys.data_ptr(),
            values=values.data_ptr(),
        )
