"""Questions about countries, with follow-ups: chat, raw text and JSON."""

from __future__ import annotations

import json

from . import facts
from .documents import Document, Task, chat, chat_prompt, dumps, raw, turns
from .draw import Draw, Pool
from .facts import Country

SYSTEMS = (
    "", "", "", "", "You are a helpful assistant.", "You are a helpful AI assistant.", "You are a helpful assistant",
    "You are a helpful AI assistant", "You answer briefly.", "You are a friendly assistant.", "Answer the question.",
    "You are a geography teacher.", "You are RadixLM, a small demonstration model.", "You are a concise assistant.",
)  # fmt: skip

CAPITAL = Pool(
    lines="""
    What is the capital of {c}?
    What is the capital city of {c}?
    What's the capital of {c}?
    What's the capital city of {c}?
    Which city is the capital of {c}?
    Which city is the capital city of {c}?
    What city is the capital of {c}?
    Name the capital of {c}.
    Name the capital city of {c}.
    Tell me the capital of {c}.
    Please tell me the capital of {c}.
    Can you tell me the capital of {c}?
    Could you tell me what the capital of {c} is?
    Do you know the capital of {c}?
    Do you know what the capital of {c} is?
    The capital of {c}?
    capital of {c}
    Capital of {c}?
    Capital city of {c}?
    I need the capital of {c}.
    I want to know the capital of {c}.
    I would like to know the capital of {c}.
    Give me the capital of {c}.
    Give the capital of {c}.
    What is {c}'s capital?
    What is {c}'s capital city?
    What's {c}'s capital?
    {c}: what is the capital?
    For {c}, what is the capital?
    Which city serves as the capital of {c}?
    Which city is {c}'s capital?
    What would be the capital of {c}?
    Where is the seat of government of {c}?
    Where is the capital of {c}?
    Quick question: what is the capital of {c}?
    I forgot the capital of {c}. What is it?
    My teacher asked me for the capital of {c}. What should I say?
    In geography class we talked about {c}. What is its capital?
    Help me with geography: the capital of {c} is which city?
    Is there a capital of {c}, and what is it called?
    How is the capital of {c} called?
    What is the name of the capital of {c}?
    What is the name of the capital city of {c}?
    Please name the capital of {c}.
    Which capital belongs to {c}?
    What do they call the capital of {c}?
    If I go to {c}, which city is the capital?
    What city is the capital city of {c}?
    Tell me which city is the capital of {c}.
    I am going to {c}. What is the capital?
    Hello! What is the capital of {c}?
    Hi, can you tell me the capital city of {c}?
    Please answer: what is the capital of {c}?
    Answer this question: What is the capital of {c}?
    Question: What is the capital of {c}?
"""
)

BRIEF = Pool(
    lines="""
    Answer with one word.
    Answer with the name only.
    Just the name.
    Just the city, please.
    Only the name, please.
    Reply with the city only.
    One word answer.
    Answer in one word.
    Give only the name.
    Keep it short: only the name.
"""
)

RAW_LEADS = (
    "The capital of {c} is", "{C} has a capital, and it is", "The capital city of {c} is", "The name of the capital of {c} is",
    "The capital of {c} is called", "Fact: the capital of {c} is", "I know that the capital of {c} is",
    "{C}'s capital is", "As everyone knows, the capital of {c} is", "{C}'s capital city is",
)  # fmt: skip

RAW_FRAMES = (
    "Q: {q}\nA:", "Question: {q}\nAnswer:", "User: {q}\nAssistant:", "Human: {q}\n\nAssistant:", "Q: {q} A:",
    "question: {q}\nanswer:", "{q}\n", "{q} Answer:", "USER: {q}\nASSISTANT:", "Q: {q}\nA: ",
)  # fmt: skip


def pick(draw: Draw) -> Country:
    """Draw a country; well-known ones come a little more often."""
    return draw.any(facts.well_known() if draw.chance(0.2) else facts.countries())


def lower_some(draw: Draw, text: str) -> str:
    """Write a question carelessly now and then."""
    if draw.chance(0.06):
        text = text.lower()
    if draw.chance(0.06):
        text = text.rstrip("?.")
    return text


