"""`radixlm check`: what it prints, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from radixlm.cli import main

HEAD = "import radixlm as rl\n\n@rl.function\n"
WARNED = HEAD + 'def f(s):\n    s += "Q:" + rl.gen("x")\n'
WRONG = HEAD + 'def f(s):\n    s += "Q:" + rl.gen("x", max_tokens=3)\n    s += s["y"]\n'
GOOD = HEAD + 'def f(s):\n    s += "Q:" + rl.gen("x", max_tokens=3)\n'


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str, name: str = "program.py") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return written


def test_a_good_file_says_nothing_and_exits_with_0(write, capsys) -> None:
    assert main(["check", write(GOOD)]) == 0
    assert capsys.readouterr().out == ""


def test_an_error_has_file_line_code_and_fix_and_exits_with_1(write, capsys) -> None:
    path = write(WRONG)
    assert main(["check", path]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path}:6: error unbound-variable: s['y'] is read")
    assert second.startswith("    ")


def test_a_warning_fails_under_strict_alone(write, capsys) -> None:
    path = write(WARNED)
    assert main(["check", path]) == 0
    assert "warning unbounded-gen" in capsys.readouterr().out
    assert main(["check", "--strict", path]) == 1


def test_json_gives_one_object_a_line(write, capsys) -> None:
    main(["check", "--json", write(WRONG)])
    [finding] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (finding["line"], finding["code"], finding["severity"]) == (
        6,
        "unbound-variable",
        "error",
    )


def test_several_files_are_checked_together(write, capsys) -> None:
    assert main(["check", write(WARNED, "a.py"), write(WRONG, "b.py")]) == 1
    out = capsys.readouterr().out
    assert "a.py:5" in out
    assert "b.py:6" in out


def test_a_main_part_does_not_run(write, capsys) -> None:
    assert main(["check", write(GOOD + '\nif __name__ == "__main__":\n    1 / 0\n')]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [("import no_such_module\n", "ModuleNotFoundError"), ("def (:\n", "SyntaxError")],
)
def test_a_file_that_cannot_be_imported_exits_with_2(write, capsys, text, said) -> None:
    assert main(["check", write(text)]) == 2
    assert said in capsys.readouterr().err


def test_a_file_or_a_tokenizer_that_is_not_there_exits_with_2(write, capsys) -> None:
    assert main(["check", "nowhere.py"]) == 2
    assert "nowhere.py is no Python file" in capsys.readouterr().err
    assert main(["check", "--tokenizer", "nowhere", write(GOOD)]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_programs_in_classes_and_containers_are_found(write, capsys) -> None:
    text = (
        "import radixlm as rl\n\nclass Programs:\n    @rl.function\n"
        '    def f(s):\n        s += "Q:" + rl.gen("x")\n\n'
        'ALL = {"g": [rl.function(lambda s: None)]}\n'
    )
    main(["check", write(text)])
    out = capsys.readouterr().out
    assert "program.py:6: warning unbounded-gen" in out
    assert "program.py:8: note not-compiled" in out


def test_a_context_length_is_held_against_the_longest_sequence(write, capsys) -> None:
    path = write(GOOD.replace("max_tokens=3", "max_tokens=300"))
    assert main(["check", "--context-length", "128", "--strict", path]) == 1
    assert "maybe-context-overflow" in capsys.readouterr().out


def test_checking_needs_no_torch(write) -> None:
    program = (
        "import sys; from radixlm.cli import main; main(sys.argv[1:]); "
        "print([m for m in ('torch', 'transformers', 'xgrammar') if m in sys.modules])"
    )
    regex = GOOD.replace("max_tokens=3", 'max_tokens=3, regex="[a-z]"')
    done = subprocess.run(
        [sys.executable, "-c", program, "check", write(regex)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": str(Path(__file__).parents[3] / "src")},
    )
    assert done.stdout.strip() == "[]"
