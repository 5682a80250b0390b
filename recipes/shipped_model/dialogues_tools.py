"""Choosing a tool for a question: raw programs that go on with the tool's input, and chats."""

from __future__ import annotations

from dataclasses import dataclass

from .documents import Piece, Task, chat_prompt, turns
from .draw import Draw, Pool
from .questions import OTHER, SEARCHABLE, TOOL_NAMES, Question, question

INTROS = Pool(
    lines="""
    To answer this question: {q}. |
    To answer this question: {q} |
    To answer the question: {q}. |
    To answer the following question: {q}. |
    To answer the question "{q}", |
    Question: {q}¶|
    Question: {q} |
    Q: {q}¶|
    Q: {q}¶A: |
    Question: {q}¶Thought: |
    Question: {q}¶Answer: |
    User: {q}¶Assistant: |
    The user asks: {q}¶|
    The user asked: "{q}" |
    The user wants to know: {q} |
    Here is a question: {q} |
    {q}¶|
    {q} |
    {q}¶¶|
    In order to answer "{q}", |
    Task: {q}¶|
    Request: {q}¶|
    I was asked this question: {q} |
    Someone asks me: {q} |
    Let us answer this question: {q}¶|
    Consider the question: {q}. |
    Consider this question: {q}¶|
    The question is: {q} |
    For the question "{q}" |
    Think about this request: {q} |
    This is the question: {q}. |
    My task is to answer: {q} |
"""
)

LEADS = Pool(
    lines="""
    I need to use a {g}
    I need to use the {g}
    I need to use a tool. The best tool is {g}
    I need to use a tool. The best tool is a {g}
    I need a tool. The right tool is the {g}
    The best tool is {g}
    The best tool is the {g}
    The best tool for this is {g}
    The best tool to use is the {g}
    The right tool is {g}
    The right tool is the {g}
    The tool to use is {g}
    I should use a {g}
    I should use the {g}
    I will use a {g}
    I will use the {g}
    I would use the {g}
    We need a {g}
    We should use a {g}
    We need to use a {g}
    Tool: {g}
    Tool:{g}
    Best tool: {g}
    Action: {g}
    Use the {g}
    I can answer this with a {g}
    I can use the {g}
    I have to use a {g}
    The tool that I need is the {g}
    For this I need a {g}
    The correct tool is {g}
    The most useful tool is the {g}
    Chosen tool: {g}
    I must use a {g}
    It is best to use the {g}
    A good tool for this is the {g}
    I choose the {g}
    The tool I need is {g}
    My choice is the {g}
    The answer needs a {g}
"""
)

LISTINGS = ("Tools: {o}.\n", "Available tools: {o}.\n", "You can use these tools: {o}.\n", "I have these tools: {o}. ",
            "The tools are {o}. ", "Options: {o}\n", "Choose one of these tools: {o}.\n", "We have {o}. ")  # fmt: skip

ASKS = Pool(
    lines="""
    Which tool should I use: {o}? {q}
    Which tool is best for this question: {o}?¶{q}
    Choose the right tool ({o}) for this question: {q}
    {q}¶Which of these tools do you need: {o}?
    {q} Choose a tool: {o}.
    Tools: {o}¶Question: {q}¶Which tool is the best?
    Pick the best tool from {o}.¶¶{q}
    I can use {o}. Which one do I need for this? {q}
    Question: {q}¶Options: {o}¶Answer with one option.
    For the question "{q}", which tool is right: {o}?
    Select a tool for the request.¶Request: {q}¶Tools: {o}
    Which of {o} would answer this: {q}
    What tool do I need for "{q}"? Choose from {o}.
    Decide which tool to use: {o}.¶{q}
    Here is a question: {q} The tools are {o}. Which one fits?
    Classify the request by tool ({o}): {q}
    Name the tool for this request: {q} ({o})
    Tell me which tool to use. Question: {q} Tools: {o}
"""
)

REPLIES = (
    "{g}",
    "{g}",
    "{g}",
    "The {g}.",
    "I need to use a {g}.",
    "The best tool is the {g}.",
    "Use the {g}.",
)
SYSTEMS = ("", "", "You are a helpful assistant.", "You choose tools.", "You are a router. Answer with one tool.",
           "You are a helpful AI assistant.")  # fmt: skip

CALCULATE = ("The math expression is", "The math expression is", "The math expression is", "The expression is", "Expression:",
             "I will compute", "The calculation is", "I type in", "Input:", "The math expression is:")  # fmt: skip
LOOK_UP = ("The key word to search is", "The key word to search is", "The key word to search is", "The keyword to search is",
           "The search query is", "Query:", "I search for", "I will search for", "The key words are", "Input:",
           "The key word to search is:")  # fmt: skip
INPUTS = ("The input is", "Input:", "The request is", "I ask it for", "Query:")


