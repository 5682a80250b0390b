"""What `radixlm schema` says of a schema, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radixlm.cli import main

OPEN = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}},
    "required": ["tags"],
}


def write(folder: Path, schema: Any) -> str:
    path = folder / "schema.json"
    path.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return str(path)


def test_a_schema_that_is_not_all_enforced_is_refused_with_the_place_and_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", write(tmp_path, OPEN)]) == 1
    out = capsys.readouterr().out
    assert "checked  /properties/tags/uniqueItems: " in out
    assert "enforced /required" in out
    assert "refused in mode strict" in out
    assert out.rstrip().endswith("checks closed documents for the rest")


def test_a_slip_hides_nothing_that_is_said_of_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", write(tmp_path, {**OPEN, "min_properties": 1})]) == 1
    out = capsys.readouterr().out
    assert "refused  /min_properties: " in out
    assert "Did you mean minProperties?" in out
    assert "enforced /required" in out
    assert "best_effort" not in out


def test_best_effort_takes_what_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", write(tmp_path, OPEN), "--mode", "best_effort", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["taken"] is True
    assert (found["checked"], found["refused"]) == (1, 0)
    assert found["error"] is None


def test_a_layout_can_be_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = {"properties": {f"p{index}": {} for index in range(65)}}
    assert main(["schema", write(tmp_path, wide), "--whitespace", "flexible"]) == 0
    assert main(["schema", write(tmp_path, wide), "--property-order", "any"]) == 1
    assert "names 65 properties" in capsys.readouterr().out


def test_the_shipped_tokenizer_can_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert main(["schema", write(tmp_path, schema), "--tokenizer", "shipped"]) == 0
    assert "taken in mode strict" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [("{", None), ({"type": "no"}, "/type"), ({"$ref": "http://x/y"}, "/$ref")],
)
def test_a_refusal_has_a_pointer_where_there_is_one(
    schema: Any, pointer: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", write(tmp_path, schema), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["pointer"] == pointer


def test_a_file_that_is_not_there_is_another_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
