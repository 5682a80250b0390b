"""Questions that need a tool, by the kind of tool, with what the tool should be given."""

from __future__ import annotations

from dataclasses import dataclass

from . import facts, values
from .draw import Draw, Pool


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the kind of tool it needs, and the tool's input (an expression or key words)."""

    text: str
    kind: str
    key: str


MATH = Pool(
    lines="""
    What is {e}?
    what is {e}
    Calculate {e}.
    Compute {e}.
    How much is {e}?
    What's {e}?
    What is the result of {e}?
    Please calculate {e}.
    Can you compute {e}?
    Evaluate {e}.
    Solve {e}.
    Work out {e}.
    {e} = ?
    {e}?
    I need to know {e}.
    Tell me the value of {e}.
    What does {e} equal?
    What is the value of {e}?
    How much does {e} make?
    Find the value of {e}.
    What do I get for {e}?
    Could you work out {e} for me?
"""
)

MATH_WORDS = Pool(
    lines="""
    What is {a} plus {b}?|{a} + {b}
    What is {a} minus {b}?|{a} - {b}
    What is {a} times {b}?|{a} * {b}
    What is {a} divided by {b}?|{a} / {b}
    What is {a} multiplied by {b}?|{a} * {b}
    Multiply {a} by {b}.|{a} * {b}
    Divide {a} by {b}.|{a} / {b}
    Add {a} and {b}.|{a} + {b}
    Add {a} to {b}.|{b} + {a}
    Subtract {a} from {b}.|{b} - {a}
    What is the sum of {a} and {b}?|{a} + {b}
    What is the product of {a} and {b}?|{a} * {b}
    What is the difference between {a} and {b}?|{a} - {b}
    What is {a} percent of {b}?|{a} / 100 * {b}
    What is {a}% of {b}?|{a} / 100 * {b}
    What is the square root of {a}?|sqrt({a})
    What is {a} squared?|{a} ** 2
    What is {a} to the power of {b}?|{a} ** {b}
    If I have {a} apples and buy {b} more, how many do I have?|{a} + {b}
    If one ticket costs {a} dollars, how much do {b} tickets cost?|{a} * {b}
    I had {a} dollars and spent {b}. How much is left?|{a} - {b}
    How much is {a} times {b}?|{a} * {b}
    How much is {a} plus {b}?|{a} + {b}
    How many minutes are there in {a} hours?|{a} * 60
    A box holds {a} eggs. How many eggs are in {b} boxes?|{a} * {b}
    Share {a} sweets among {b} children. How many does each get?|{a} / {b}
    What is the average of {a} and {b}?|({a} + {b}) / 2
    What is half of {a}?|{a} / 2
    Double {a}.|{a} * 2
    A shirt costs {a} dollars. How much are {b} shirts?|{a} * {b}
    What is the total of {a}, {b} and {d}?|{a} + {b} + {d}
    How many hours are {a} days?|{a} * 24
    What is the remainder when {a} is divided by {b}?|{a} % {b}
"""
)

