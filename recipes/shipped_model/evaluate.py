"""Score a model on the held-out sets through two operations, so that any engine can be plugged in.

`python -m recipes.shipped_model.evaluate --model runtime/shipped --json` uses transformers, with
XGrammar's mask for JSON. `benchmarks/shipped_model.py` scores RadixLM's engine the same way.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from .documents import CALL_END, CALL_START, END, SEPARATOR, Task
from .heldout import HeldOut, build

MARKERS = ("<!-- figures -->", "<!-- /figures -->")


class Subject(Protocol):
    """What is scored."""

    def generate(
        self, prompt: str, max_tokens: int, stop: Sequence[str], json_schema: str | None = None
    ) -> str:
        """Continue a prompt greedily; the text ends before a stop string or an end token."""
        ...

    def select(self, prompt: str, choices: Sequence[str]) -> str:
        """Return the choice with the highest mean log-probability per token after the prompt."""
        ...


def same(left: Any, right: Any) -> bool:
    """Compare JSON values; numbers by value, texts without outer spaces."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return abs(left - right) < 1e-9
    if isinstance(left, str) and isinstance(right, str):
        return left.strip() == right.strip()
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            same(value, right[key]) for key, value in left.items()
        )
    return False


def parsed_call(text: str) -> Any:
    """Return the first tool call of an answer as JSON, or None."""
    found = re.search(
        re.escape(CALL_START) + r"(.*?)(?:" + re.escape(CALL_END) + r"|$)", text, re.DOTALL
    )
    try:
        return json.loads(found.group(1)) if found else None
    except json.JSONDecodeError:
        return None


def plain(text: str) -> str:
    """Drop end marks and outer spaces."""
    return text.replace(END, "").replace(SEPARATOR, "").strip()


def answer(subject: Subject, task: Task, mode: str) -> tuple[str, bool]:
    """Let the subject answer one task; return its text and whether it is right."""
    match mode:
        case "select":
            chosen = subject.select(task.prompt, task.choices)
            return chosen, chosen == task.gold
        case "json":
            text = subject.generate(task.prompt, 256, [], json.dumps(task.schema))
            try:
                return text, same(json.loads(text), task.gold)
            except json.JSONDecodeError:
                return text, False
        case "call":
            text = subject.generate(task.prompt, 200, [])
            return text, same(parsed_call(text), task.gold)
        case _:
            text = subject.generate(task.prompt, 48, [])
            return text, holds(text, str(task.gold))


def holds(text: str, gold: str) -> bool:
    """Say whether an answer has the expected text in it as whole words."""
    body = plain(text)
    return re.search(rf"(?<!\w){re.escape(plain(gold).rstrip('.'))}(?!\w)", body) is not None


def score(
    subject: Subject,
    sets: Iterable[HeldOut],
    *,
    failures: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Score every set; show up to `failures` wrong answers of each."""
    figures: dict[str, float] = {}
    for held_out in sets:
        start = time.monotonic()
        right, shown = 0, 0
        for task in held_out.tasks:
            text, good = answer(subject, task, held_out.mode)
            right += good
            if not good and shown < failures:
                shown += 1
                say(f"  wrong: {task.prompt[-300:]!r}")
                say(f"    said {plain(text)!r}\n    expected {task.gold!r}")
        share = right / len(held_out.tasks)
        figures[held_out.name] = round(share, 4)
        seconds = time.monotonic() - start
        say(f"{held_out.name}: {share:.3f} of {len(held_out.tasks)} ({seconds:.0f} s)")
    return figures


def write_figures(card: Path, figures: dict[str, float]) -> None:
    """Put the figures between the markers of the model card."""
    start, end = MARKERS
    text = card.read_text(encoding="utf-8")
    before, rest = text.split(start, 1)
    rows = "\n".join(f"| {name} | {value:.1%} |" for name, value in figures.items())
    body = f"{start}\n| held-out set | right |\n| --- | --- |\n{rows}\n"
    card.write_text(before + body + end + rest.split(end, 1)[1], encoding="utf-8")


def main() -> None:
    """Score a folder with transformers."""
    from .subject import TransformersSubject

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("runtime/shipped"))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--failures", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--write", action="store_true", help="put the figures in the model card")
    parser.add_argument(
        "--samples", action="store_true", help="also print answers to sample prompts"
    )
    options = parser.parse_args()
    subject = TransformersSubject(options.model)
    if options.samples:
        from .samples import show

        show(subject)
    figures = score(
        subject,
        build(options.scale),
        failures=options.failures,
        say=lambda line: print(line, flush=True),
    )
    if options.write:
        write_figures(options.model / "README.md", figures)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
