"""Programs that must run alike eagerly, compiled in this process, and compiled on a server.

Each is an ordinary program; `CASES` pairs it with arguments. They use the shipped model, greedily.
"""

# ruff: noqa: PERF401, RET503

import json
import re
from typing import Any

import radixlm as rl
from radixlm import assistant, function, gen, select, system, user

SUFFIX = " The answer is"
COUNTRIES = ["France", "Japan", "Chile"]
CALLS: list[str] = []  # what the host functions below were called with


def lookup(name: str) -> str:
    CALLS.append(name)
    return {"France": "Paris", "Japan": "Tokyo"}.get(name, "nowhere")


def calculate(expression: str) -> int:
    CALLS.append(expression)
    return sum(int(part) for part in expression.split("+"))


def explode(text: str) -> str:
    raise ValueError(f"no {text} here")


@function
def plain(s, country):
    s += "The capital of " + country + " is"
    s += gen("capital", max_tokens=8, stop=".")


@function
def formatted(s, a, b):
    s += f"Q: What is {a} + {b}?\nA:" + gen("answer", max_tokens=8, stop="\n")


@function
def literal_only(s):
    s += "one "
    s += "two"


@function
def roles(s, question):
    s += system("You are a helpful assistant.")
    s += user(question)
    s += assistant(gen("answer", max_tokens=16))


@function
def role_blocks(s, question):
    with s.user():
        s += question
    with s.assistant():
        s += gen("answer", max_tokens=16)


@function
def role_calls(s, question):
    s.system("Be short.")
    s.user(question)
    s.assistant(gen("answer", max_tokens=16))


@function
def begin_end(s, question):
    s += rl.user_begin() + question + rl.user_end()
    s += rl.assistant_begin() + gen("answer", max_tokens=16) + rl.assistant_end()


@function
def two_turns(s, first, second):
    s += user(first)
    s += assistant(gen("one", max_tokens=16))
    s += user(second)
    s += assistant(gen("two", max_tokens=16))


@function
def tool_use(s, question):
    s += "To answer this question: " + question + ". "
    s += "I need to use a " + select("tool", choices=["calculator", "search engine"]) + ". "
    if s["tool"] == "calculator":
        s += "The math expression is" + gen("expression", max_tokens=12, stop="\n")
    elif s["tool"] == "search engine":
        s += "The key word to search is" + gen("word", max_tokens=12, stop="\n")


@function
def if_else(s, number):
    if number > 3:
        s += "many"
    else:
        s += "few"
    s += gen("rest", max_tokens=4)


@function
def nested_ifs(s, a, b):
    if a:
        if b:
            s += "both"
        else:
            s += "a"
    elif b:
        s += "b"
    else:
        s += "none"


@function
def for_list(s, names):
    for name in names:
        s += user(f"What is the capital of {name}?")
        s += assistant(gen("last", max_tokens=16))


@function
def for_range(s, number):
    for i in range(number):
        s += f"{i + 1}. " + gen(f"item_{i}", max_tokens=4, stop="\n") + "\n"


@function
def for_enumerate(s, names):
    for i, name in enumerate(names, 1):
        s += f"{i}: {name}\n"


@function
def for_zip(s, names, numbers):
    for name, number in zip(names, numbers, strict=True):
        s += f"{name}={number};"
    s += gen("end", max_tokens=3)


@function
def for_else(s, names, wanted):
    for name in names:
        if name == wanted:
            s += f"found {name}"
            break
    else:
        s += "not found"


@function
def loop_continue(s, numbers):
    for n in numbers:
        if n % 2:
            continue
        s += f"{n} "


@function
def while_loop(s, limit):
    i = 0
    while i < limit:
        s += f"step {i}\n"
        i += 1
    s += gen("x", max_tokens=3)


@function
def while_break(s, limit):
    i = 0
    while True:
        i += 1
        if i > limit:
            break
        s += str(i)
    return i


