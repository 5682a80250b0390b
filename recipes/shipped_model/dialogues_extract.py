"""Extraction of a record from text as JSON, under schemas of many shapes."""

from __future__ import annotations

import re
from typing import Any

from . import values
from .dialogues_countries import json_style
from .documents import Document, Task, chat_prompt, dumps
from .draw import Draw, sections
from .records import FIELDS, SENTENCES

SLOT = re.compile(r"{(\w+)}")
ARTICLE = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")


REQUESTS = sections("requests.txt")
ASK_KEYS, ASK_PLAIN, ASK_SCHEMA = (REQUESTS[name] for name in ("keys", "plain", "schema"))

SYSTEMS = (
    "", "", "", "You extract data.", "You are a helpful assistant.", "Answer in JSON.", "You are a helpful AI assistant.",
    "You extract information from text and answer with JSON only.", "Respond only with JSON.",
)  # fmt: skip


def listed(draw: Draw, keys: list[str]) -> str:
    """Name the keys in one of the usual ways."""
    shown = [k.replace("_", " ") for k in keys] if draw.chance(0.3) else list(keys)
    style = draw.any(("and", "and", ",", "quoted"))
    if style == "quoted":
        return ", ".join(f'"{key}"' for key in keys)
    if style == "," or len(shown) == 1:
        return ", ".join(shown)
    return ", ".join(shown[:-1]) + " and " + shown[-1]


def fill(draw: Draw, domain: str = "") -> tuple[str, dict[str, tuple[str, Any]]]:
    """Return a sentence and the values of its slots."""
    domain = domain or draw.any(
        ("person", "person", "person", "order", "order", "event", "travel", "other")
    )
    template = draw.of(SENTENCES[domain])
    found = {slot: FIELDS[slot].make(draw) for slot in dict.fromkeys(SLOT.findall(template))}
    if "email" in found and "name" in found and draw.chance(0.5):
        address = values.email(draw, found["name"][0])
        found["email"] = (address, address)
    text = template.format(**{slot: shown for slot, (shown, _) in found.items()})
    text = ARTICLE.sub(r"\1n ", text)
    text = text.replace("¶", "\n")
    return text[0].upper() + text[1:] if draw.chance(0.97) else text, found


def as_schema(record: Any, types: dict[str, str]) -> dict[str, Any]:
    """Describe a record; `types` names the type of a leaf where the value alone does not say it."""
    properties: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            properties[key] = as_schema(value, types)
        elif isinstance(value, list):
            inner = {"type": "string"} if isinstance(value[0], str) else as_schema(value[0], types)
            properties[key] = {"type": "array", "items": inner}
        else:
            kind = types.get(key, "boolean" if isinstance(value, bool) else "string")
            properties[key] = {"type": kind}
    return {"type": "object", "properties": properties, "required": list(record)}


