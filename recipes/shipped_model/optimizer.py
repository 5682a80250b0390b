"""Muon for the matrices inside the layers, AdamW for the rest.

Source: Keller Jordan's Muon (momentum made orthogonal by five Newton-Schulz steps); matrices of one
shape are stacked so that a step costs a few large products. Not chosen: AdamW for everything,
which is known to need more tokens for the same loss.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def orthogonal(stack: Tensor, steps: int = 5) -> Tensor:
    """Return matrices [n, rows, columns] with their singular values moved close to one."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = stack.bfloat16() if stack.is_cuda else stack.float()
    turned = x.size(-2) > x.size(-1)
    x = x.mT if turned else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if turned else x).to(stack.dtype)


class Muon:
    """Momentum whose update is orthogonal."""

    def __init__(
        self, weights: Iterable[Tensor], *, momentum: float = 0.95, decay: float = 0.02
    ) -> None:
        self.groups: dict[tuple[int, ...], list[Tensor]] = {}
        for weight in weights:
            self.groups.setdefault(tuple(weight.shape), []).append(weight)
        self.buffers = {
            shape: torch.zeros(len(group), *shape, device=group[0].device)
            for shape, group in self.groups.items()
        }
        self.momentum, self.decay = momentum, decay

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Apply the gradients at this learning rate."""
        for shape, group in self.groups.items():
            gradient = torch.stack([w.grad for w in group if w.grad is not None])
            buffer = self.buffers[shape]
            buffer.lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(buffer, self.momentum))
            scale = rate * max(1.0, shape[0] / shape[1]) ** 0.5
            torch._foreach_mul_(group, 1 - rate * self.decay)
            torch._foreach_add_(group, list(update.unbind()), alpha=-scale)