def called(draw: Draw, country: Country) -> str:
    """Return a name for the country: mostly the usual one."""
    return country.names[0] if draw.chance(0.8) else draw.any(country.names)


def capital_answer(draw: Draw, country: Country) -> str:
    """Return the sentence that answers."""
    del draw
    end = "" if country.capital.endswith(".") else "."
    return f"The capital of {country.the_name} is {country.capital}{end}"


def capital(draw: Draw, country: Country | None = None) -> Task:
    """Ask for a capital in a chat or in raw text."""
    country = country or pick(draw)
    question = draw.of(CAPITAL).format(c=called(draw, country))
    question = question[0].upper() + question[1:] if draw.chance(0.9) else question
    question = lower_some(draw, question)
    roll = draw.rng.random()
    if roll < 0.55:
        prompt = chat_prompt(turns(question, system=draw.any(SYSTEMS)))
        return Task(prompt, capital_answer(draw, country) + "<|im_end|>", country.capital)
    if roll < 0.68:
        prompt = chat_prompt(turns(f"{question} {draw.of(BRIEF)}", system=draw.any(SYSTEMS)))
        return Task(prompt, country.capital + "<|im_end|>", country.capital)
    if roll < 0.85:
        frame = draw.any(RAW_FRAMES)
        space = "" if frame.endswith(("\n", " ")) else " "
        answer = space + capital_answer(draw, country)
        return Task(frame.format(q=question), answer + "<|endoftext|>", country.capital)
    lead = draw.any(RAW_LEADS).format(c=country.the_name, C=country.The_name)
    end = "" if country.capital.endswith(".") else "."
    return Task(lead, f" {country.capital}{end}<|endoftext|>", country.capital)


PROPERTIES: dict[str, tuple[str, ...]] = {
    "continent": ("Which continent is {c} in?", "What continent is {c} on?", "On which continent is {c}?", "Where is {c}?",
                  "In which part of the world is {c}?", "Where is {c} located?", "What continent does {c} belong to?"),
    "currency": ("What is the currency of {c}?", "What currency is used in {c}?", "What money do they use in {c}?",
                 "Which currency does {c} use?", "How do people pay in {c}?", "What's the currency in {c}?",
                 "What is {c}'s currency?"),
    "language": ("What language is spoken in {c}?", "Which language do people speak in {c}?", "What do they speak in {c}?",
                 "What is the language of {c}?", "What is the official language of {c}?", "What's the main language of {c}?"),
    "population": ("What is the population of {c}?", "How many people live in {c}?", "How big is the population of {c}?",
                   "How many inhabitants does {c} have?", "What's the population of {c}?", "Population of {c}?"),
    "area": ("How large is {c}?", "What is the area of {c}?", "How big is {c}?", "What is the size of {c}?"),
    "dish": ("What is the national dish of {c}?", "What do people eat in {c}?", "What is a typical dish of {c}?"),
    "calling_code": ("What is the calling code of {c}?", "What is the telephone code of {c}?", "Which phone code does {c} have?"),
    "landlocked": ("Is {c} landlocked?", "Does {c} have a coast?"),
    "capital": CAPITAL.train[:20],
}  # fmt: skip

FOLLOW_UPS: dict[str, tuple[str, ...]] = {
    "continent": ("Which continent is it in?", "What continent is that on?", "Where is it?", "Where is that country?"),
    "currency": ("What is its currency?", "What currency do they use?", "And its currency?", "And the currency?",
                 "What money do they use there?", "Which currency do they use there?"),
    "language": ("What language do they speak there?", "What is its language?", "And the language?", "Which language is spoken there?",
                 "What do people speak there?"),
    "population": ("What is its population?", "How many people live there?", "And the population?", "And its population?",
                   "How many people live in that country?", "What's its population?", "And how many people live there?"),
    "area": ("How large is it?", "How big is it?", "What is its area?"),
    "dish": ("What do people eat there?", "What is its national dish?"),
    "capital": ("What is its capital?", "And the capital?", "Which city is its capital?", "And what is its capital city?"),
}  # fmt: skip