def flat_record(
    draw: Draw, found: dict[str, tuple[str, Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Choose fields and keys for them; return the record and its leaf types."""
    order = list(found)
    if draw.chance(0.5):
        draw.rng.shuffle(order)
    if len(order) > 1 and draw.chance(0.35):
        order = order[: draw.number(1, len(order))]
    record: dict[str, Any] = {}
    types: dict[str, str] = {}
    for slot in order:
        field = FIELDS[slot]
        key = draw.any(field.keys)
        if key in record:
            key = slot
        if key in record:
            continue
        shown, value = found[slot]
        if field.type != "string" and draw.chance(0.05):
            record[key], types[key] = shown, "string"
        else:
            record[key], types[key] = value, field.type
    return record, types


def extraction(draw: Draw) -> Task:
    """A sentence, a request, and the record as JSON."""
    text, found = fill(draw)
    record, types = flat_record(draw, found)
    if draw.chance(0.1):
        record = _nested(draw, record)
    if draw.chance(0.1):
        noise, _ = fill(draw, draw.any(("event", "other", "travel")))
        if not set(SLOT.findall(noise)):
            text = f"{text} {noise}" if draw.chance(0.5) else text
    return _task(draw, text, record, types)


def _nested(draw: Draw, record: dict[str, Any]) -> dict[str, Any]:
    outer = draw.any(("person", "data", "details", "info", "result", "customer"))
    keys = list(record)
    cut = draw.number(0, max(0, len(keys) - 1))
    kept = {key: record[key] for key in keys[:cut] if key != outer}
    return {**kept, outer: {key: record[key] for key in keys[cut:]}}


def _task(draw: Draw, text: str, record: dict[str, Any], types: dict[str, str]) -> Task:
    schema = as_schema(record, types)
    leaves = [
        k for key, value in record.items() for k in (value if isinstance(value, dict) else (key,))
    ]
    roll = draw.rng.random()
    if roll < 0.5:
        request = draw.of(ASK_KEYS).replace("{k}", listed(draw, leaves))
    elif roll < 0.85:
        request = draw.of(ASK_PLAIN)
    else:
        request = draw.of(ASK_SCHEMA).replace("{j}", dumps(schema))
    request = request.replace("¶", "\n").replace("{s}", text)
    answer = json_style(draw, record)
    if draw.chance(0.7):
        prompt = chat_prompt([
            *([{"role": "system", "content": system}] if (system := draw.any(SYSTEMS)) else []),
            {"role": "user", "content": request},
        ])  # fmt: skip
        return Task(prompt, answer + "<|im_end|>", record, schema=schema)
    end = "\n" if not request.endswith(":") or draw.chance(0.5) else draw.any(("\n", " "))
    return Task(request + end, answer + "<|endoftext|>", record, schema=schema)


def lists(draw: Draw) -> Task:
    """Records with an array, a boolean or an enumeration."""
    kind = draw.any(("names", "items", "member", "stock", "mood", "size", "orders"))
    types: dict[str, str] = {}
    name, town = values.person(draw), values.city(draw)
    if kind == "names":
        people = [values.first_name(draw) for _ in range(draw.number(2, 4))]
        text = draw.any(("{a} and {z} went to {c}.", "{a} and {z} live in {c}.", "In {c} we met {a} and {z}.",
                         "The team in {c}: {a} and {z}."))  # fmt: skip
        text = text.format(a=", ".join(people[:-1]), z=people[-1], c=town)
        record: dict[str, Any] = {
            draw.any(("names", "people", "persons")): people,
            draw.any(("city", "place")): town,
        }
    elif kind == "items":
        things = [values.product(draw) for _ in range(draw.number(2, 4))]
        text = draw.any(
            (
                "{n} bought {i}.",
                "{n}'s shopping list: {i}.",
                "{n} needs {i}.",
                "{n} packed {i} for the trip.",
            )
        )
        text = text.format(n=name, i=", ".join(things[:-1]) + " and " + things[-1])
        record = {
            draw.any(("name", "customer")): name,
            draw.any(("items", "products", "things")): things,
        }
    elif kind == "member":
        yes = draw.chance(0.5)
        text = draw.any(
            ("{n} from {c} is {no}a member.", "{n} is {no}a member of our club in {c}.")
        )
        text = text.format(n=name, c=town, no="" if yes else "not ")
        record = {"name": name, draw.any(("member", "is_member")): yes, "city": town}
    elif kind == "stock":
        yes, thing = draw.chance(0.5), values.product(draw)
        shown, cost = FIELDS["price"].make(draw)
        text = f"The {thing} costs {shown} and is {draw.any(('', 'currently ', 'now '))}{'' if yes else 'not '}{draw.any(('in stock', 'available'))}."
        record = {"product": thing, "price": cost, draw.any(("in_stock", "available")): yes}
        types["price"] = "number"
    elif kind == "mood":
        mood, words = draw.any((("positive", ("loves", "likes", "is happy with")), ("negative", ("hates", "dislikes", "is angry about")),
                                ("neutral", ("owns", "has seen", "knows"))))  # fmt: skip
        thing = values.product(draw)
        text = f"{name} {draw.any(words)} the {thing}."
        record = {"name": name, "product": thing, draw.any(("sentiment", "mood")): mood}
    elif kind == "size":
        size, flavor = (
            draw.any(("small", "medium", "large")),
            draw.any(("cheese", "mushroom", "tomato", "tuna", "spinach")),
        )
        text = f"{name} would like a {size} {flavor} pizza."
        record = {"name": name, "size": size, "topping": flavor}
    else:
        rows = [
            {"product": values.product(draw), "quantity": draw.number(2, 99)}
            for _ in range(draw.number(1, 3))
        ]
        text = (
            f"{name} ordered "
            + " and ".join(f"{row['quantity']} {row['product']}s" for row in rows)
            + "."
        )
        record = {"customer": name, "items": rows}
        types["quantity"] = "integer"
    if draw.chance(0.3) and kind not in ("orders",):
        record = dict(draw.some(list(record.items()), len(record)))
    task = _task(draw, text, record, types)
    if kind == "mood" and task.schema:
        key = next(k for k in record if k in ("sentiment", "mood"))
        task.schema["properties"][key]["enum"] = ["positive", "negative", "neutral"]
    if kind == "size" and task.schema:
        task.schema["properties"]["size"]["enum"] = ["small", "medium", "large"]
    return task


def two_sentences(draw: Draw) -> Task:
    """A record inside a longer text: other sentences stand before or after."""
    text, found = fill(draw)
    record, types = flat_record(draw, found)
    fillers = ("The weather was nice that day.", "It was a long day.", "Thank you very much!", "I hope this helps.",
               "Please answer soon.", "Everybody was happy.", "That is all for now.", "We talked for a while.",
               "See you soon.", "Here is what I know.", "Good morning!", "Just to let you know.")  # fmt: skip
    before = draw.any(fillers) + " " if draw.chance(0.5) else ""
    behind = " " + draw.any(fillers) if draw.chance(0.6) else ""
    return _task(draw, f"{before}{text}{behind}", record, types)


def question_about(draw: Draw) -> Document:
    """A plain question about a sentence: the answer is copied from it."""
    text, found = fill(draw)
    slot = draw.any(list(found))
    key = draw.any(FIELDS[slot].keys).replace("_", " ")
    shown = found[slot][0]
    question = draw.any(
        (
            f"What is the {key}?",
            f"Which {key} is in the text?",
            f"{key.capitalize()}?",
            f"Tell me the {key}.",
        )
    )
    user = draw.any(
        (
            f"{text} {question}",
            f"{text}\n{question}",
            f"Text: {text}\nQuestion: {question}",
            f"{question}\n\n{text}",
        )
    )
    if draw.chance(0.6):
        return Task(
            chat_prompt([{"role": "user", "content": user}]), shown + "<|im_end|>"
        ).document()
    return Task(user + "\n" + draw.any(("Answer:", "A:")), f" {shown}<|endoftext|>").document()