SEARCH = Pool(
    lines="""
    Who was the first person on the {t}?|first person on the {t}
    Who invented the {t}?|inventor of the {t}
    Who discovered {t}?|discovery of {t}
    Who wrote the book about {t}?|author of the book about {t}
    Who painted the {t}?|painter of the {t}
    Who is {n}?|{n}
    Who was {n}?|{n}
    When was {n} born?|{n} birth date
    Where was {n} born?|{n} birthplace
    What did {n} discover?|{n} discovery
    What is {n} famous for?|{n}
    How old is {n}?|{n} age
    Which books did {n} write?|{n} books
    Who is the president of {c}?|president of {c}
    Who is the prime minister of {c}?|prime minister of {c}
    Who is the king of {c}?|king of {c}
    What is the history of {c}?|history of {c}
    What is the capital of {c}?|capital of {c}
    What is the population of {c}?|population of {c}
    How many people live in {y}?|population of {y}
    When did {c} become independent?|independence of {c}
    What is the tallest building in {y}?|tallest building in {y}
    What is the highest mountain in {c}?|highest mountain in {c}
    What is the longest river in {c}?|longest river in {c}
    Who won the world cup in {r}?|world cup {r} winner
    Who won the Nobel Prize in {r}?|Nobel Prize {r} winner
    Who won the Olympic gold medal for {h} in {r}?|Olympic gold medal {h} {r}
    What happened in {r}?|events in {r}
    When was the {t} invented?|invention of the {t}
    Why is the {t} important?|importance of the {t}
    How does a {t} work?|how a {t} works
    How is a {t} made?|how a {t} is made
    What is the best {t} to buy?|best {t} to buy
    How do I repair a {t}?|how to repair a {t}
    How much does a {t} cost?|price of a {t}
    Which company makes the {t}?|company that makes the {t}
    What is the story of {n}?|story of {n}
    Who founded {k}?|founder of {k}
    Who is the boss of {k}?|boss of {k}
    When was {k} founded?|founding of {k}
    What do {a}s eat?|what {a}s eat
    How long does a {a} live?|life span of a {a}
    How fast can a {a} run?|speed of a {a}
    Where do {a}s live?|where {a}s live
    What is the largest {a} in the world?|largest {a} in the world
    What are the rules of {h}?|rules of {h}
    What is a good book about {h}?|good book about {h}
    Who is the best player in {h}?|best player in {h}
    Find information about {t}s.|{t}s
    Tell me about the life of {n}.|life of {n}
    What is the plot of the film {m}?|plot of the film {m}
    Who directed the film {m}?|director of the film {m}
    Who plays the hero in {m}?|hero of {m}
    Who sang the song {m}?|singer of {m}
    Who wrote {m}?|author of {m}
    When did {n} die?|death of {n}
    What language do people speak in {y}?|language of {y}
    How far is the moon from the earth?|distance from the earth to the moon
    Who was the first person on the moon?|first person on the moon
    Who was the first woman in space?|first woman in space
    What causes rain?|cause of rain
    Why is the sky blue?|why the sky is blue
    How do planes fly?|how planes fly
    What is the speed of light?|speed of light
    What is the largest planet?|largest planet
    How deep is the ocean?|depth of the ocean
    Which hotels in {y} are good?|good hotels in {y}
    What are the best restaurants in {y}?|best restaurants in {y}
    Where can I buy a {t} in {y}?|buy a {t} in {y}
    What is the recipe for {d}?|recipe for {d}
    How do you make {d}?|how to make {d}
    What is the meaning of life?|meaning of life
    Who is the author of {m}?|author of {m}
    Is {n} still alive?|{n}
    What is the website of {k}?|website of {k}
    What is the latest {k} phone?|latest {k} phone
    Who owns {k}?|owner of {k}
"""
)

