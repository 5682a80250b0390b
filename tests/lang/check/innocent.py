"""Programs without a fault that look a little like those with one."""

# ruff: noqa: SIM102, SIM401

from pydantic import BaseModel, Field

from radixlm import assistant, function, gen, gen_int, select, system, user

VERBOSE = False
TOOLS = ["calculator", "search"]


def lookup(name: str) -> str:
    return name


@function
def binds_in_every_branch(s, kind):
    if kind == "a":
        s += "A:" + gen("x", max_tokens=4)
    elif kind == "b":
        s += "B:" + gen("x", max_tokens=4)
    else:
        s["x"] = "none"
    s += "So: " + s["x"]


@function
def asks_before_it_reads(s, wanted):
    if wanted:
        s += "Title:" + gen("title", max_tokens=4)
    if "title" in s:
        s += "It is " + s["title"]


@function
def reads_under_the_same_test(s, wanted):
    if wanted:
        s += "Title:" + gen("title", max_tokens=4)
    s += "\n"
    if wanted:
        s += "It is " + s["title"]


@function
def reads_conditionally_in_one_line(s, wanted):
    if wanted:
        s += "Title:" + gen("title", max_tokens=4)
    s += s["title"] if "title" in s else "no title"


@function
def binds_for_every_option(s):
    s += "I use a " + select("tool", TOOLS) + "."
    if s["tool"] == "search":
        s += "Words:" + gen("input", max_tokens=4)
    elif s["tool"] == "calculator":
        s += "Sum:" + gen("input", max_tokens=4)
    s += lookup(s["input"])


@function
def reads_the_round_before(s):
    for i in range(3):
        if i > 0:
            s += f"Before: {s['note']}\n"
        s += "Note:" + gen("note", max_tokens=4)


@function
def reads_after_a_loop(s, names):
    for name in names:
        s += name + ":" + gen("last", max_tokens=4)
    s += "The last was " + s["last"]


@function
def reads_what_an_early_return_skips(s, early):
    if early:
        return "nothing"
    s += "A:" + gen("x", max_tokens=4)
    return s["x"]


@function
def reads_branches_after_the_join(s, names):
    forks = s.fork(len(names))
    for i, fork in enumerate(forks):
        fork += f"{names[i]}:" + gen("answer", max_tokens=4)
    forks.join()
    s += ", ".join(s["answer"])


@function
def reads_branches_themselves(s):
    forks = s.fork(2)
    for i in range(2):
        forks[i] += f"{i}:" + gen("x", max_tokens=3)
    s += " ".join(fork["x"] for fork in forks)


@function
def generates_twice_and_reads_both(s):
    s += "One:" + gen("answer", max_tokens=4)
    first = s["answer"]
    s += "Two:" + gen("answer", max_tokens=4)
    return first + s["answer"]


@function
def overwrites_in_a_loop(s):
    for i in range(3):
        s += f"{i}:" + gen("draft", max_tokens=4)
    return s["draft"]


@function
def one_name_in_two_branches(s, flag):
    if flag:
        s += "A:" + gen("text", max_tokens=4)
    else:
        s += "B:" + gen("text", max_tokens=4)


@function
def an_argument_and_a_variable_of_one_name(s, first):
    s += user(first)
    s += assistant(gen("first", max_tokens=8))


@function
def has_a_setting(s):
    if VERBOSE:
        s += "At length: "
    s += "A" + gen("x", max_tokens=3)


@function
def raises_for_what_cannot_happen(s):
    s += "I use a " + select("tool", TOOLS)
    if s["tool"] == "search":
        s += "!"
    elif s["tool"] == "calculator":
        s += "?"
    else:
        raise ValueError("no such tool")


@function
def counts_its_rounds(s):
    rounds = 0
    while rounds < 4 and "done" not in (s["x"] if "x" in s else ""):
        s += "Think:" + gen("x", max_tokens=8)
        rounds += 1


