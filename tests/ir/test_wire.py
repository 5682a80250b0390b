"""Values travel exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixlm.ir.wire import Handle, pack, unpack

KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS | st.just("$"), inner)
        | st.sets(KEYS)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    back = unpack(json.loads(json.dumps(pack(value))))
    assert repr(back) == repr(value) or back == value
    assert type(back) is type(value)


def test_what_cannot_be_sent_is_kept() -> None:
    kept: list[object] = []

    def keep(value: object) -> int:
        kept.append(value)
        return len(kept) - 1

    thing = object()
    packed = pack({"a": [thing, 1]}, keep)
    assert unpack(packed) == {"a": [Handle(0), 1]}
    assert unpack(packed, kept.__getitem__) == {"a": [thing, 1]}
    assert pack(Handle(0)) == packed["a"][0]
    with pytest.raises(TypeError, match="object"):
        pack([thing])


@pytest.mark.parametrize("bad", [{"$": "exec"}, {"$": "tuple"}, {"$": "handle", "number": "x"}])
def test_what_is_no_value_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="no value"):
        unpack(bad)