@function
def nested_loops(s, rows, columns):
    for i in range(rows):
        for j in range(columns):
            if j > i:
                break
            s += f"{i * j} "
        s += "\n"


@function
def generated_loop(s):
    s += "Q: What is 2 + 1?\nA: 2 + 1 =" + gen("n", max_tokens=2, regex=r" [1-3]")
    for i in range(int(s["n"])):
        s += f"\nround {i}"


@function
def json_loop(s, text):
    s += f"Extract name, age and city as JSON: {text}\n"
    s += gen(
        "record",
        max_tokens=60,
        json_schema={
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    )
    record = json.loads(s["record"])
    for key, value in sorted(record.items()):
        s += f"\n{key} -> {value}"
    return record


@function
def returns(s, a, b):
    s += "x"
    return {"sum": a + b, "pair": [a, b]}


@function
def early_return(s, early):
    s += "before"
    if early:
        return "stopped"
    s += gen("after", max_tokens=3)
    return "ended"


@function
def return_in_role(s, early):
    with s.user():
        s += "hello"
        if early:
            return "inside"
    s += assistant(gen("x", max_tokens=4))


@function
def arithmetic(s, a, b):
    s += f"{a + b} {a - b} {a * b} {a / b:.2f} {a // b} {a % b} {a**2} {-a}"


@function
def comparisons(s, a, b):
    s += (
        f"{a < b} {a <= b <= 10} {a == b or b > 2} {not a} {a in [1, 2]} {b not in [1]} {a is None}"
    )


@function
def builtins(s, numbers):
    s += f"{len(numbers)} {max(numbers)} {min(numbers)} {sum(numbers)} {sorted(numbers)} "
    s += f"{int('7') + float('1.5')} {bool(numbers)} {abs(-3)} {round(2.567, 2)} {list(range(3))}"


@function
def strings(s, text):
    s += (
        text.upper()
        + text.strip().replace("a", "o")
        + ",".join(text.split())
        + text[1:4]
        + text[-1]
    )
    s += f"{text.startswith('b')} {text.find('n')} {text.title()!r:>20}"


@function
def collections(s, items):
    found = []
    for item in items:
        found.append(item * 2)
    table = {"a": found, "b": len(found)}
    table["c"] = found[::-1]
    s += f"{table} {table.get('d', 'none')} {list(table.keys())}"
    return table


@function
def comprehension(s, names):
    s += ", ".join(f"{i}:{name.lower()}" for i, name in enumerate(names) if name != "Japan")
    lengths = {name: len(name) for name in names}
    s += f" {[lengths[n] for n in sorted(lengths)]} {lengths}"


@function
def unpacking(s, pair):
    a, b = pair
    (c, d), e = [a, b], a + b
    s += f"{a} {b} {c} {d} {e}"


@function
def regexes(s, text):
    match = re.search(r"(\d+) (\w+)", text)
    if match:
        s += f"{match.group(1)}-{match.group(2)} "
    s += str(re.findall(r"[a-z]+", text))


@function
def ternary(s, number):
    s += "even" if number % 2 == 0 else "odd"
    word = "big" if number > 10 else "small"
    s += " " + word


@function
def global_constants(s):
    s += COUNTRIES[0] + SUFFIX + gen("x", max_tokens=4)


@function
def default_arguments(s, a, b=2, c="three"):
    s += f"{a} {b} {c}"


@function
def variables_set(s, value):
    s["given"] = value
    s.set_var("twice", value * 2)
    s += str(s["given"]) + str(s["twice"])


@function
def scopes(s):
    with s.var_scope("whole"):
        s += "The capital of Italy is" + gen("city", max_tokens=4, stop=".")
        s += "."
    s += " Again:" + s["whole"]


@function
def reads_text(s):
    s += "The capital of Spain is" + gen("city", max_tokens=4, stop=".")
    size = len(s.text())
    s += f" [{size}]"


@function
def reads_messages(s):
    s += user("Hi") + assistant(gen("reply", max_tokens=6))
    messages = s.messages()
    return [message["role"] for message in messages]


@function
def reads_meta(s):
    s += "One two" + gen("x", max_tokens=5, ignore_eos=True)
    return s.get_meta_info("x")["completion_tokens"]


@function
def membership(s, ask):
    if ask:
        s += "One two" + gen("x", max_tokens=3)
    if "x" in s:
        s += " yes"
    else:
        s += " no"


@function
def selects(s, text):
    s += f"Review: {text}\nSentiment:" + select("mood", choices=[" positive", " negative"])
    return s["mood"].strip()


@function
def dynamic_choices(s, options):
    s += "I like" + select("liked", choices=[" " + option for option in options])


@function
def dynamic_name(s, names):
    for name in names:
        s += f"{name}:" + gen(name, max_tokens=3, stop="\n") + "\n"
    return [s[name] for name in names]


@function
def dynamic_tokens(s, number):
    s += "Once upon a time" + gen("story", max_tokens=number * 2, ignore_eos=True)


@function
def regex_gen(s):
    s += "A date: " + gen("date", max_tokens=12, regex=r"[0-9]{2}/[0-9]{2}/[0-9]{4}")


@function
def stop_patterns(s, pattern):
    s += "Q: What is the capital of France?\nA:" + gen("a", max_tokens=24, stop_regex=r"[.,\n]\s*")
    s += "\nQ: And of Japan?\nA:" + gen("b", max_tokens=24, stop_regex=[pattern, r"\n+"])


@function
def integer_gen(s):
    s += "12 + 7 = " + rl.gen_int("n", max_tokens=4)
    s += f" and one more is {int(s['n'].strip()) + 1}"


@function
def fork_join(s, names):
    s += "Capitals. "
    forks = s.fork(len(names))
    for i, f in enumerate(forks):
        f += f"The capital of {names[i]} is" + gen("capital", max_tokens=6, stop=".")
    forks.join()
    s += " and ".join(s["capital"])


@function
def fork_read(s, names):
    s += "Say: "
    forks = s.fork(2)
    for f, name in zip(forks, names, strict=False):
        f += f"The capital of {name} is" + gen("capital", max_tokens=6, stop=".")
    for i in range(2):
        s += f"{i}:{forks[i]['capital']};"


@function
def fork_index(s):
    s += "Say: "
    forks = s.fork(2)
    forks[0] += "one" + gen("x", max_tokens=3)
    forks[1] += "two" + gen("y", max_tokens=3)
    s += forks[0]["x"] + forks[1]["y"]


@function
def fork_append(s):
    s += "List:"
    forks = s.fork(2)
    for f in forks:
        f += " item"
    forks.join("concate_and_append")
    s += gen("x", max_tokens=3)


@function
def fork_nested(s):
    s += "A"
    outer = s.fork(2)
    for i, f in enumerate(outer):
        f += f"B{i}"
        inner = f.fork(2)
        for j, g in enumerate(inner):
            g += f"C{j}" + gen("leaf", max_tokens=2)
        inner.join()
        f += str(len(f["leaf"]))
    outer.join()
    return len(s["leaf"])


@function
def callee(s, country):
    s += f"The capital of {country} is" + gen("capital", max_tokens=6, stop=".")
    return s["capital"].strip()


@function
def caller(s, country):
    other = callee.run(country, temperature=0)
    s += f"I heard {other['capital']}. " + gen("x", max_tokens=3)


@function
def factorial(s, number):
    if number <= 1:
        return 1
    below = factorial.run(number - 1)
    return number * below.ret_value


def say_twice(s, text):
    s += text
    s += text


@function
def inlined(s, text):
    say_twice(s, text + " ")
    s += gen("x", max_tokens=3)


@function
def host_call(s, country):
    s += f"The capital of {country} is "
    s += lookup(country)
    s += gen("x", max_tokens=3)


@function
def host_after_gen(s):
    s += "Q: Which country has the capital Paris?\nA:" + gen(
        "country", max_tokens=6, stop=["\n", "."]
    )
    found = lookup(s["country"].strip().split(" ")[-1])
    s += f"\nIts capital: {found}"
    return found


@function
def host_loop(s, names):
    for name in names:
        city = lookup(name)
        if city == "nowhere":
            break
        s += f"{name}: {city}\n"


@function
def react(s, question):
    for _ in range(3):
        s += f"To answer this question: {question}. I need to use a "
        s += select("tool", choices=["calculator", "search engine"]) + ". "
        if s["tool"] == "search engine":
            s += "The answer is " + lookup(question.split()[-1])
            return "searched"
        s += "The sum is " + str(calculate(question))
        return "calculated"


class Document:
    """Something that no JSON carries."""

    def __init__(self, text: str) -> None:
        self.text = text


def fetch(name: str) -> Document:
    return Document(f"{name} is far away")


def body_of(document: Document) -> str:
    return document.text


def pair_of(name: str) -> tuple[str, int]:
    return name, len(name)


@function
def objects_passed_on(s, name):
    document = fetch(name)
    s += body_of(document) + gen("x", max_tokens=3)


def ask_again(country: str) -> str:
    return callee.run(country, temperature=0)["capital"]


@function
def host_runs_a_program(s, country):
    s += "Somebody says" + ask_again(country) + gen("x", max_tokens=3)


@function
def tuples(s, point, names):
    a, b = point
    name, size = pair_of(names[0])
    s += f"{point} {a + b} {name}:{size} {sorted({b, a})}"
    return a, {"names": (name, size)}


@function
def unbound(s):
    s += "x"
    s += s["nothing"]


@function
def divides(s, number):
    s += "x"
    s += str(1 / number)


@function
def appends_number(s, number):
    s += number


@function
def bad_key(s, table):
    s += table["missing"]


@function
def asserts(s, number):
    assert number > 0, "n must be positive"
    s += str(number)


@function
def raises(s, number):
    if number < 0:
        raise ValueError(f"{number} is negative")
    s += str(number)


@function
def host_raises(s):
    s += "x"
    s += explode("luck")


@function
def nested_role(s):
    with s.user():
        s += "a"
        with s.assistant():
            s += "b"


@function
def pinned(s, name, seconds):
    with s.user():
        s += "These rules hold for every question that is asked here"
        s.pin(name, ttl_s=seconds)
        s += ", today and tomorrow."
    s.pin("whole")
    if seconds > 1:
        s.pin(ttl_s=seconds, name=f"{name}-again")
    with s.assistant():
        s += gen("answer", max_tokens=8)
    forks = s.fork(2)
    for i, fork in enumerate(forks):
        fork += f" {i}" + gen("more", max_tokens=4)
        fork.pin(f"branch-{i}", 60)
    forks.join()


@function
def pinned_under(s, name):
    s += "Some text" + gen("answer", max_tokens=4)
    s.pin(name)


@function
def pinned_for_no_time(s):
    s += "Some text"
    s.pin("short", ttl_s=0)


@function
def pinned_too_early(s):
    s.pin("nothing")
    s += "Some text"


Case = tuple[Any, dict[str, Any]]

CASES: list[Case] = [
    (plain, {"country": "France"}),
    (plain, {"country": "Peru"}),
    (formatted, {"a": 2, "b": 3}),
    (literal_only, {}),
    (pinned, {"name": "rules", "seconds": 600}),
    (pinned, {"name": "rules", "seconds": 0.5}),
    (roles, {"question": "What is the capital of Italy?"}),
    (role_blocks, {"question": "What is the capital of Italy?"}),
    (role_calls, {"question": "What is the capital of Norway?"}),
    (begin_end, {"question": "What is the capital of Egypt?"}),
    (two_turns, {"first": "What is the capital of Japan?", "second": "What is its population?"}),
    (tool_use, {"question": "What is 12 * 7?"}),
    (tool_use, {"question": "Who wrote Hamlet?"}),
    (if_else, {"number": 5}),
    (if_else, {"number": 2}),
    *((nested_ifs, {"a": a, "b": b}) for a in (True, False) for b in (True, False)),
    (for_list, {"names": COUNTRIES}),
    (for_range, {"number": 3}),
    (for_enumerate, {"names": COUNTRIES}),
    (for_zip, {"names": COUNTRIES, "numbers": [1, 2, 3]}),
    (for_else, {"names": COUNTRIES, "wanted": "Japan"}),
    (for_else, {"names": COUNTRIES, "wanted": "Peru"}),
    (loop_continue, {"numbers": [1, 2, 3, 4]}),
    (while_loop, {"limit": 3}),
    (while_break, {"limit": 3}),
    (nested_loops, {"rows": 3, "columns": 3}),
    (generated_loop, {}),
    (json_loop, {"text": "Anna Berg is 31 years old."}),
    (returns, {"a": 1, "b": 2}),
    (early_return, {"early": True}),
    (early_return, {"early": False}),
    (return_in_role, {"early": True}),
    (return_in_role, {"early": False}),
    (arithmetic, {"a": 7, "b": 2}),
    (comparisons, {"a": 1, "b": 3}),
    (builtins, {"numbers": [3, 1, 2]}),
    (strings, {"text": "banana split"}),
    (collections, {"items": [1, 2]}),
    (comprehension, {"names": COUNTRIES}),
    (unpacking, {"pair": [1, 2]}),
    (regexes, {"text": "about 42 apples"}),
    (ternary, {"number": 4}),
    (ternary, {"number": 11}),
    (global_constants, {}),
    (default_arguments, {"a": 1}),
    (default_arguments, {"a": 1, "c": "x"}),
    (variables_set, {"value": "ab"}),
    (scopes, {}),
    (reads_text, {}),
    (reads_messages, {}),
    (reads_meta, {}),
    (membership, {"ask": True}),
    (membership, {"ask": False}),
    (selects, {"text": "I love it."}),
    (dynamic_choices, {"options": ["tea", "coffee"]}),
    (dynamic_name, {"names": ["alpha", "beta"]}),
    (dynamic_tokens, {"number": 4}),
    (regex_gen, {}),
    (stop_patterns, {"pattern": r"\b[A-Z]\w+"}),
    (integer_gen, {}),
    (fork_join, {"names": COUNTRIES}),
    (fork_read, {"names": COUNTRIES}),
    (fork_index, {}),
    (fork_append, {}),
    (fork_nested, {}),
    (caller, {"country": "Norway"}),
    (factorial, {"number": 4}),
    (inlined, {"text": "hey"}),
    (host_call, {"country": "France"}),
    (host_after_gen, {}),
    (host_loop, {"names": COUNTRIES}),
    (objects_passed_on, {"name": "Chile"}),
    (host_runs_a_program, {"country": "Chile"}),
    (tuples, {"point": (1, 2), "names": ["Peru"]}),
    (react, {"question": "12 + 7"}),
    (react, {"question": "the capital of France"}),
    (asserts, {"number": 1}),
    (raises, {"number": 1}),
]

FAILING: list[Case] = [
    (unbound, {}),
    (divides, {"number": 0}),
    (pinned_under, {"name": ""}),
    (pinned_under, {"name": "~1"}),
    (pinned_under, {"name": 3}),
    (pinned_for_no_time, {}),
    (pinned_too_early, {}),
    (appends_number, {"number": 5}),
    (bad_key, {"table": {"a": "b"}}),
    (asserts, {"number": 0}),
    (raises, {"number": -1}),
    (host_raises, {}),
    (nested_role, {}),
]
