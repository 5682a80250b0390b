"""Functions that can be called: their definitions, what people say, and what comes back."""

from __future__ import annotations

import json

from . import forms, questions, values
from .definitions import Call, Properties, definition, string
from .draw import Draw, Pool

WEATHER_ASKS = Pool(
    lines="""
    What is the weather in {c}?
    What's the weather like in {c}?
    What is the weather like in {c} today?
    How is the weather in {c}?
    How's the weather in {c} right now?
    Tell me the weather in {c}.
    Can you check the weather in {c}?
    What is the temperature in {c}?
    How warm is it in {c}?
    How cold is it in {c} now?
    Please get the weather for {c}.
    Is it raining in {c}?
    Do I need an umbrella in {c}?
    I am travelling to {c}. What is the weather there?
    I would like to know the weather in {c}.
    Give me the current weather in {c}.
    Weather in {c}?
    weather {c}
    What will the weather be like in {c}?
    Could you tell me how the weather is in {c}?
    Is it sunny in {c} today?
    Please look up the weather of {c} for me.
    Show me the weather for {c}.
    I live in {c}. Will it be warm today?
    What's it like outside in {c}?
    How hot is it in {c} at the moment?
"""
)

UNIT_ASKS = Pool(
    lines="""
    Use {u}.
    In {u}, please.
    Please use {u}.
    I want it in {u}.
    Give it in {u}.
    Answer in {u}.
    Show it in {u}.
    The unit should be {u}.
    I prefer {u}.
    Tell me in {u}.
"""
)

STATES = {
    "CA": ("San Francisco", "Los Angeles", "San Diego", "Oakland"), "TX": ("Dallas", "Houston", "Austin"), "MA": ("Boston", "Cambridge"),
    "WA": ("Seattle", "Tacoma"), "IL": ("Chicago",), "NY": ("New York", "Buffalo", "Albany"), "FL": ("Miami", "Tampa", "Orlando"),
    "PA": ("Philadelphia", "Pittsburgh"), "CO": ("Denver",), "AZ": ("Phoenix", "Tucson"), "GA": ("Atlanta",), "OR": ("Portland",),
}  # fmt: skip
SKY = ("sunny", "cloudy", "rainy", "clear", "windy", "foggy", "partly cloudy", "snowy", "stormy")


def _reading(draw: Draw, place: str, unit: str) -> tuple[str, str]:
    """Return what a weather service answers and the sentence about it."""
    degrees = draw.number(-10, 38) if unit != "fahrenheit" else draw.number(10, 99)
    sky, sign = draw.any(SKY), {"fahrenheit": "°F", "celsius": "°C"}.get(unit, "°C")
    style = draw.number(0, 3)
    if style == 0:
        result = json.dumps({"temperature": degrees, "condition": sky})
    elif style == 1:
        result = json.dumps(
            {"city": place, "temperature": f"{degrees}{sign}", "weather": sky}, ensure_ascii=False
        )
    elif style == 2:
        result = f"The weather in {place} is {degrees} degrees {unit or 'celsius'} and {sky}."
    else:
        result = f"{degrees}{sign}, {sky}"
    report = f"The weather in {place} is {sky} with a temperature of {degrees}{sign}."
    return result, report


def weather(draw: Draw) -> Call:
    """get_weather and get_current_weather in their many forms."""
    place = values.city(draw)
    unit = draw.any(("celsius", "fahrenheit"))
    name = draw.any(("get_weather", "get_current_weather", "get_weather", "get_current_weather", "weather", "current_weather",
                     "get_forecast", "fetch_weather", "lookup_weather"))  # fmt: skip
    key = draw.any(("city", "city", "location", "location", "place", "city_name"))
    unit_property = string(draw.any(("The unit to fetch the temperature in", "Temperature unit", "The temperature unit to use", "")),
                           enum=draw.any((["celsius", "fahrenheit"], ["fahrenheit", "celsius"])))  # fmt: skip
    description = draw.any(("Get the current weather in a given location", "Get the weather of a city.", "Get current weather",
                            "Get the current weather for a city", "Returns the weather in a place."))  # fmt: skip
    request = draw.of(WEATHER_ASKS)
    style = draw.rng.random()
    city_property = string(draw.any(("The city to find the weather for, e.g. 'San Francisco'", "The city", "City name", "The name of the city",
                                     "The city and state, e.g. San Francisco, CA", "")))  # fmt: skip
    if style < 0.25:  # city and state
        state = draw.any(list(STATES))
        town = draw.any(STATES[state]) if draw.chance(0.5) and not draw.held_out else place
        if draw.chance(0.3):
            state = draw.any(
                (
                    "Texas",
                    "California",
                    "Ohio",
                    "Nevada",
                    "Florida",
                    "Utah",
                    "Maine",
                    "Iowa",
                    "Kansas",
                    "Oregon",
                )
            )
        properties: Properties = {
            "city": string("The city to find the weather for, e.g. 'San Francisco'"),
            "state": string("the two-letter abbreviation for the state that the city is in, e.g. 'CA' which would stand for 'California'"),
            "unit": unit_property,
        }  # fmt: skip
        arguments = {"city": town, "state": state, "unit": unit}
        unit_said = " " + draw.of(UNIT_ASKS).format(
            u=draw.any((unit, unit.capitalize()) if draw.chance(0.3) else (unit,))
        )
        if draw.chance(0.3):
            del properties["unit"], arguments["unit"]
            unit_said = ""
        asked = request.format(c=f"{town}, {state}") + unit_said
        if draw.chance(0.25) and not draw.held_out:  # the state goes without saying
            arguments["state"] = draw.any(list(STATES))
            arguments["city"] = town = draw.any(STATES[arguments["state"]])
            if "unit" in arguments and draw.chance(0.5):
                arguments["unit"], unit_said = "fahrenheit", ""
            asked = request.format(c=town) + unit_said
        result, report = _reading(draw, town, arguments.get("unit", ""))
        return Call(
            asked, definition(draw, name, description, properties), arguments, result, report
        )
    if style < 0.55:  # no unit at all
        result, report = _reading(draw, place, "")
        one = definition(draw, name, description, {key: city_property})
        return Call(request.format(c=place), one, {key: place}, result, report)
    said = draw.chance(0.75)
    both = {key: city_property, "unit": unit_property}
    asked = request.format(c=place)
    arguments = {key: place}
    if said:
        if draw.chance(0.5):
            asked = asked.rstrip("?.") + f" in {unit}" + asked[len(asked.rstrip("?.")) :]
        else:
            asked = asked + " " + draw.of(UNIT_ASKS).format(u=unit)
        arguments["unit"] = unit
    required = [key] if draw.chance(0.7) else [key, "unit"]
    if "unit" in required:
        arguments.setdefault("unit", "celsius")
    result, report = _reading(draw, place, arguments.get("unit", ""))
    return Call(
        asked, definition(draw, name, description, both, required), arguments, result, report
    )