OTHER: dict[str, Pool] = {
    "weather": Pool(lines="""
        What is the weather in {y}?
        What's the weather like in {y}?
        What is the weather like in {y} today?
        How is the weather in {y}?
        Will it rain in {y} tomorrow?
        Is it raining in {y}?
        Is it cold in {y} right now?
        Is it sunny in {y}?
        Do I need an umbrella in {y} today?
        What is the temperature in {y}?
        How warm is it in {y}?
        How hot will it be in {y} on {w}?
        Will it snow in {y} on {w}?
        What is the forecast for {y}?
        Give me the forecast for {y} for {w}.
        Should I take a coat in {y} tonight?
        How windy is it in {y}?
        What will the weather be in {y} on {w}?
        Tell me the weather in {y}.
        Is there a storm in {y}?
        Can I go to the beach in {y} tomorrow, or will it rain?
        How many degrees is it in {y} now?
    """),
    "calendar": Pool(lines="""
        When is my meeting with {n}?
        What do I have on {w}?
        Am I free on {w}?
        Am I free at {o} on {w}?
        Schedule a meeting with {n} on {w}.
        Add an appointment with {n} at {o}.
        Plan lunch with {n} on {w}.
        What meetings do I have today?
        What is on my schedule for {w}?
        When is my next appointment?
        Move my meeting with {n} to {w}.
        Cancel my meeting with {n}.
        Book a meeting room for {w} at {o}.
        Do I have anything planned for {w}?
        Put the party on {w} in my schedule.
        When does {n} come to visit?
        Which appointments do I have this week?
        What time is my dentist appointment?
        Remember the dinner with {n} on {w} at {o}.
    """),
    "translator": Pool(lines="""
        How do you say {v} in {l}?
        Translate {v} into {l}.
        Translate {v} to {l}.
        What is {v} in {l}?
        What is the {l} word for {v}?
        How do I say good morning in {l}?
        Translate this sentence into {l}: I like {v}.
        What does this {l} text mean?
        Please translate my letter into {l}.
        Can you put this in {l} for me?
        I need this text in {l}.
        Say {v} in {l}.
        Turn this {l} text into English.
        How would one write {v} in {l}?
        Help me understand this {l} sentence.
        What is the {l} for {v}?
    """),
    "map": Pool(lines="""
        How do I get to {y}?
        How do I get from {y} to {z}?
        How far is {y} from {z}?
        What is the shortest way from {y} to {z}?
        Show me the way to {y}.
        What is the distance between {y} and {z}?
        Where is the nearest hospital in {y}?
        How long does it take to drive from {y} to {z}?
        Give me directions to {s}.
        Which road goes from {y} to {z}?
        Where exactly is {s} in {y}?
        Find a route from {y} to {z}.
        Navigate to {s}.
        Which way should I drive to {y}?
        I am lost in {y}. How do I get to {s}?
        Is {y} close to {z}?
    """),
    "dictionary": Pool(lines="""
        What does the word {v} mean?
        What is the meaning of the word {v}?
        Define the word {v}.
        How do you spell {v}?
        What is a synonym for {v}?
        What is the opposite of {v}?
        What is the definition of {v}?
        Look up the word {v}.
        What part of speech is {v}?
        Explain the word {v}.
        How is the word {v} pronounced?
        Is {v} a noun or a verb?
        Which word means the same as {v}?
        Give me the definition of {v}.
    """),
    "alarm": Pool(lines="""
        Wake me up at {o}.
        Set an alarm for {o}.
        Please wake me at {o} tomorrow.
        Set a timer for {a} minutes.
        Remind me in {a} minutes.
        Start a countdown of {a} seconds.
        Tell me when {a} minutes are over.
        I need to get up at {o}.
        Ring at {o}.
        Let me know when {a} minutes have passed.
        Time my eggs for {a} minutes.
        Make sure I wake up at {o}.
    """),
    "email": Pool(lines="""
        Send a message to {n}.
        Write to {e}.
        Send an email to {e}.
        Tell {n} by mail that I am late.
        Reply to the message of {n}.
        Forward the report to {e}.
        Do I have new messages from {n}?
        Read my latest mail.
        Answer the letter from {n}.
        Send {n} the photos.
        Write {n} that the meeting starts at {o}.
        Did {n} write to me?
    """),
    "music": Pool(lines="""
        Play a song by {n}.
        Play some music.
        Play the album {m}.
        I want to hear {m}.
        Put on some jazz.
        Play something relaxing.
        Skip this song.
        Turn up the music.
        Play the next song.
        I want to listen to {n}.
        Play {m} by {n}.
        Stop the music.
    """),
    "currency": Pool(lines="""
        How many euros are {a} dollars?
        Convert {a} dollars to euros.
        Convert {a} {u} to {x}.
        How much is {a} {u} in {x}?
        What is {a} {u} worth in {x}?
        What is the exchange rate from {u} to {x}?
        Change {a} {u} into {x}.
        How many {x} do I get for {a} {u}?
        I have {a} {u}. How many {x} is that?
        What do {a} {u} cost in {x}?
        Exchange {a} {u} for {x}.
    """),
    "camera": Pool(lines="""
        Take a picture.
        Take a photo of the {t}.
        Take a selfie.
        Record a video of {n}.
        Photograph the {a}.
        Make a photo of my {t}.
        Shoot a short video.
        Film the {a}.
        I want a picture of this {t}.
        Snap a photo of {n}.
    """),
    "python": Pool(lines="""
        Sort this list of {a} numbers with a program.
        Run this code.
        Run a script that counts the words in my file.
        Plot the numbers in data.csv.
        Write a program that prints {v}.
        Execute the function main.
        Test this script for me.
        Draw a chart of these {a} numbers.
        Count the lines in my file with code.
        Why does my program fail? Run it.
    """),
    "stocks": Pool(lines="""
        What is the stock price of {k}?
        How is the share of {k} doing?
        What is {k} stock worth?
        Did the shares of {k} go up today?
        How much is one share of {k}?
        Show me the stock chart of {k}.
        Is the stock market up today?
        What did {k} shares close at?
        At what price does {k} trade?
    """),
}  # fmt: skip

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
