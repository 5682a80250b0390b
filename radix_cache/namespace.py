"""Whose prefixes may meet: the key of a tree."""

from __future__ import annotations

from typing import NamedTuple


class Namespace(NamedTuple):
    """What must be equal besides the tokens for keys and values to be shared.

    The same ids stand for other keys and values under another adapter, and tenants must not learn
    from a hit what others have asked.
    """

    tenant: str = ""  # a salt; the requests of one tenant share prefixes
    adapter: str = ""  # the id of the LoRA adapter; empty: the model itself

    @classmethod
    def of(cls, value: Namespace | str) -> Namespace:
        """Return `value`, or the namespace of the tenant with that name."""
        return cls(value) if isinstance(value, str) else value

    @property
    def label(self) -> str:
        """The parts that are set, for people: not for telling namespaces apart."""
        parts = [("tenant", self.tenant), ("adapter", self.adapter)]
        return ", ".join(f"{name} {value!r}" for name, value in parts if value) or "default"
