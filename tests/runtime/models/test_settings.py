from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.models.settings import Settings, read_json

VALUES = {"one": 1, "half": 0.5, "yes": True, "word": "silu", "nothing": None, "many": [1, 2]}


def settings() -> Settings:
    return Settings(VALUES, "config.json")


def test_fields_have_their_values_or_defaults() -> None:
    read = settings()
    assert (read.integer("one"), read.integer("nothing", 4)) == (1, 4)
    assert (read.number("half"), read.number("one")) == (0.5, 1.0)
    assert (read.flag("yes"), read.flag("absent", False)) == (True, False)
    assert read.choice("word", ("relu", "silu")) == "silu"
    assert (read.token_ids("one"), read.token_ids("many"), read.token_ids("absent")) == (
        (1,),
        (1, 2),
        (),
    )
    assert read.section("absent") is None


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s: s.integer("absent"), "config.json: the field 'absent' is missing"),
        (lambda s: s.integer("half"), "config.json: half is 0.5; it must be a positive integer"),
        (lambda s: s.integer("yes"), "yes is True; it must be a positive integer"),
        (lambda s: s.number("word"), "word is 'silu'; it must be a positive number"),
        (lambda s: s.flag("one"), "one is 1; it must be true or false"),
        (lambda s: s.choice("word", ("gelu",)), "word is 'silu'; it is not supported; supported"),
        (lambda s: s.section("many"), r"many is \[1, 2\]; it must be an object"),
        (lambda s: s.names("many"), r"many is \[1, 2\]; it must be a list of strings"),
        (lambda s: s.token_ids("word"), "word is 'silu'; it must be a token id or a list of them"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(
    ask: Callable[[Settings], Any], message: str
) -> None:
    with pytest.raises(ModelLoadError, match=message):
        ask(settings())


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot read .*config.json"), ("{", "cannot read"), ("[1]", "holds a JSON list")],
)
def test_a_file_that_is_no_object_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelLoadError, match=message):
        read_json(tmp_path / "config.json")