OTHERS = Pool(
    lines="""
    And of {c}?
    And {c}?
    What about {c}?
    And what about {c}?
    How about {c}?
    And for {c}?
    Now {c}.
    The same for {c}?
    Same question for {c}.
    Okay, and {c}?
    Thanks. And {c}?
    What about the one of {c}?
    And that of {c}?
    Now the same for {c}, please.
"""
)


def has(country: Country, key: str) -> bool:
    """Say whether a property is known."""
    return key == "landlocked" or bool(getattr(country, key))


def sentence(country: Country, key: str) -> str:
    """State one fact in a full sentence."""
    name, start = country.the_name, country.The_name
    are = "are" if name.startswith("the ") and name.endswith("s") and "United" not in name else "is"
    match key:
        case "continent":
            return f"{start} {are} in {country.continent}."
        case "currency":
            return f"The currency of {name} is the {country.currency}."
        case "language":
            verb = "are" if " and " in country.language else "is"
            return f"The main language{'s' if verb == 'are' else ''} of {name} {verb} {country.language}."
        case "population":
            return f"The population of {name} is about {facts.rounded(country.population)}."
        case "area":
            return f"The area of {name} is about {country.area:,} square kilometers."
        case "dish":
            return f"A typical dish of {name} is {country.dish}."
        case "calling_code":
            return f"The calling code of {name} is +{country.calling_code}."
        case "landlocked":
            return f"{start} {are} {'' if country.landlocked else 'not '}landlocked."
        case _:
            return capital_answer(Draw(0), country)


def ask(draw: Draw, country: Country, key: str) -> str:
    """Ask for one property."""
    return lower_some(draw, draw.any(PROPERTIES[key]).format(c=called(draw, country)))


def property_chat(draw: Draw) -> Document:
    """One question about a property, in a chat or in raw text."""
    country = pick(draw)
    key = draw.any([k for k in PROPERTIES if has(country, k)])
    question, answer = ask(draw, country, key), sentence(country, key)
    if draw.chance(0.7):
        return chat(turns(question, answer, system=draw.any(SYSTEMS)))
    if draw.chance(0.5):
        head, _, tail = answer.rstrip(".").partition(" is ")
        if tail:
            return raw(head + " is", (f" {tail}.<|endoftext|>", True))
    return raw(f"Q: {question}\nA:", (f" {answer}<|endoftext|>", True))


REVERSE = Pool(
    lines="""
    Which country has the capital {k}?
    {k} is the capital of which country?
    Of which country is {k} the capital?
    {k} is the capital of what country?
    What country has {k} as its capital?
    Which country's capital is {k}?
    Whose capital is {k}?
    In which country is {k}?
    What country is {k} in?
    Which country is {k} the capital of?
    Where is {k}?
    Tell me which country has {k} as its capital.
"""
)


def reverse(draw: Draw) -> Task:
    """Ask for the country of a capital."""
    country = pick(draw)
    while country.capital in ("London", "Kingston") and country.name not in (
        "United Kingdom",
        "Jamaica",
    ):
        country = pick(draw)
    if draw.chance(0.3):
        prompt = draw.any(("{k} is the capital of", "{k} is the capital city of")).format(
            k=country.capital
        )
        return Task(prompt, f" {country.the_name}.<|endoftext|>", country.name)
    question = draw.of(REVERSE).format(k=country.capital)
    prompt = chat_prompt(turns(question, system=draw.any(SYSTEMS)))
    return Task(
        prompt, f"{country.capital} is the capital of {country.the_name}.<|im_end|>", country.name
    )


