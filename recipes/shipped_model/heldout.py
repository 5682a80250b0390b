"""The held-out sets: tasks whose wordings, names and values never occur in training.

They come from the same generators as the corpus, run with `Draw(held_out=True)`: every name, city, product
and made-up word is of the held-out side, and so is every sentence template. `capitals` also has
wordings written by hand for this file alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import (
    dialogues_calls,
    dialogues_countries,
    dialogues_extract,
    dialogues_skills,
    dialogues_tools,
    facts,
    questions,
)
from .documents import Task, chat_prompt, turns
from .draw import Draw

UNSEEN_CAPITAL_WORDINGS = (
    "Could you name {c}'s capital city for me?",
    "I'd love to know which city is the capital in {c}.",
    "What city would I find listed as the capital of {c}?",
    "Which city do people in {c} call their capital?",
    "Remind me: what's the capital of {c}?",
    "In one sentence, what is the capital city of {c}?",
)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A named set, how an answer is produced and how it is judged."""

    name: str
    tasks: tuple[Task, ...]
    mode: str  # "contains", "select", "json" or "call"


def _capital_tasks(seed: str, *, unseen: bool) -> tuple[Task, ...]:
    draw = Draw(seed, held_out=True, unseen_wordings=unseen)
    return tuple(dialogues_countries.capital(draw, country) for country in facts.countries())


def _by_hand() -> tuple[Task, ...]:
    found = []
    for number, country in enumerate(facts.countries()):
        wording = UNSEEN_CAPITAL_WORDINGS[number % len(UNSEEN_CAPITAL_WORDINGS)]
        system = "You are a helpful assistant." if number % 2 else ""
        prompt = chat_prompt(turns(wording.format(c=country.the_name), system=system))
        found.append(Task(prompt, country.capital, country.capital))
    return tuple(found)


def _drawn(
    make: Callable[[Draw], Task], seed: str, count: int, *, unseen: bool = True
) -> tuple[Task, ...]:
    draw = Draw(seed, held_out=True, unseen_wordings=unseen)
    return tuple(make(draw) for _ in range(count))


def _any_extraction(draw: Draw) -> Task:
    make = draw.any((dialogues_extract.extraction, dialogues_extract.extraction, dialogues_extract.two_sentences,
                     dialogues_extract.lists))  # fmt: skip
    return make(draw)


def _documented_program(draw: Draw) -> Task:
    kind = draw.any(("calculator", "search engine"))
    return dialogues_tools.program(draw, questions.question(draw, kind))


def _program_input(draw: Draw) -> Task:
    """Ask a program for the expression, the tool being chosen already."""
    task = dialogues_tools.program(draw, questions.question(draw, "calculator"))
    lead, (answer, _) = task.after[0][0], task.after[1]
    return Task(
        task.prompt + task.answer + lead, answer, answer.replace("<|endoftext|>", "").strip()
    )


def build(scale: float = 1.0) -> list[HeldOut]:
    """Build every set; `scale` shrinks the drawn ones for a quick look.

    The four headline figures are `capitals`, `tools`, `extraction` and `tool_calls`.
    """

    def size(count: int) -> int:
        return max(8, round(count * scale))

    countries_kept = size(len(facts.countries()))
    every = max(1, len(facts.countries()) // countries_kept)
    return [
        HeldOut("capitals", _capital_tasks("capitals", unseen=False)[::every], "contains"),
        HeldOut("capitals_unseen_phrasings", (_capital_tasks("phrasings", unseen=True) + _by_hand())[::every], "contains"),
        HeldOut("tools", _drawn(dialogues_tools.select_raw, "raw", size(150)) + _drawn(dialogues_tools.select_chat, "chat", size(100))
                + _drawn(_documented_program, "program", size(50)), "select"),
        HeldOut("tools_documented_program", _drawn(_documented_program, "documented", size(80)), "select"),
        HeldOut("extraction", _drawn(_any_extraction, "values", size(200), unseen=False), "json"),
        HeldOut("extraction_unseen_phrasings", _drawn(_any_extraction, "phrasings", size(100)), "json"),
        HeldOut("tool_calls", _drawn(lambda d: dialogues_calls.single(d, "weather"), "weather", size(80))
                + _drawn(dialogues_calls.single, "calls", size(80)), "call"),
        HeldOut("program_expressions", _drawn(_program_input, "expressions", size(60)), "contains"),
        HeldOut("follow_ups", _drawn(dialogues_countries.follow_up, "follow", size(100)), "contains"),
        HeldOut("reverse_capitals", _drawn(dialogues_countries.reverse, "reverse", size(80)), "contains"),
        HeldOut("sentiment", _drawn(dialogues_skills.sentiment, "sentiment", size(60)), "select"),
    ]  # fmt: skip