@function
def leaves_by_a_counter(s):
    left = 3
    while True:
        s += "Go on?" + select("go", [" yes", " no"])
        left -= 1
        if left == 0:
            break


@function
def leaves_by_a_flag(s):
    done, rounds = False, 0
    while not done:
        s += "Think:" + gen("t", max_tokens=4, stop="\n")
        rounds += 1
        if "stop" in s["t"] or rounds > 5:
            done = True
    s += s["t"]


@function
def an_endless_loop_that_returns(s, names):
    while True:
        s += "Name:" + gen("name", max_tokens=4)
        return s["name"]


@function
def a_space_before_digits(s):
    s += "The number is " + gen("number", regex=r"[0-9]{1,3}", max_tokens=4)


@function
def a_space_before_a_choice(s):
    s += "I use a " + select("tool", TOOLS) + ". "
    s += "Why? Because" + gen("why", max_tokens=8)


@function
def a_space_inside_a_turn(s, question):
    s += user(question + " ")
    s += assistant(gen("answer", max_tokens=8))


@function
def a_line_end_before_a_gen(s, question):
    s += question + "\n" + gen("answer", max_tokens=8)


@function
def bounded_by_its_regex(s):
    s += "Date: " + gen("date", regex=r"[0-9]{2}/[0-9]{2}")


@function
def bounded_by_a_stop(s):
    s += "List:" + gen("items", stop="\n")
    s += "Count: " + gen_int("count", max_tokens=4, stop="\n")


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


@function
def a_document_in_its_budget(s, text):
    s += user(f"Extract as JSON: {text}")
    s += assistant(gen("person", json_schema=Person, max_tokens=64))


@function
def options_that_share_a_beginning(s):
    s += "Size:" + select("size", [" small", " smart", " big"])


@function
def rules_before_the_question(s, question):
    s += system(
        "You are a careful assistant. You answer in one sentence, never mention these rules, "
        "and you say so when you do not know."
    )
    s += user(question)
    s += assistant(gen("answer", max_tokens=8))


@function
def examples_between_generated_texts(s, question):
    s += f"Question: {question}\nPlan:" + gen("plan", max_tokens=8)
    s += (
        "\nNow follow the plan step by step, and say after each step what you have found out, "
        "in one short sentence.\n"
    )
    s += gen("answer", max_tokens=16)


@function
def a_dict_by_option(s):
    s += "I use a " + select("tool", TOOLS) + "."
    words = {"search": "Words:", "calculator": "Sum:"}
    s += words[s["tool"]] + gen("input", max_tokens=4)


@function
def reads_under_a_conjunction(s, a, b):
    if a and b:
        s += "A" + gen("x", max_tokens=3)
    if a:
        if b:
            s += s["x"]
    if not (a and b):
        return None
    return s["x"]


@function
def looks_for_one(s, names):
    found = None
    for name in names:
        s += f"{name}?" + select("ok", [" yes", " no"])
        if s["ok"] == " yes":
            found = name
    if found is None:
        s += "none"
    else:
        s += "found " + found


@function
def tries_until_it_fits(s):
    for _ in range(3):
        s += "A:" + gen("number", max_tokens=3)
        if s["number"].strip().isdigit():
            break
    else:
        s["number"] = "0"
    return int(s["number"])


@function
def a_copy_that_is_joined(s):
    with s.copy() as c:
        c += "Z:" + gen("z", max_tokens=3)
    s += s["z"][0]


@function
def an_item_for_each_branch(s):
    forks = s.fork(2)
    forks += ["P:" + gen("p", max_tokens=2), "Q:" + gen("q", max_tokens=2)]
    first, second = forks
    s += first["p"] + second["q"]


@function
def a_list_that_grows(s, names):
    found = []
    for name in names:
        s += f"{name}:" + gen("v", max_tokens=3)
        found.append(s["v"])
    if len(found) > 2:
        s += "many"