def follow_up(draw: Draw) -> Task:
    """Ask, then ask about the same country, or the same about another one; the last answer is checked."""
    country = pick(draw)
    keys = [k for k in FOLLOW_UPS if has(country, k)]
    key = draw.any(keys) if draw.chance(0.6) else "capital"
    contents = [ask(draw, country, key), sentence(country, key)]
    for _ in range(draw.any((1, 1, 1, 2, 3))):
        if draw.chance(0.5):
            key = draw.any([k for k in keys if k != key])
            contents += [draw.any(FOLLOW_UPS[key]), sentence(country, key)]
        else:
            other = pick(draw)
            if not has(other, key):
                continue
            country, keys = other, [k for k in FOLLOW_UPS if has(other, k)]
            contents += [draw.of(OTHERS).format(c=called(draw, country)), sentence(country, key)]
    messages = turns(*contents, system=draw.any(SYSTEMS))
    answer = messages.pop()["content"]
    gold = (
        getattr(country, key) if key in ("capital", "continent", "currency", "language") else answer
    )
    return Task(chat_prompt(messages), answer + "<|im_end|>", gold)


def sights(draw: Draw) -> Document:
    """The capital, then two local attractions."""
    country = draw.any([c for c in facts.well_known() if c.sights])
    ask_sights = draw.any(("List two local attractions.", "List two local attractions", "Name two sights there.",
                           "What can I see there?", "What are two tourist attractions there?", "What should I visit there?",
                           "Can you name two famous places there?"))  # fmt: skip
    first, second = country.sights[:2]
    listed = draw.any((True, True, False))
    answer = f"1. {first[0].upper() + first[1:]}\n2. {second[0].upper() + second[1:]}"
    if not listed and "List" not in ask_sights:
        answer = f"In {country.capital} you can visit {first} and {second}."
    question = draw.of(CAPITAL).format(c=called(draw, country))
    if draw.chance(0.25):
        direct = draw.any(
            ("List two attractions in {k}.", "What can I see in {k}?", "Name two sights in {k}.")
        )
        return chat(turns(direct.format(k=country.capital), answer, system=draw.any(SYSTEMS)))
    return chat(
        turns(question, capital_answer(draw, country), ask_sights, answer, system=draw.any(SYSTEMS))
    )


def portrait(draw: Draw) -> Document:
    """A short paragraph about a country."""
    country = pick(draw)
    keys = [k for k in ("capital", "population", "language", "currency", "dish") if has(country, k)]
    chosen = [k for k in keys if k == "capital" or draw.chance(0.7)]
    text = " ".join([sentence(country, "continent"), *(sentence(country, k) for k in chosen)])
    question = draw.any(("Tell me about {c}.", "What do you know about {c}?", "Describe {c}.", "Write a few sentences about {c}.",
                         "Give me some facts about {c}.", "Write a short introduction of {c}.", "Introduce {c}."))  # fmt: skip
    if draw.chance(0.7):
        return chat(turns(question.format(c=country.the_name), text, system=draw.any(SYSTEMS)))
    head, _, rest = text.partition(" is in ")
    return (
        raw(head, (f" is in {rest}<|endoftext|>", True))
        if rest
        else raw((text + "<|endoftext|>", True))
    )


def several(draw: Draw) -> Document:
    """Lists of countries, with or without their capitals."""
    count = draw.any((2, 3, 3, 3, 4, 5))
    word = draw.any((str(count), {2: "two", 3: "three", 4: "four", 5: "five"}[count]))
    continent = draw.any(("", "", "Europe", "Africa", "Asia", "South America"))
    pool = [c for c in facts.well_known() if not continent or c.continent == continent]
    chosen = draw.some(pool, count)
    if chosen and draw.chance(0.5):
        first = draw.any(
            [
                c
                for c in pool
                if c.name in ("France", "Germany", "Italy", "Japan", "Brazil", "Kenya")
            ]
            or pool
        )
        chosen = [first, *[c for c in chosen if c is not first]][:count]
    place = f" in {continent}" if continent else ""
    if draw.chance(0.7):
        question = draw.any(("List {n} countries{p} and their capitals.", "Name {n} countries{p} and their capitals.",
                             "Give me {n} countries{p} with their capitals.", "Tell me {n} countries{p} and their capital cities."))  # fmt: skip
        rows = [f"{c.The_name} - {c.capital}" for c in chosen]
    else:
        question = draw.any(
            ("List {n} countries{p}.", "Name {n} countries{p}.", "Give me {n} countries{p}.")
        )
        rows = [c.The_name for c in chosen]
    text = "\n".join(f"{i}. {row}" for i, row in enumerate(rows, 1))
    contents = [question.format(n=word, p=place), text]
    if draw.chance(0.3):
        contents += [draw.any(("List 3 more.", "Some more, please.", "Give me two more.")), text]
        more = draw.some(
            [c for c in facts.well_known() if c not in chosen], 2 if "two" in contents[2] else 3
        )
        contents[3] = "\n".join(
            f"{i}. {c.The_name} - {c.capital}" for i, c in enumerate(more, len(chosen) + 1)
        )
    return chat(turns(*contents, system=draw.any(SYSTEMS)))


