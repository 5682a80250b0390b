"""Small skills: arithmetic, copying, yes or no, sentiment, rewriting, characters of a book."""

from __future__ import annotations

import json

from . import facts, questions, values
from .documents import Document, Task, chat, chat_prompt, dumps, raw, turns
from .draw import Draw, Words

SYSTEMS = (
    "",
    "",
    "",
    "You are a helpful assistant.",
    "You are a helpful AI assistant.",
    "Answer briefly.",
)


def _sum(draw: Draw) -> tuple[str, int]:
    """Return an expression that a small model can learn, and its value."""
    roll = draw.rng.random()
    small = draw.chance(0.5)
    a, b = draw.number(0, 20 if small else 100), draw.number(0, 20 if small else 100)
    if roll < 0.4:
        return f"{a} + {b}", a + b
    if roll < 0.65:
        a, b = max(a, b), min(a, b)
        return f"{a} - {b}", a - b
    if roll < 0.9:
        a, b = draw.number(0, 12), draw.number(0, draw.any((10, 12, 20)))
        return (f"{a} * {b}", a * b) if draw.chance(0.8) else (f"{b} * {a}", a * b)
    b, c = draw.number(1, 12), draw.number(1, 12)
    return f"{b * c} / {b}", c


def arithmetic(draw: Draw) -> Document:
    """A sum in one of many wordings, chat or raw."""
    expression, value = _sum(draw)
    style = draw.rng.random()
    if style < 0.2:
        expression = expression.replace(" ", "")
    elif style < 0.3:
        for sign, word in (("+", "plus"), ("-", "minus"), ("*", "times"), ("/", "divided by")):
            expression = expression.replace(f" {sign} ", f" {word} ")
    question = draw.of(questions.MATH).format(e=expression)
    answer = (
        draw.any((f"{expression} = {value}", f"{expression} = {value}.", str(value)))
        if "." not in expression
        else str(value)
    )
    if draw.chance(0.55):
        return chat(turns(question, f"{expression} = {value}", system=draw.any(SYSTEMS)))
    if draw.chance(0.5):
        lead = draw.any(
            (
                f"{expression} =",
                f"{expression}=",
                f"The result of {expression} is",
                f"Q: {question}\nA:",
                f"Compute: {expression}\nAnswer:",
            )
        )
        return raw(lead, (f" {value}<|endoftext|>", True))
    return raw(f"Question: {question}\nAnswer:", (f" {answer}<|endoftext|>", True))


def copying(draw: Draw) -> Document:
    """Repeat, look up and list what stands in the prompt."""
    kind = draw.number(0, 5)
    makers = (
        values.full_name,
        values.city,
        values.product,
        values.email,
        values.code,
        values.phone,
        values.date,
        values.made_up_name,
        values.price,
    )
    if kind == 0:
        text = " ".join(
            draw.any((values.made_up_word(draw), draw.of(values.THINGS), draw.any(makers)(draw)))
            for _ in range(draw.number(1, 8))
        )
        ask = draw.any(
            (
                "Repeat: {t}",
                "Repeat after me: {t}",
                "Say this: {t}",
                "Copy this text: {t}",
                "Write: {t}",
                "Echo: {t}",
            )
        )
        return chat(turns(ask.format(t=text), text, system=draw.any(SYSTEMS)))
    if kind in (1, 2):
        maker = draw.any(makers)
        keys = [
            values.made_up_name(draw) if draw.chance(0.6) else draw.of(values.FIRST_NAMES)
            for _ in range(draw.number(2, 8))
        ]
        pairs = {key: maker(draw) for key in keys}
        wanted = draw.any(list(pairs))
        label = draw.any(("code", "number", "value", "address", "city", "word"))
        sep = draw.any((": ", " = ", " -> ", " is "))
        table = draw.any(("\n", "\n", "; ", ", ")).join(
            f"{key}{sep}{value}" for key, value in pairs.items()
        )
        ask = draw.any(
            (
                f"What is the {label} of {wanted}?",
                f"{wanted}?",
                f"Give me the {label} of {wanted}.",
                f"Which {label} belongs to {wanted}?",
            )
        )
        if draw.chance(0.5):
            return chat(turns(f"{table}\n{ask}", pairs[wanted], system=draw.any(SYSTEMS)))
        return (
            raw(f"{table}\n{ask}\n", (f"{pairs[wanted]}<|endoftext|>", True))
            if draw.chance(0.5)
            else raw(f"{table}\n{wanted}{sep.rstrip()}", (f" {pairs[wanted]}<|endoftext|>", True))
        )
    if kind == 3:
        words = [
            draw.of(values.THINGS) if draw.chance(0.5) else values.made_up_word(draw)
            for _ in range(draw.number(2, 6))
        ]
        which, index = draw.any((("first", 0), ("last", -1), ("second", 1)))
        ask = draw.any(
            (
                f"What is the {which} word? {' '.join(words)}",
                f"{', '.join(words)}. Which is the {which} one?",
                f"Give me the {which} word of: {' '.join(words)}",
            )
        )
        return chat(turns(ask, words[index], system=draw.any(SYSTEMS)))
    if kind == 4:
        things = [draw.any(makers[:3])(draw) for _ in range(draw.number(2, 5))]
        text = "\n".join(f"{i}. {thing}" for i, thing in enumerate(things, 1))
        ask = draw.any(
            (
                "Number these: {t}",
                "Make a numbered list: {t}",
                "Write as a list: {t}",
                "List these items: {t}",
            )
        )
        return chat(turns(ask.format(t=", ".join(things)), text, system=draw.any(SYSTEMS)))
    record = {
        draw.any(("name", "id", "city", "key", values.made_up_word(draw))): draw.any(makers)(draw)
        for _ in range(draw.number(1, 5))
    }
    wanted = draw.any(list(record))
    ask = draw.any(("What is the {k}?", "Read the {k} from this JSON.", "Give me the {k}."))
    return chat(
        turns(f"{dumps(record)}\n{ask.format(k=wanted)}", record[wanted], system=draw.any(SYSTEMS))
    )


