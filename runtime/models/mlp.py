"""The part of a layer that looks at each token alone: one MLP, or experts and their router."""

from __future__ import annotations

import torch
from torch import Tensor

from .layers import ACTIVATIONS, Storage
from .spec import MLP, Experts


class Dense:
    """See `MLP`. Gate and up are one matrix."""

    def __init__(self, spec: MLP, hidden: int, storage: Storage) -> None:
        self.spec = spec
        width = spec.intermediate * (2 if spec.gated else 1)
        self.gate_up = storage.linear(width, hidden, bias=spec.bias)
        self.down = storage.linear(hidden, spec.intermediate, bias=spec.bias)

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, hidden] to [T, hidden]."""
        return self.down(activated(self.spec, self.gate_up(x)))

    def parameters(self, whole: bool = False) -> dict[str, Tensor]:
        """Return `gate`, `up` (or `gate_up` if it is wanted `whole`) and `down`."""
        size, hidden = self.spec.intermediate, len(self.down.room)
        if not self.spec.gated:
            rows = {"up": size}
        else:
            rows = {"gate_up": 2 * size} if whole else {"gate": size, "up": size}
        return {**self.gate_up.parts(**rows), **self.down.parts(down=hidden)}


def activated(spec: MLP, gate_up: Tensor) -> Tensor:
    """Return what `down` gets, [T, intermediate], for [T, 2 * intermediate] (half if not gated)."""
    activation = ACTIVATIONS[spec.activation]
    if not spec.gated:
        return activation(gate_up)
    gate, up = gate_up.chunk(2, -1)
    if spec.clamp is not None:
        gate, up = gate.clamp(max=spec.clamp), up.clamp(-spec.clamp, spec.clamp)
    if spec.up_offset:
        up = up + spec.up_offset
    return activation(gate).mul_(up)


class Mixture:
    """See `Experts`. Expert by expert, each over the tokens that chose it.

    Cost: the weights of every expert that any token chose are read once a pass. On CUDA finding
    out which those are waits for the device.
    """

    def __init__(self, spec: Experts, hidden: int, storage: Storage) -> None:
        self.spec = spec
        self.router = storage.router(spec.count, hidden, bias=spec.router_bias)
        size, has_bias = spec.expert.intermediate, spec.expert.bias
        self.gate_up = storage.stack(spec.count, 2 * size, hidden, bias=has_bias)  # gate before up
        self.down = storage.stack(spec.count, hidden, size, bias=has_bias)
        self.shared = Dense(spec.shared, hidden, storage) if spec.shared else None

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, hidden] to [T, hidden]."""
        weights, chosen = self.route(x)
        out = torch.zeros_like(x) if self.shared is None else self.shared(x)
        order = chosen.flatten().sort(stable=True).indices  # by expert, then by token
        tokens = order // self.spec.chosen
        counts = chosen.flatten().bincount(minlength=self.spec.count).tolist()
        begin = 0
        for index, count in enumerate(counts):
            if count:
                places = order[begin : begin + count]
                mine = tokens[begin : begin + count]
                found = self._expert(index, x[mine]) * weights.flatten()[places, None]
                out.index_add_(0, mine, found.to(x.dtype))
                begin += count
        return out

    def route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Choose experts for [T, hidden].

        Returns:
            their weights, [T, chosen] f32, and which they are, [T, chosen] i64.
        """
        spec = self.spec
        scores = self.router(x).float()
        if spec.scores == "softmax_of_chosen":
            highest, chosen = scores.topk(spec.chosen, -1)
            return highest.softmax(-1) * spec.scale, chosen
        shares = scores.softmax(-1)
        if spec.groups > 1:
            shares = _best_groups(shares, spec)
        weights, chosen = shares.topk(spec.chosen, -1)
        if spec.normalised:
            weights = weights / weights.sum(-1, keepdim=True)
        return weights * spec.scale, chosen

    def _expert(self, index: int, x: Tensor) -> Tensor:
        gate_up = self.gate_up.each[index](x)
        return self.down.each[index](activated(self.spec.expert, gate_up))

    def parameters(self, whole: bool = False) -> dict[str, Tensor]:
        """Return `router`, `shared.<part>`, and the experts' `experts.<e>.<part>`.

        Args:
            whole: the experts are wanted in one piece: `experts.gate_up` and `experts.down`,
                [E, out, in] as weights and [E, out] as biases.
        """
        named = self.router.parts(router=self.spec.count)
        if self.shared is not None:
            named |= {f"shared.{name}": part for name, part in self.shared.parameters().items()}
        sides = {"gate_up.weight": self.gate_up.room, "down.weight": self.down.room}
        if self.gate_up.biases is not None and self.down.biases is not None:
            sides |= {"gate_up.bias": self.gate_up.biases, "down.bias": self.down.biases}
        if whole:
            return named | {f"experts.{name}": side for name, side in sides.items()}
        for name, side in sides.items():
            part, kind = name.split(".")
            for index, one in enumerate(side):
                pieces = {"gate": one.chunk(2)[0], "up": one.chunk(2)[1]}
                for piece, view in (pieces if part == "gate_up" else {part: one}).items():
                    named[f"experts.{index}.{piece}.{kind}"] = view
        return named


def _best_groups(shares: Tensor, spec: Experts) -> Tensor:
    """Set the shares of all but the best groups to zero; a group is as good as its best expert."""
    grouped = shares.view(len(shares), spec.groups, -1)
    best = grouped.amax(-1).topk(spec.chosen_groups, -1).indices
    taken = torch.zeros_like(grouped[..., 0]).scatter_(-1, best, 1.0)
    return (grouped * taken[..., None]).flatten(-2)
