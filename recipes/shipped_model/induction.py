"""Set a few heads to copy before training goes on.

Copying needs two heads in a row: one that carries the previous token's identity forward, and one
that looks for an earlier place where that identity equals the current token and brings what came
next. Gradient descent finds the pair late: an earlier run of this model had not found it after six
million tokens. So this file writes the pair into the random weights as part of the initialisation;
it copies half of a repeated random sequence at once, and training adapts it:

- layer 0, query head 0: position alone. All embeddings get a common part (the softmax does not see it,
  since the output matrix is tied), and the angles of the rotary pairs make the score peak one back.
- layer 1, one query head per KV head: queries read the current token, keys the carried one, both
  through a whitened projection that is kept in the slow rotary pairs, which distance hardly turns.

Source of the idea: "In-context Learning and Induction Heads" (Olsson et al., 2022), section on the circuit.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from .model import Layer, Llama

FAST, SLOW = (
    4,
    6,
)  # rotary pairs: the first that tell neighbours apart, and where the slow ones begin
SHARPNESS = 14.0  # score of a match against none
COMMON = 1.0  # the common part, in units of an embedding's mean length


def _fit(inputs: Tensor, wanted: Tensor, ridge: float = 1e-2) -> Tensor:
    """Return the matrix [outputs, inputs] that maps rows to wanted rows best."""
    gram = inputs.T @ inputs
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram))
    return torch.linalg.solve(gram, inputs.T @ wanted).T


def _whitener(vectors: Tensor, size: int) -> Tensor:
    """Return [size, hidden]: a random projection in which different tokens look unrelated."""
    centred = vectors - vectors.mean(0)
    values, directions = torch.linalg.eigh(centred.T @ centred / len(vectors))
    white = directions @ torch.diag((values + 0.03 * values.mean()).rsqrt()) @ directions.T
    random, _ = torch.linalg.qr(torch.randn(len(white), size))
    return random.T @ white


def _states(model: Llama, ids: Tensor, layers: int) -> Tensor:
    """Return what the attention of layer `layers` reads, [rows, length, hidden]."""
    rotation = model.rotation(ids.size(1), ids.device)
    x = model.embed_tokens(ids)
    for index in range(layers):
        x = model.layers[index](x, rotation, None)
    layer = cast(Layer, model.layers[layers])
    out: Tensor = layer.input_layernorm(x)
    return out


@torch.no_grad()
def install(model: Llama, ids: Tensor) -> None:
    """Write the two kinds of heads into the weights.

    Args:
        model: Trained or not; the heads that are overwritten lose what they did.
        ids: [rows, length] i64 tokens like those of training, for the fits.
    """
    torch.manual_seed(11)
    shape = model.shape
    dim, hidden = shape.head_dim, shape.hidden_size
    half, group = dim // 2, shape.num_attention_heads // shape.num_key_value_heads
    weight = model.embed_tokens.weight
    common = torch.nn.functional.normalize(torch.randn(hidden), dim=0)
    weight -= (weight @ common)[:, None] * common
    weight += COMMON * weight.norm(dim=1).mean() * common
    first, second = (cast(Layer, model.layers[index]).self_attn for index in (0, 1))

    # Layer 0: look one back. The score is the sum of cos((distance - 1) * angle) over the fast pairs.
    read = _states(model, ids, 0).flatten(0, 1) @ common
    along = common / read.mean()
    angles = shape.rope_theta ** (-torch.arange(half).float() / half)
    size = (SHARPNESS * 1.5 * dim**0.5 / (1 - angles[:FAST].cos()).sum()) ** 0.5
    query, key = torch.zeros(dim), torch.zeros(dim)
    query[:FAST], query[half : half + FAST] = angles[:FAST].cos(), -angles[:FAST].sin()
    key[:FAST] = 1.0
    first.q_proj.weight[: group * dim] = 0
    first.q_proj.weight[:dim] = size * query[:, None] * common / read.mean()
    first.k_proj.weight[:dim] = size * key[:, None] * along
    tokens = model.embed_tokens.weight
    carried = _whitener(tokens, dim)
    identity = tokens @ carried.T  # [vocab, dim]
    identity = identity - identity.mean(0)
    states = _states(model, ids, 0).flatten(0, 1)
    first.v_proj.weight[:dim] = _fit(states, identity[ids.flatten()])
    output, _ = torch.linalg.qr(torch.randn(hidden, dim))
    typical = model.embed_tokens(ids).flatten(0, 1).norm(dim=1).mean() / dim**0.5
    first.o_proj.weight[:, : group * dim] = 0
    first.o_proj.weight[:, :dim] = typical * output

    # Layer 1: find where the carried token equals the current one; bring the token that stands there.
    states = _states(model, ids, 1)
    here, before = ids[:, 1:].flatten(), ids[:, :-1].flatten()
    states = states[:, 1:].flatten(0, 1)
    slow = torch.cat([torch.arange(SLOW, half), torch.arange(half + SLOW, dim)])
    second.q_proj.weight.zero_()
    second.o_proj.weight.zero_()
    for kv in range(shape.num_key_value_heads):
        names = identity[:, : len(slow)] if kv % 2 else identity[:, -len(slow) :]
        scale = (SHARPNESS * dim**0.5 / names.pow(2).sum(1).mean()) ** 0.5
        start = kv * group * dim
        second.q_proj.weight[start + slow] = scale * _fit(states, names[here])
        second.k_proj.weight[kv * dim : (kv + 1) * dim] = 0
        second.k_proj.weight[kv * dim + slow] = scale * _fit(states, names[before])
        value = _whitener(tokens, dim)
        codes = tokens @ value.T
        codes = codes - codes.mean(0)
        second.v_proj.weight[kv * dim : (kv + 1) * dim] = _fit(states, codes[here])
        centred = tokens - tokens.mean(0)
        dual = torch.linalg.solve(
            centred.T @ centred / len(centred) + 1e-2 * centred.var() * torch.eye(hidden), centred.T
        ).T
        back = _fit(codes, dual)
        back *= 1.5 * tokens.norm(dim=1).mean() / (codes @ back.T).norm(dim=1).mean()
        second.o_proj.weight[:, start : start + dim] = back