GOOD = Words(
    "great wonderful excellent fantastic lovely brilliant amazing perfect delightful superb good nice pleasant beautiful awesome fun charming tasty friendly helpful fast comfortable"
).all
BAD = Words(
    "terrible awful bad horrible boring disappointing poor ugly annoying slow rude broken dirty useless sad nasty unfriendly cheap loud cold disgusting painful"
).all
PLAIN = Words("average normal ordinary okay standard usual common typical").all
REVIEWED = Words(
    "movie film book restaurant hotel food service product phone song game play concert staff room meal story show trip laptop weather"
).all


def review(draw: Draw) -> tuple[str, str]:
    """Return a short review and its sentiment."""
    mood = draw.any(("positive", "positive", "negative", "negative", "neutral"))
    words = {"positive": GOOD, "negative": BAD, "neutral": PLAIN}[mood]
    thing, word, other = draw.any(REVIEWED), draw.any(words), draw.any(words)
    if mood == "neutral":
        return draw.any((f"The {thing} was {word}.", f"It was an ordinary {thing}.", f"The {thing} starts at {values.clock(draw)}.", f"I saw the {thing} on {draw.any(values.DAYS)}.",
                         f"The {thing} was neither good nor bad.", f"This {thing} costs {values.price(draw)} dollars.")), mood  # fmt: skip
    verbs = (
        ("love", "really liked", "enjoyed", "recommend", "adore")
        if mood == "positive"
        else ("hate", "really disliked", "cannot stand", "would not recommend", "regret")
    )
    feel = (
        ("happy", "glad", "delighted", "satisfied")
        if mood == "positive"
        else ("angry", "sad", "disappointed", "unhappy")
    )
    flip = draw.any(BAD if mood == "positive" else GOOD)
    return draw.any((
        f"The {thing} was {word}.", f"This {thing} is {word} and {other}!", f"I {draw.any(verbs)} this {thing}.", f"What a {word} {thing}!", f"The {thing} is not {flip} at all.",
        f"I am {draw.any(feel)} with the {thing}.", f"I {draw.any(verbs)} the {thing}. It was {word}.", f"{word.capitalize()} {thing}, {other} too.",
        f"The {thing} made me {draw.any(feel)}.", f"It is the {'best' if mood == 'positive' else 'worst'} {thing} ever.", f"I will {'' if mood == 'positive' else 'never '}come back. The {thing} was {word}.",
        f"I expected a {flip} {thing}, but it was {word}.", f"{'Everyone loved' if mood == 'positive' else 'Nobody liked'} the {thing}.",
    )), mood  # fmt: skip


