"""Conversations with functions: calling the right one, using its result, or answering without it."""

from __future__ import annotations

from typing import Any

from . import functions
from .definitions import Call
from .dialogues_countries import ask, capital_answer, pick, sentence
from .documents import END, Document, Message, Task, call_text, chat, chat_prompt, dumps
from .draw import Draw

SYSTEMS = ("", "", "", "You are a helpful assistant.", "You are a helpful AI assistant.", "You call functions.",
           "You are a helpful assistant that can use tools.", "Use the tools if needed.",
           "You are an assistant. Call a function when it helps.")  # fmt: skip


def toolbox(draw: Draw, call: Call, count: int) -> list[dict[str, Any]]:
    """Put a call's function among others, names all different."""
    tools = [call.definition]
    names = {call.definition["function"]["name"]}
    families = {_family(call.definition)}
    while len(tools) < count:
        other = functions.any_call(draw).definition
        name, family = str(other["function"]["name"]), _family(other)
        if name not in names and family not in families:
            names.add(name)
            families.add(family)
            tools.append(other)
    draw.rng.shuffle(tools)
    return tools


def _family(tool: dict[str, Any]) -> str:
    """Return a word that is the same for functions that do the same."""
    text = tool["function"]["description"].lower() + tool["function"]["name"].lower()
    for word in (
        "weather",
        "forecast",
        "calculat",
        "math",
        "expression",
        "search",
        "information",
        "population",
        "price",
        "flight",
    ):
        if word in text:
            return {"forecast": "weather", "expression": "math", "calculat": "math", "information": "search",
                    "population": "search", "flight": "flight"}.get(word, word)  # fmt: skip
    return text


def _opening(draw: Draw, request: str) -> list[Message]:
    system = draw.any(SYSTEMS)
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": request}]


def _called(call: Call) -> Message:
    function = {"name": call.definition["function"]["name"], "arguments": call.arguments}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": function}],
    }


def single(draw: Draw, kind: str = "") -> Task:
    """A request that one of the functions answers; the call is checked."""
    call = functions.weather(draw) if kind == "weather" else functions.any_call(draw)
    tools = toolbox(draw, call, draw.any((1, 1, 1, 2, 2, 3, 4)))
    messages = _opening(draw, call.request)
    gold = {"name": call.definition["function"]["name"], "arguments": call.arguments}
    return Task(
        chat_prompt(messages, tools), call_text(gold["name"], gold["arguments"]) + END, gold
    )


def whole(draw: Draw) -> Document:
    """Call, result and report; sometimes a second request after it."""
    call = functions.any_call(draw)
    tools = toolbox(draw, call, draw.any((1, 1, 1, 2, 3)))
    messages = _opening(draw, call.request)
    messages += [
        _called(call),
        {"role": "tool", "content": call.result},
        {"role": "assistant", "content": call.report},
    ]
    if draw.chance(0.2):
        messages += [{"role": "user", "content": draw.any(("Thanks!", "Thank you.", "Thanks a lot."))},
                     {"role": "assistant", "content": draw.any(("You're welcome!", "You are welcome."))}]  # fmt: skip
    elif draw.chance(0.3):
        again = functions.any_call(draw)
        if _family(again.definition) not in {_family(tool) for tool in tools}:
            tools.append(again.definition)
            messages += [{"role": "user", "content": again.request}, _called(again),
                         {"role": "tool", "content": again.result}, {"role": "assistant", "content": again.report}]  # fmt: skip
    return chat(messages, tools)


def session(draw: Draw) -> Document:
    """Several requests to the same functions, one after another."""
    made: list[Call] = []
    for call in (functions.any_call(draw) for _ in range(6)):
        if _family(call.definition) not in {_family(other.definition) for other in made}:
            made.append(call)
    made = made[: draw.number(2, 4)]
    tools = [call.definition for call in made]
    draw.rng.shuffle(tools)
    messages = _opening(draw, "")[:-1]
    for call in draw.some(made, len(made)):
        messages += [{"role": "user", "content": call.request}, _called(call),
                     {"role": "tool", "content": call.result}, {"role": "assistant", "content": call.report}]  # fmt: skip
    return chat(messages, tools)


def parallel(draw: Draw) -> Document:
    """The same function for two places: two calls in one turn."""
    one, two = functions.weather(draw), functions.weather(draw)
    keys = set(one.arguments)
    place = one.arguments.get("city") or next(iter(one.arguments.values()))
    while set(two.arguments) != keys or "state" in keys or "unit" in keys:
        one, two = functions.weather(draw), functions.weather(draw)
        keys = set(one.arguments)
    key = next(iter(keys & set(two.arguments)))
    place, other = one.arguments[key], two.arguments[key]
    name = one.definition["function"]["name"]
    asked = draw.any(("What is the weather in {a} and {b}?", "Compare the weather in {a} and {b}.", "How is the weather in {a} and in {b}?",
                      "Tell me the weather in {a} and {b}."))  # fmt: skip
    messages = _opening(draw, asked.format(a=place, b=other))
    messages.append({"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "function": {"name": name, "arguments": {key: where}}} for where in (place, other)
    ]})  # fmt: skip
    messages += [{"role": "tool", "content": one.result}, {"role": "tool", "content": two.result},
                 {"role": "assistant", "content": f"{one.report} {two.report}"}]  # fmt: skip
    return chat(messages, [one.definition])


def no_call(draw: Draw) -> Document:
    """Functions are there, but the answer needs none of them."""
    call = functions.any_call(draw)
    tools = toolbox(draw, call, draw.any((1, 1, 2, 3)))
    families = {_family(tool) for tool in tools}
    roll = draw.rng.random()
    country = pick(draw)
    if roll < 0.3:
        request, answer = draw.any((("Hi", "Hello! How can I help you?"), ("Hello!", "Hello! How can I help you?"),
                                    ("How are you?", "I am fine, thank you. How can I help you?"),
                                    ("Thank you!", "You're welcome!"), ("Who are you?", "I am the small RadixLM demonstration model."),
                                    ("Good morning", "Good morning! How can I help you?")))  # fmt: skip
    elif roll < 0.7 and "search" not in families:
        key = draw.any(("capital", "continent", "language", "capital"))
        request = ask(draw, country, key)
        answer = capital_answer(draw, country) if key == "capital" else sentence(country, key)
    else:
        other = functions.any_call(draw)
        while _family(other.definition) in families:
            other = functions.any_call(draw)
        request, answer = other.request, "I am sorry, I have no function for that."
    return chat([*_opening(draw, request), {"role": "assistant", "content": answer}], tools)


def missing_unit(draw: Draw) -> Document:
    """Plain JSON calls without the tags, as a grammar may force them."""
    call = functions.any_call(draw)
    name = call.definition["function"]["name"]
    key = draw.any(("arguments", "arguments", "parameters"))
    body: Any = {"name": name, key: call.arguments}
    text = dumps([body]) if draw.chance(0.4) else dumps(body)
    tools = toolbox(draw, call, draw.any((1, 1, 2, 3)))
    prompt = chat_prompt(_opening(draw, call.request), tools)
    return Task(prompt + text[: text.index(":") + 1], text[text.index(":") + 1 :] + END).document()