@dataclass(frozen=True, slots=True)
class Choice:
    """The options that are offered, in order, and the right one."""

    options: tuple[str, ...]
    gold: str
    kind: str


def choose(draw: Draw, asked: Question) -> Choice:
    """Offer between two and five tools, one of which is right for the question."""
    kind = asked.kind
    others = [k for k in TOOL_NAMES if k != kind]
    if kind in SEARCHABLE and draw.chance(0.35):
        kind = "search engine"
    count = draw.any((2, 2, 2, 3, 3, 4, 5))
    if asked.kind != kind:
        others = [k for k in others if k != kind]
    elif kind == "search engine":
        others = [k for k in others if k not in ("python",)]
    if {kind, *others} >= {"calculator", "search engine"} and count == 2 and draw.chance(0.5):
        others = [{"calculator": "search engine"}.get(kind, "calculator")]
    if kind == "calculator":
        others = [k for k in others if k != "python"]
    kinds = [kind, *draw.some(others, count - 1)]
    draw.rng.shuffle(kinds)
    plain = draw.chance(0.6)
    named = {k: TOOL_NAMES[k][0] if plain else draw.any(TOOL_NAMES[k]) for k in kinds}
    if draw.chance(0.08):
        named = {k: f"{v} tool" if not v.endswith("tool") else v for k, v in named.items()}
    return Choice(tuple(named[k] for k in kinds), named[kind], kind)


def listed(draw: Draw, options: tuple[str, ...]) -> str:
    """Write the options in one line."""
    style = draw.any((", ", ", ", " or ", " / ", ", and"))
    if style == ", and":
        return ", ".join(options[:-1]) + " and " + options[-1]
    return style.join(options)


def _tail(draw: Draw, asked: Question, choice: Choice) -> tuple[Piece, ...]:
    """What a program asks for after the choice: the tool's input, then the end."""
    lead = {"calculator": CALCULATE, "search engine": LOOK_UP}.get(choice.kind, INPUTS)
    end = draw.any((". ", ". ", ". ", ".\n", "\n"))
    return ((end + draw.any(lead), False), (f" {asked.key}<|endoftext|>", True))


def select_raw(draw: Draw, asked: Question | None = None) -> Task:
    """A raw program: a question, 'I need to use a ', and the tool."""
    asked = asked or question(draw)
    choice = choose(draw, asked)
    text = asked.text
    intro = draw.of(INTROS).partition("|")[0].replace("¶", "\n")
    if "{q}." in intro and draw.chance(0.3):
        text = text.rstrip("?.")
    if draw.chance(0.05):
        text = text.lower()
    prompt = intro.format(q=text)
    if draw.chance(0.3):
        prompt = draw.any(LISTINGS).format(o=listed(draw, choice.options)) + prompt
    elif draw.chance(0.1):
        prompt += draw.any(LISTINGS).format(o=listed(draw, choice.options))
    prompt += draw.of(LEADS).partition("{g}")[0]
    answer = choice.gold
    if draw.chance(0.35) and prompt.endswith(" "):
        prompt, answer = prompt.rstrip(), " " + answer
    lead = answer[: len(answer) - len(answer.lstrip())]
    choices = tuple(lead + option for option in choice.options)
    return Task(prompt, answer, answer, choices, after=_tail(draw, asked, choice))


def program(draw: Draw, asked: Question | None = None) -> Task:
    """The documented program: calculator or search engine, then the expression or the key word."""
    asked = asked or question(draw, draw.any(("calculator", "search engine", *OTHER) if draw.chance(0.4)
                                             else ("calculator", "search engine")))  # fmt: skip
    kind = "calculator" if asked.kind in ("calculator",) else "search engine"
    options = ["calculator", "search engine"]
    if draw.chance(0.3):
        options.reverse()
    text = asked.text.rstrip("?.") if draw.chance(0.4) else asked.text
    stop = draw.any((". ", ". ", " "))
    prompt = f"To answer this question: {text}{stop}I need to use a "
    lead = CALCULATE[0] if kind == "calculator" else LOOK_UP[0]
    key = asked.key
    after = ((f". {lead}", False), (f" {key}<|endoftext|>", True))
    return Task(prompt, kind, kind, tuple(options), after=after)


def select_chat(draw: Draw, asked: Question | None = None) -> Task:
    """A chat in which the user offers tools."""
    asked = asked or question(draw)
    choice = choose(draw, asked)
    user = draw.of(ASKS).replace("¶", "\n").format(q=asked.text, o=listed(draw, choice.options))
    system = draw.any(SYSTEMS)
    reply = draw.any(REPLIES) if draw.chance(0.5) else "{g}"
    before, _, behind = reply.partition("{g}")
    prompt = chat_prompt(turns(user, system=system)) + before
    after = ((behind + "<|im_end|>", True),)
    return Task(prompt, choice.gold, choice.gold, choice.options, after=after)