def calculator(draw: Draw) -> Call:
    """A calculator that takes an expression."""
    asked = questions.question(draw, "calculator")
    key = draw.any(("expression", "expression", "expr", "input", "formula"))
    name = draw.any(("calculator", "calculate", "compute", "evaluate", "calculator", "math"))
    one = definition(draw, name, draw.any(("Evaluate a math expression.", "Calculate an expression", "A simple calculator")),
                     {key: string(draw.any(("The math expression", "e.g. 2 + 3", "")))})  # fmt: skip
    answer = str(draw.number(1, 9999)) + draw.any(("", "", ".5"))
    result = draw.any((answer, f'{{"result": {answer}}}', f"Result: {answer}"))
    return Call(asked.text, one, {key: asked.key}, result, f"The result is {answer}.")


def search(draw: Draw) -> Call:
    """A web search that takes a query."""
    asked = questions.question(draw, "search engine")
    key = draw.any(("query", "query", "q", "keywords", "search_query"))
    name = draw.any(
        ("search", "web_search", "search_web", "google_search", "search_engine", "lookup")
    )
    one = definition(draw, name, draw.any(("Search the web.", "Search for information on the internet", "Find information online")),
                     {key: string(draw.any(("The search query", "What to search for", "")))})  # fmt: skip
    found = draw.any(
        (
            values.full_name(draw),
            str(draw.number(1500, 2024)),
            values.city(draw),
            values.company(draw),
        )
    )
    result = draw.any((f'{{"answer": "{found}"}}', f'{{"result": "{found}"}}', found))
    return Call(asked.text, one, {key: asked.key}, result, f"I found this: {found}.")


def invented(draw: Draw) -> Call:
    """A function that exists nowhere: only its definition tells what to call."""
    verb = draw.any(
        (
            "find",
            "open",
            "check",
            "start",
            "stop",
            "paint",
            "wash",
            "count",
            "move",
            "lock",
            "print",
            "clean",
            "order",
            "feed",
        )
    )
    thing = draw.of(values.THINGS) if draw.chance(0.7) else values.made_up_word(draw)
    key, kind = draw.any((("name", "name"), ("city", "city"), ("number", "count"), ("code", "code"), ("owner", "name"), ("place", "city"),
                          ("color", "color"), ("id", "code"), ("size", "count"), ("person", "name"), ("day", "date")))  # fmt: skip
    made = draw.any(values.COLORS) if kind == "color" else forms.KINDS[kind](draw)
    name = draw.any(
        (f"{verb}_{thing}", f"{verb}_{thing}", f"{verb}{thing.capitalize()}", f"{thing}_{verb}")
    )
    said = draw.any((f"{verb} the {thing} with the {key} {made}", f"{verb} the {thing}, {key} {made}", f"{verb} the {thing} ({key}: {made})",
                     f"please {verb} the {thing} with {key} {made}", f"can you {verb} the {thing} with the {key} {made}?",
                     f"I want you to {verb} the {thing}. The {key} is {made}"))  # fmt: skip
    said = said[0].upper() + said[1:] + ("" if said.endswith("?") else ".")
    properties = {
        key: {
            "type": "integer" if isinstance(made, int) else "string",
            "description": f"The {key} of the {thing}",
        }
    }
    one = definition(draw, name, f"{verb.capitalize()} the {thing}.", properties)
    done = draw.any(("done", '{"status": "ok"}', "ok"))
    return Call(said, one, {key: made}, done, f"Done: {verb} the {thing} with the {key} {made}.")


def any_call(draw: Draw) -> Call:
    """Draw a call, the weather most often."""
    roll = draw.rng.random()
    if roll < 0.3:
        return weather(draw)
    if roll < 0.4:
        return calculator(draw)
    if roll < 0.48:
        return search(draw)
    if roll < 0.63:
        return invented(draw)
    return forms.from_form(draw, draw.any(forms.FORMS))
