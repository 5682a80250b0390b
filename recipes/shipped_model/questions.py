"""Questions that need a tool, by the kind of tool, with what the tool should be given."""

from __future__ import annotations

from dataclasses import dataclass

from . import facts, values
from .draw import Draw, sections


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the kind of tool it needs, and the tool's input (an expression or key words)."""

    text: str
    kind: str
    key: str


WORDINGS = sections("tools.txt")
MATH, MATH_WORDS, SEARCH = (
    WORDINGS.pop(name) for name in ("expression", "calculator", "search engine")
)
OTHER = WORDINGS  # the tools that neither calculate nor search

TOOL_NAMES: dict[str, tuple[str, ...]] = {
    "calculator": ("calculator", "calculator", "calculator", "math tool", "Calculator", "pocket calculator"),
    "search engine": ("search engine", "search engine", "search engine", "web search", "Search Engine", "search", "web browser",
                      "search tool"),
    "weather": ("weather", "weather app", "weather service", "weather tool", "weather API", "weather forecast"),
    "calendar": ("calendar", "calendar", "calendar app", "planner", "Calendar"),
    "translator": ("translator", "translator", "translation tool", "Translator", "translation app"),
    "map": ("map", "map app", "navigation app", "maps", "route planner"),
    "dictionary": ("dictionary", "dictionary", "Dictionary", "online dictionary"),
    "alarm": ("alarm clock", "timer", "alarm", "clock"),
    "email": ("email", "email client", "mail program", "email app"),
    "music": ("music player", "music app", "jukebox", "music service"),
    "currency": ("currency converter", "currency converter", "exchange rate tool", "money converter"),
    "camera": ("camera", "camera app", "Camera"),
    "python": ("python interpreter", "code interpreter", "Python", "code runner"),
    "stocks": ("stock ticker", "stock market app", "stock price tool", "finance app"),
}  # fmt: skip

SEARCHABLE = (
    "weather",
    "dictionary",
    "map",
    "stocks",
    "currency",
)  # a search engine also answers these
MONEY = (
    "dollars",
    "euros",
    "pounds",
    "yen",
    "francs",
    "rupees",
    "pesos",
    "yuan",
    "USD",
    "EUR",
    "GBP",
    "JPY",
    "CHF",
)
LANGUAGES = ("French", "German", "Spanish", "Italian", "Japanese", "Chinese", "Russian", "Arabic", "Portuguese", "Dutch",
             "Greek", "Polish", "Turkish", "Korean", "Swedish")  # fmt: skip
DISHES = (
    "apple pie",
    "pancakes",
    "lasagna",
    "tomato soup",
    "chicken curry",
    "sushi",
    "bread",
    "chocolate cake",
    "paella",
    "pizza",
)


def number(draw: Draw) -> int:
    """Return a number of one to four digits, small ones more often."""
    return draw.number(1, draw.any((9, 20, 99, 99, 999, 9999)))


def expression(draw: Draw) -> str:
    """Return an arithmetic expression."""
    roll = draw.rng.random()
    a, b, c = number(draw), number(draw), number(draw)
    op, op2 = draw.any("++--**/"), draw.any("+-*/")
    if roll < 0.6:
        return f"{a} {op} {b}"
    if roll < 0.7:
        return f"{a}{op}{b}"
    if roll < 0.8:
        return f"{a} {op} {b} {op2} {c}"
    if roll < 0.87:
        return f"({a} {op} {b}) {op2} {c}"
    if roll < 0.92:
        return f"{a}.{draw.number(0, 9)} {op} {b}"
    if roll < 0.96:
        return f"{a} {draw.any(('x', '^', '**', 'times'))} {b}"
    return f"{a} {op} {b} {op2} {c} {op} {draw.number(1, 99)}"


def title(draw: Draw) -> str:
    """Return a made-up title of a film, a song or a book."""
    thing, other = draw.of(values.THINGS), draw.of(values.ANIMALS)
    return draw.any((
        f"The {draw.of(values.ADJECTIVES).capitalize()} {thing.capitalize()}", f"The {other.capitalize()}", values.made_up_name(draw),
        f"The {other.capitalize()} and the {thing.capitalize()}", f"{values.made_up_name(draw)} {thing.capitalize()}",
    ))  # fmt: skip


def slots(draw: Draw) -> dict[str, str]:
    """Return a value for every letter that the templates use."""
    country = draw.any(facts.countries())
    money = draw.some(MONEY, 2)
    word = draw.any((values.THINGS, values.ANIMALS, values.HOBBIES, values.ADJECTIVES))
    return {
        "a": draw.of(values.ANIMALS), "c": country.the_name, "d": draw.any(DISHES), "e": values.email(draw),
        "h": draw.of(values.HOBBIES), "k": values.company(draw), "l": draw.any(LANGUAGES), "m": title(draw),
        "n": values.person(draw), "o": values.clock(draw), "r": str(draw.number(1900, 2024)), "s": values.street(draw),
        "t": draw.of(values.THINGS), "u": money[0], "v": draw.of(word) if draw.chance(0.7) else values.made_up_word(draw),
        "w": draw.any((*values.DAYS, *values.DAYS, "tomorrow", "the weekend", values.date(draw))), "x": money[1],
        "y": values.city(draw), "z": values.city(draw),
    }  # fmt: skip


def question(draw: Draw, kind: str = "") -> Question:
    """Draw a question, of one kind if asked."""
    kind = kind or draw.any(("calculator", "calculator", "search engine", "search engine", *OTHER))
    if kind == "calculator" and draw.chance(0.6):
        e = expression(draw)
        return Question(draw.of(MATH).format(e=e), kind, e)
    if kind == "calculator":
        asked, key = draw.of(MATH_WORDS).split("|")
        numbers = {"a": number(draw), "b": number(draw), "d": number(draw)}
        return Question(asked.format(**numbers), kind, key.format(**numbers))
    if kind == "search engine":
        asked, key = draw.of(SEARCH).split("|")
        filled = slots(draw)
        return Question(asked.format(**filled), kind, key.format(**filled))
    filled = slots(draw)
    if kind in ("alarm", "currency", "python"):
        filled["a"] = str(number(draw))
    asked = draw.of(OTHER[kind]).format(**filled)
    place = filled["y"]
    keys = {
        "weather": f"weather in {place}", "dictionary": f"meaning of {filled['v']}", "stocks": f"stock price of {filled['k']}",
    }  # fmt: skip
    key = keys.get(kind, asked.rstrip("?.")[0].lower() + asked.rstrip("?.")[1:])
    if kind in ("weather", "dictionary", "stocks") and not any(
        v in asked for v in (place, filled["v"], filled["k"])
    ):
        key = asked.rstrip("?.").lower()
    return Question(asked, kind, key)
