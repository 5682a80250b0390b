"""JSON Schema rewritten to a core that back ends enforce exactly, with a report on the rest.

normaliser.py    the walk: what is said, keyword by keyword
form.py          core schemas and their algebra
values.py objects.py names.py arrays.py evaluated.py    keywords of one type of values
alternatives.py negation.py disjoint.py complement.py   oneOf, if, not
joined.py        conjunctions written as one schema where that says the same
inhabited.py     what no finite document satisfies is taken out
"""

from __future__ import annotations

from .normaliser import Normal, normalise

__all__ = ["Normal", "normalise"]