def json_style(draw: Draw, value: dict[str, object]) -> str:
    """Write JSON in one of the usual styles; the spaced one-line style leads."""
    roll = draw.rng.random()
    if roll < 0.8:
        return dumps(value)
    if roll < 0.9:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, ensure_ascii=False, indent=draw.any((2, 4)))


def country_json(draw: Draw) -> Document:
    """Facts about a country or its capital as JSON."""
    country = pick(draw)
    name = country.the_name
    record: dict[str, object] = {}
    if (draw.chance(0.5) and country.capital_population) or draw.chance(0.15):
        country = (
            country
            if country.capital_population
            else draw.any([c for c in facts.well_known() if c.capital_population])
        )
        name = country.the_name
        question = draw.any((
            "Give me the information of the capital of {c} in the JSON format.",
            "Please generate the information of the capital of {c} in the JSON format.",
            "Generate the information of the capital of {c} in the JSON format.",
            "Give me the information and population of the capital of {c} in the JSON format.",
            "Please give me the information of the capital of {c} in the JSON format.",
            "Here is the information of the capital of {c} in the JSON format.",
            "Return the capital of {c} and its population as JSON.",
            "Please generate a JSON object with the name and population of the capital of {c}.",
        )).format(c=name)  # fmt: skip
        record = {"name": country.capital, "population": country.capital_population}
        if draw.chance(0.3):
            record["country"] = country.name
    else:
        options: dict[str, object] = {
            "name": country.name, "capital": country.capital, "continent": country.continent, "population": country.population,
            "currency": country.currency, "language": country.language,
        }  # fmt: skip
        keys = ["name", *draw.some(list(options)[1:], draw.number(1, 4))]
        record = {
            ("country" if k == "name" and len(keys) % 2 else k): options[k]
            for k in keys
            if options[k]
        }
        question = draw.any(("Give me information about {c} in the JSON format.", "Give me facts about {c} as JSON.",
                             "Describe {c} in JSON.", "Return the {k} of {c} as JSON."))  # fmt: skip
        question = question.format(c=name, k=", ".join(keys[1:]))
    text = json_style(draw, record)
    if draw.chance(0.5):
        return chat(turns(question, text, system=draw.any(SYSTEMS)))
    return raw(question + draw.any(("\n", "\n", "", " ")), (text + "<|endoftext|>", True))


def few_shot(draw: Draw) -> Document:
    """Raw question and answer pairs in a row; short answers follow short ones."""
    key = draw.any(("capital", "capital", "continent", "currency", "language"))
    chosen = [c for c in draw.some(facts.countries(), draw.number(2, 6)) if has(c, key)]
    style = draw.any(
        (
            "Q: {q}\nA:",
            "Question: {q}\nAnswer:",
            "{c} ->",
            "Country: {c}\n" + key.capitalize() + ":",
        )
    )
    question = draw.any(PROPERTIES[key])
    brief = draw.chance(0.6) or "{q}" not in style
    pieces: list[tuple[str, bool]] = []
    for country in chosen:
        answer = str(getattr(country, key)) if brief else sentence(country, key)
        lead = style.format(q=question.format(c=country.the_name), c=country.name)
        pieces += [
            (lead, False),
            (f" {answer}", True),
            ("\n\n" if style.startswith("Co") else "\n", True),
        ]
    pieces[-1] = ("<|endoftext|>", True)
    return raw(*pieces)