def sentiment(draw: Draw) -> Task:
    """Judge a review: positive, negative or neutral."""
    text, mood = review(draw)
    if draw.chance(0.25):
        more, other = review(draw)
        text = f"{text} {more}" if other == mood else text
    label = draw.any((str.lower, str.lower, str.capitalize))
    options = tuple(label(o) for o in ("positive", "negative", "neutral"))
    ask = draw.any(("Is this review positive, negative or neutral? {t}", "What is the sentiment of this text? {t}", "Classify the sentiment: {t}",
                    "Text: {t}\nSentiment:", "Review: {t}\nSentiment:", "{t}\nIs this positive, negative or neutral?", "Sentiment of \"{t}\"?",
                    "Tell me if this is positive, negative or neutral: {t}", "Classify the text as positive, negative or neutral.\n\n{t}",
                    "Review: {t}\nThe sentiment of this review is", "The following review is positive or negative: {t}\nAnswer:"))  # fmt: skip
    ask = ask.format(t=text)
    if ask.endswith((":", "is")) and draw.chance(0.7):
        return Task(
            ask,
            " " + label(mood),
            " " + label(mood),
            tuple(f" {o}" for o in options),
            after=(("<|endoftext|>", True),),
        )
    return Task(
        chat_prompt(turns(ask, system=draw.any(SYSTEMS))),
        label(mood),
        label(mood),
        options,
        after=(("<|im_end|>", True),),
    )


IS_A = {
    "animal": values.ANIMALS.train, "color": values.COLORS, "piece of furniture": ("chair", "table", "bed", "sofa", "desk", "shelf"),
    "fruit": ("apple", "banana", "pear", "cherry", "grape", "orange", "plum", "lemon"), "tool": ("hammer", "saw", "drill", "shovel", "screwdriver"),
    "day of the week": values.DAYS, "month": values.MONTHS, "vegetable": ("carrot", "potato", "onion", "cabbage", "cucumber"),
    "vehicle": ("car", "bus", "train", "bicycle", "truck", "ship"), "country": tuple(c.name for c in facts.well_known() if not c.the_name.startswith("the")),
}  # fmt: skip


def with_article(word: str) -> str:
    """Put 'a' or 'an' before a common noun."""
    return (
        word
        if word[0].isupper() or word in values.COLORS
        else f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
    )


def yes_no(draw: Draw) -> Document:
    """Questions that are answered with yes or no and a short reason."""
    roll = draw.rng.random()
    if roll < 0.35:
        country, other = draw.any(facts.countries()), draw.any(facts.countries())
        city = country.capital if draw.chance(0.5) else other.capital
        end = "" if country.capital.endswith(".") else "."
        yes = city == country.capital
        question = draw.any(
            (
                f"Is {city} the capital of {country.the_name}?",
                f"Is {city} {country.the_name}'s capital?",
                f"Is the capital of {country.the_name} {city}?",
            )
        )
        answer = (
            f"{'Yes' if yes else 'No'}, the capital of {country.the_name} is {country.capital}{end}"
        )
    elif roll < 0.6:
        a, b = draw.number(0, 999), draw.number(0, 999)
        word, yes = draw.any(
            (("greater", a > b), ("larger", a > b), ("smaller", a < b), ("less", a < b))
        )
        question = f"Is {a} {word} than {b}?"
        answer = f"{'Yes' if yes else 'No'}, {a} is {'' if yes else 'not '}{word} than {b}."
    elif roll < 0.75:
        a = draw.number(0, 200)
        word = draw.any(("even", "odd"))
        yes = (a % 2 == 0) == (word == "even")
        question, answer = (
            f"Is {a} an {word} number?" if draw.chance(0.5) else f"Is {a} {word}?",
            f"{'Yes' if yes else 'No'}, {a} is {'even' if a % 2 == 0 else 'odd'}.",
        )
    else:
        kind = draw.any(list(IS_A))
        drawn = kind if draw.chance(0.5) else draw.any(list(IS_A))
        thing = draw.any([t for t in IS_A[drawn] if t != "orange"])
        yes = drawn == kind
        question = f"Is {with_article(thing)} {with_article(kind)}?"
        if kind == "color":
            question = f"Is {with_article(thing)} a color?"
        shown = with_article(thing)
        article = "an" if kind[0] in "aeiou" else "a"
        answer = f"{'Yes' if yes else 'No'}, {shown} is {'' if yes else 'not '}{article} {kind}."
    if draw.chance(0.25):
        question += draw.any((" Answer yes or no.", " Yes or no?", " Answer with yes or no."))
        answer = answer.partition(",")[0]
    if draw.chance(0.75):
        return chat(turns(question, answer, system=draw.any(SYSTEMS)))
    return raw(f"Q: {question}\nA:", (f" {answer}<|endoftext|>", True))


