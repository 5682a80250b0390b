"""How linear layers hold their weights: plain, or in fewer bits."""

from .base import Plain, Weight
from .int4 import Int4
from .int8 import Int8
from .schemes import Scheme, find_scheme

__all__ = ["Int4", "Int8", "Plain", "Scheme", "Weight", "find_scheme"]
