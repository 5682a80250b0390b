"""Products with rounded weights on an accelerator, as Triton kernels, for few tokens.

A weight is read once, in its few bits, and widened in registers. `Int8.multiply` and
`Int4.multiply` in plain torch are the twins, and serve many tokens: there the arithmetic takes
longer than reading a widened copy. Functions of `tl` that are written in Triton themselves (zeros,
sum) are not called: under its interpreter, where the kernels are tested, they are not there.

Not chosen: torch's `_weight_int4pack_mm`, whose form of a weight cannot be widened again for
prompts, where it takes several times as long as a plain product.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["multiply_int4", "multiply_int8"]

OUTPUTS = 32  # of a program
INPUTS = 128  # that an int8 program takes at once


@triton.jit
def _int8(
    x,
    codes,
    scales,
    out,
    tokens,
    outputs,
    inputs: tl.constexpr,
    TOKENS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr,
):
    """One program: all tokens, `OUTPUTS` outputs."""
    token = tl.arange(0, TOKENS)[:, None]
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    row = output.to(tl.int64)[:, None] * inputs
    sums = tl.full((TOKENS, OUTPUTS), 0.0, tl.float32)
    for begin in range(0, inputs, INPUTS):
        column = begin + tl.arange(0, INPUTS)[None, :]
        is_there = column < inputs
        states = tl.load(x + token * inputs + column, (token < tokens) & is_there, 0.0)
        weight = tl.load(codes + row + column, (output < outputs)[:, None] & is_there, 0)
        sums += tl.dot(states, tl.trans(weight.to(states.dtype)))
    scale = tl.load(scales + output, output < outputs, 0.0).to(tl.float32)
    place = out + token * outputs + output[None, :]
    is_wanted = (token < tokens) & (output < outputs)[None, :]
    tl.store(place, (sums * scale[None, :]).to(out.dtype.element_ty), is_wanted)


@triton.jit
def _int4(
    x,
    codes,
    scales,
    middles,
    out,
    tokens,
    outputs,
    groups: tl.constexpr,
    TOKENS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    BYTES: tl.constexpr,
):
    """One program: all tokens, `OUTPUTS` outputs; a group of `BYTES` bytes at a time."""
    token = tl.arange(0, TOKENS)[:, None]
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    is_output = output < outputs
    row = output.to(tl.int64)
    sums = tl.full((TOKENS, OUTPUTS), 0.0, tl.float32)
    for group in range(groups):
        column = group * BYTES + tl.arange(0, BYTES)[None, :]
        states = x + token * groups * BYTES * 2 + column * 2
        even = tl.load(states, token < tokens, 0.0)
        odd = tl.load(states + 1, token < tokens, 0.0)
        both = tl.load(codes + row[:, None] * groups * BYTES + column, is_output[:, None], 0)
        scale = tl.load(scales + row * groups + group, is_output, 0.0).to(tl.float32)[:, None]
        middle = tl.load(middles + row * groups + group, is_output, 0.0).to(tl.float32)[:, None]
        low = ((both & 15).to(tl.float32) - 8.0) * scale + middle
        high = ((both >> 4).to(tl.float32) - 8.0) * scale + middle
        sums += tl.dot(even, tl.trans(low.to(even.dtype)))
        sums += tl.dot(odd, tl.trans(high.to(even.dtype)))
    place = out + token * outputs + output[None, :]
    tl.store(place, sums.to(out.dtype.element_ty), (token < tokens) & is_output[None, :])


def multiply_int8(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """Return [T, out] of [T, in] in 16 bits; the rest as in `Int8`."""
    x = x.contiguous()
    out = torch.empty(len(x), len(codes), dtype=x.dtype, device=x.device)
    _int8[(triton.cdiv(len(codes), OUTPUTS),)](
        x,
        codes,
        scales,
        out,
        len(x),
        len(codes),
        x.shape[1],  # pyright: ignore[reportArgumentType]
        TOKENS=_block(x),  # pyright: ignore[reportArgumentType]
        OUTPUTS=OUTPUTS,  # pyright: ignore[reportArgumentType]
        INPUTS=INPUTS,  # pyright: ignore[reportArgumentType]
    )
    return out


def multiply_int4(x: Tensor, codes: Tensor, scales: Tensor, middles: Tensor) -> Tensor:
    """Return [T, out] of [T, in] in 16 bits; the rest as in `Int4`."""
    x = x.contiguous()
    out = torch.empty(len(x), len(codes), dtype=x.dtype, device=x.device)
    _int4[(triton.cdiv(len(codes), OUTPUTS),)](
        x,
        codes,
        scales,
        middles,
        out,
        len(x),
        len(codes),
        scales.shape[1],  # pyright: ignore[reportArgumentType]
        TOKENS=_block(x),  # pyright: ignore[reportArgumentType]
        OUTPUTS=OUTPUTS,  # pyright: ignore[reportArgumentType]
        BYTES=codes.shape[1] // scales.shape[1],  # pyright: ignore[reportArgumentType]
    )
    return out


def _block(x: Tensor) -> int:
    """Return a power of two that holds all tokens; tensor cores take no fewer than 16."""
    return max(16, 1 << (len(x) - 1).bit_length())