def rewriting(draw: Draw) -> Document:
    """Change the letters or the form of a short text."""
    text = draw.any(
        (
            values.full_name(draw),
            f"the {draw.of(values.ADJECTIVES)} {draw.of(values.THINGS)}",
            draw.of(values.THINGS),
            values.city(draw),
            f"I like {draw.of(values.HOBBIES)}",
        )
    )
    ask, answer = draw.any((
        (f"Write in capital letters: {text}", text.upper()), (f"Make this uppercase: {text}", text.upper()), (f"Write in lower case: {text}", text.lower()),
        (f"Put quotes around this: {text}", f'"{text}"'), (f"What is the plural of {(t := draw.of(values.THINGS).rstrip('s'))}?", f"The plural of {t} is {t}s."),
        (f"Write as a question: {(n := values.first_name(draw))} is a {(j := draw.of(values.JOBS))}.", f"Is {n} a {j}?"),
        (f"Make this negative: {n} is a {j}.", f"{n} is not a {j}."), (f"Greet {n}.", f"Hello, {n}!"), (f"Say hello to {n}.", f"Hello, {n}!"),
        (f"Make a sentence with the word {t}.", f"{n} has a {draw.of(values.ADJECTIVES)} {t}."), (f"Reply with OK and the name: {n}", f"OK, {n}"),
    ))  # fmt: skip
    return chat(turns(ask, answer, system=draw.any(SYSTEMS)))


CHARACTERS = """
Harry Potter|Gryffindor|Half-blood|student|holly|phoenix feather|11.0|Alive|stag|dementor
Hermione Granger|Gryffindor|Muggle-born|student|vine|dragon heartstring|10.75|Alive|otter|failure
Ron Weasley|Gryffindor|Pure-blood|student|willow|unicorn hair|14.0|Alive|terrier|spider
Draco Malfoy|Slytherin|Pure-blood|student|hawthorn|unicorn hair|10.0|Alive|none|Voldemort
Albus Dumbledore|Gryffindor|Half-blood|teacher|elder|thestral hair|15.0|Deceased|phoenix|his dead sister
Severus Snape|Slytherin|Half-blood|teacher|unknown|unknown|13.5|Deceased|doe|Voldemort
Sirius Black|Gryffindor|Pure-blood|order of the phoenix|unknown|unknown|12.0|Deceased|dog|unknown
Luna Lovegood|Ravenclaw|Pure-blood|student|unknown|unknown|11.5|Alive|hare|unknown
Neville Longbottom|Gryffindor|Pure-blood|student|cherry|unicorn hair|13.0|Alive|none|Snape
Ginny Weasley|Gryffindor|Pure-blood|student|yew|unknown|11.0|Alive|horse|Tom Riddle
Cho Chang|Ravenclaw|Half-blood|student|unknown|unknown|11.0|Alive|swan|unknown
Cedric Diggory|Hufflepuff|Pure-blood|student|ash|unicorn hair|12.25|Deceased|unknown|unknown
Minerva McGonagall|Gryffindor|Half-blood|teacher|fir|dragon heartstring|9.5|Alive|cat|Voldemort
Remus Lupin|Gryffindor|Half-blood|teacher|cypress|unicorn hair|10.25|Deceased|wolf|moon
""".strip().splitlines()


def character(draw: Draw) -> Document:
    """The form that users of structured generation fill in first."""
    name, house, blood, job, wood, core, length, alive, patronus, bogart = draw.any(
        CHARACTERS
    ).split("|")
    called = draw.any((name, name, name.split()[0])) if name != "Cho Chang" else name
    record = {"name": name, "house": house, "blood status": blood, "occupation": job, "wand": {"wood": wood, "core": core, "length": float(length)},
              "alive": alive, "patronus": patronus, "bogart": bogart}  # fmt: skip
    style = draw.any((4, 4, 2, None))
    if draw.chance(0.3):
        record = {"name": name, "house": house, "alive": alive, "occupation": job}
    text = json.dumps(record, indent=style)
    ask = f"{called} is a character in Harry Potter. Please fill in the following information about this character.\n"
    if draw.chance(0.2):
        ask = ask.replace(
            "this character",
            "him" if name.split()[0] in ("Harry", "Ron", "Draco") else "the character",
        )
    if draw.chance(0.7):
        return raw(ask, (text + "\n<|endoftext|>", True))
    return chat(turns(ask.strip(), text, system=draw.any(SYSTEMS)))
