from collections.abc import Callable
from textwrap import dedent

import pytest

import radixlm as rl
from radixlm.ir.text import to_text

Check = Callable[[rl.Function, str], None]


@pytest.fixture
def becomes() -> Check:
    """Asserts that a function compiles, to this text."""

    def check(function: rl.Function, expected: str) -> None:
        compiled = function.compile()
        assert [f"{error}; {error.hint}" for error in compiled.reasons] == []
        assert compiled.program is not None
        assert to_text(compiled.program).strip() == dedent(expected).strip()

    return check
