"""What `--quantization` names: a method for each kind of matrix."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ModelLoadError
from .base import Method
from .int4 import GROUPS, Int4Method
from .int8 import Int8Method


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the matrices of a model are held."""

    layers: Method  # projections of layers and experts
    head: Method  # the head, and the embedding where that is the same


# Four bits cost the head more accuracy than any layer, since its errors are those of the logits.
SCHEMES = {
    "int8": Scheme(Int8Method(), Int8Method()),
    "int4": Scheme(Int4Method(), Int8Method()),
    **{f"int4-{size}": Scheme(Int4Method(size), Int8Method()) for size in GROUPS},
}
TORCHAO = {"int8wo": "int8", **{f"int4wo-{size}": f"int4-{size}" for size in GROUPS}}


def find_scheme(name: str) -> Scheme:
    """Return the scheme of that name, ours or that of SGLang's `--torchao-config`.

    Raises:
        ModelLoadError: there is none; the message lists those that are.
    """
    scheme = SCHEMES.get(TORCHAO.get(name, name))
    if scheme is None:
        known = ", ".join((*SCHEMES, *TORCHAO))
        raise ModelLoadError(f"quantization is {name!r}; it must be one of {known}")
    return scheme
