"""From ggml's blocks of quantised numbers to floats.

Source: the layouts of ggml's ggml-common.h and their meaning in ggml-quants.c. A block of the
simple types has 32 numbers and a scale; one of the K types has 256, in 8 or 16 parts whose small
scales are quantised themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Blocks = Tensor  # [blocks, bytes of a block] u8


@dataclass(frozen=True, slots=True)
class Layout:
    """How numbers of one type lie in a file."""

    name: str
    count: int  # numbers of a block
    num_bytes: int  # bytes of a block
    decode: Callable[[Blocks], Tensor]  # → [blocks, count] of a float type


def _half(piece: Tensor) -> Tensor:
    """[blocks, 2] u8 → [blocks, 1] f32."""
    return piece.contiguous().view(torch.float16).float()


def _plain(dtype: torch.dtype) -> Callable[[Blocks], Tensor]:
    return lambda blocks: blocks.contiguous().view(dtype)


def _nibbles(packed: Tensor) -> Tensor:
    """[..., n] u8 → [..., 2, n]: the low halves, then the high ones."""
    return torch.stack((packed & 15, packed >> 4), -2)


def _bits(packed: Tensor, count: int) -> Tensor:
    """[blocks, count / 8] u8 → [blocks, count] of single bits, lowest first."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return ((packed[:, :, None] >> shifts) & 1).view(len(packed), count)


def _q4_0(blocks: Blocks) -> Tensor:
    scale, packed = _half(blocks[:, :2]), blocks[:, 2:]
    return (_nibbles(packed).flatten(1).to(torch.float32) - 8) * scale


def _q4_1(blocks: Blocks) -> Tensor:
    scale, least = _half(blocks[:, :2]), _half(blocks[:, 2:4])
    return _nibbles(blocks[:, 4:]).flatten(1) * scale + least


def _q5_0(blocks: Blocks) -> Tensor:
    scale, fifth = _half(blocks[:, :2]), _bits(blocks[:, 2:6], 32)
    values = _nibbles(blocks[:, 6:]).flatten(1) | (fifth << 4)
    return (values.to(torch.float32) - 16) * scale


def _q5_1(blocks: Blocks) -> Tensor:
    scale, least = _half(blocks[:, :2]), _half(blocks[:, 2:4])
    fifth = _bits(blocks[:, 4:8], 32)
    return (_nibbles(blocks[:, 8:]).flatten(1) | (fifth << 4)) * scale + least


def _q8_0(blocks: Blocks) -> Tensor:
    return blocks[:, 2:].contiguous().view(torch.int8) * _half(blocks[:, :2])


def _scales(packed: Tensor) -> tuple[Tensor, Tensor]:
    """[blocks, 12] u8 → scales and offsets of 8 parts, 6 bits each, [blocks, 8, 1]."""
    low, middle, high = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = torch.cat((low & 63, (high & 15) | ((low >> 6) << 4)), 1)
    offsets = torch.cat((middle & 63, (high >> 4) | ((middle >> 6) << 4)), 1)
    return scales[:, :, None], offsets[:, :, None]


def _q4_k(blocks: Blocks) -> Tensor:
    scales, offsets = _scales(blocks[:, 4:16])
    scale, offset = _half(blocks[:, :2])[:, :, None], _half(blocks[:, 2:4])[:, :, None]
    values = _nibbles(blocks[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    return (values * (scale * scales) - offset * offsets).flatten(1)


def _q5_k(blocks: Blocks) -> Tensor:
    scales, offsets = _scales(blocks[:, 4:16])
    scale, offset = _half(blocks[:, :2])[:, :, None], _half(blocks[:, 2:4])[:, :, None]
    shifts = torch.arange(8, dtype=torch.uint8, device=blocks.device)[:, None]
    fifth = (blocks[:, None, 16:48] >> shifts) & 1  # part p has bit p of every byte
    values = _nibbles(blocks[:, 48:].reshape(-1, 4, 32)).reshape(-1, 8, 32) | (fifth << 4)
    return (values * (scale * scales) - offset * offsets).flatten(1)


def _q6_k(blocks: Blocks) -> Tensor:
    low = _nibbles(blocks[:, :128].reshape(-1, 2, 64)).reshape(-1, 2, 4, 32)
    shifts = torch.tensor([0, 2, 4, 6], dtype=torch.uint8, device=blocks.device)[:, None]
    high = (blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts) & 3
    values = (low | (high << 4)).reshape(-1, 16, 16).to(torch.float32) - 32
    scales = blocks[:, 192:208].contiguous().view(torch.int8)[:, :, None]
    return (values * (_half(blocks[:, 208:])[:, :, None] * scales)).flatten(1)


LAYOUTS = {  # by ggml's number
    0: Layout("F32", 1, 4, _plain(torch.float32)),
    1: Layout("F16", 1, 2, _plain(torch.float16)),
    2: Layout("Q4_0", 32, 18, _q4_0),
    3: Layout("Q4_1", 32, 20, _q4_1),
    6: Layout("Q5_0", 32, 22, _q5_0),
    7: Layout("Q5_1", 32, 24, _q5_1),
    8: Layout("Q8_0", 32, 34, _q8_0),
    12: Layout("Q4_K", 256, 144, _q4_k),
    13: Layout("Q5_K", 256, 176, _q5_k),
    14: Layout("Q6_K", 256, 210, _q6_k),
    30: Layout("BF16", 1, 2, _plain(torch.bfloat16)),
}
