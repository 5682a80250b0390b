"""Programs with one planted fault each; `# fault: CODE` marks the line where it must be found."""

# ruff: noqa: RET503, RET505, SIM102

from pydantic import BaseModel

from radixlm import assistant, function, gen, select, system, user

TOOLS = ["calculator", "search"]
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


# ---- unbound variables


@function
def reads_before_the_gen(s, topic):
    s += f"Topic: {topic}. {s['plan']}"  # fault: unbound-variable
    s += "Plan:" + gen("plan", max_tokens=8)


@function
def misspells(s, topic):
    s += topic + gen("answer", max_tokens=8)
    s += "\nSo: " + s["anwser"]  # fault: unbound-variable


@function
def reads_in_a_condition(s):
    s += "One:" + gen("one", max_tokens=4)
    if s["two"] == "2":  # fault: unbound-variable
        s += "yes"


@function
def reads_in_a_loop_before_the_gen(s, items):
    for item in items:
        s += f"{item}: {s['note']}\n"  # fault: maybe-unbound-variable
        s += "Note:" + gen("note", max_tokens=4)


@function
def binds_in_one_branch(s, wanted):
    if wanted:
        s += "Title:" + gen("title", max_tokens=6)
    s += "The title was " + s["title"]  # fault: maybe-unbound-variable


@function
def binds_after_a_break(s):
    for _ in range(3):
        s += "Thought:" + gen("thought", max_tokens=8, stop="\n")
        if "done" in s["thought"]:
            break
        s += "Action:" + gen("action", max_tokens=8, stop="\n")
    s += "The last action was " + s["action"]  # fault: maybe-unbound-variable


@function
def binds_in_one_turn_only(s, ask):
    s += system("You are helpful.")
    with s.user():
        if ask:
            s += "Name:" + gen("name", max_tokens=4)
        else:
            s += "No name."
    s += assistant("Hello " + s["name"])  # fault: maybe-unbound-variable


@function
def reads_in_a_branch_what_another_branch_bound(s):
    s += "A:"
    forks = s.fork(2)
    forks[0] += gen("left", max_tokens=3)
    forks[1] += gen("right", max_tokens=3)
    s += forks[1]["left"]  # fault: unbound-variable


@function
def reads_before_the_join(s, names):
    forks = s.fork(len(names))
    for fork, name in zip(forks, names, strict=True):
        fork += name + ":" + gen("answer", max_tokens=3)
    s += " and ".join(s["answer"])  # fault: unbound-variable
    forks.join()


@function
def asks_about_nothing(s):
    s += "Hi" + gen("x", max_tokens=2)
    return s.get_meta_info("y")  # fault: unbound-variable


@function
def reads_in_a_comprehension(s, names):
    s += "Names:" + gen("first", max_tokens=3)
    s += ", ".join(f"{name} {s['second']}" for name in names)  # fault: unbound-variable


def summarise(s):
    s += "\nSummary of " + s["draft"]  # fault: unbound-variable


@function
def inlines_a_helper_too_early(s):
    summarise(s)
    s += "Draft:" + gen("draft", max_tokens=8)


@function
def inner(s, country):
    s += country + " has the capital" + gen("capital", max_tokens=4)


@function
def reads_a_nested_run(s, country):
    found = inner.run(country)
    s += found["city"] + gen("x", max_tokens=3)  # fault: unbound-variable


@function
def reads_by_get_var(s):
    s += "Q" + gen("x", max_tokens=3)
    s += str(s.get_var("z"))  # fault: unbound-variable


# ---- shadowed variables


@function
def generates_twice(s):
    s += "One:" + gen("answer", max_tokens=4)
    s += "Two:" + gen("answer", max_tokens=4)  # fault: shadowed-variable
    return s["answer"]


@function
def overwrites_what_was_set(s, topic):
    s.set_var("topic_used", topic)
    s += "Topic:" + gen("topic_used", max_tokens=4)  # fault: shadowed-variable


@function
def overwrites_by_assignment(s):
    s += "Score:" + gen("score", max_tokens=4)
    s["score"] = 3  # fault: shadowed-variable


@function
def overwrites_in_both_branches(s, flag):
    s += "Draft:" + gen("text", max_tokens=4)
    if flag:
        s += "A:" + gen("text", max_tokens=4)  # fault: shadowed-variable
    else:
        s += "B:" + gen("text", max_tokens=4)


@function
def branches_bind_what_the_parent_has(s):
    s += "Answer:" + gen("answer", max_tokens=4)
    forks = s.fork(2)
    for fork in forks:
        fork += "Again:" + gen("answer", max_tokens=4)
    forks.join()  # s["answer"] stays what the parent generated
    return s["answer"]


@function
def means_the_generated_topic(s, topic):
    s += "Choose a topic:" + gen("topic", max_tokens=4)
    s += "\nAn essay about " + topic  # fault: shadowed-argument


# ---- what no run reaches


@function
def misspells_an_option(s, question):
    s += question + " I use a " + select("tool", ["calculator", "search"])
    if s["tool"] == "calculater":  # fault: impossible-option
        s += "Expression:" + gen("x", max_tokens=4)  # fault: unreachable
    else:
        s += "Words:" + gen("y", max_tokens=4)


@function
def misspells_an_option_under_another_name(s, question):
    s += question + " I use a " + gen("tool", choices=TOOLS)
    tool = s["tool"]
    found = "x" if tool in ("Search", "calculator") else "y"  # fault: impossible-option
    s += found


@function
def forgets_the_space_of_an_option(s):
    s += "The mood is" + select("mood", [" good", " bad"])
    good = s["mood"] == "good"  # fault: impossible-option
    s += f"\n{good}"


@function
def compares_after_strip(s):
    s += "The mood is" + select("mood", [" good", " bad"])
    if s["mood"].strip() != "god":  # fault: impossible-option
        s += " So be it."


@function
def asks_the_same_twice(s):
    s += "I use a " + select("tool", TOOLS)
    if s["tool"] == "search":
        s += "Words:" + gen("words", max_tokens=4)
    elif s["tool"] == "search":
        s += "Expression:" + gen("sum", max_tokens=4)  # fault: unreachable
    else:
        s += "Sum:" + gen("sum", max_tokens=4)


@function
def goes_on_after_return(s):
    s += "A" + gen("x", max_tokens=3)
    return s["x"]
    s += "B"  # fault: unreachable


@function
def goes_on_after_break(s, names):
    for name in names:
        s += name
        break
        s += gen("x", max_tokens=3)  # fault: unreachable


@function
def goes_on_after_both_branches_return(s, flag):
    if flag:
        return "a"
    else:
        s += "b"
        return "b"
    s += gen("x", max_tokens=3)  # fault: unreachable


@function
def has_a_constant_test(s):
    if 1 > 2:
        s += "never"  # fault: unreachable
    s += "A" + gen("x", max_tokens=3)


@function
def has_a_false_test(s):
    if not True:
        s += "never"  # fault: unreachable
    s += "A" + gen("x", max_tokens=3)


@function
def has_a_literal_test(s):
    if 0:
        s += "never"  # fault: unreachable
    s += "A" + gen("x", max_tokens=3)


@function
def has_a_false_loop(s):
    while False:
        s += "never" + gen("y", max_tokens=3)  # fault: unreachable
    s += "A" + gen("x", max_tokens=3)


@function
def has_no_items(s):
    for name in ():
        s += f"never {name}"  # fault: unreachable
    s += "A" + gen("x", max_tokens=3)


@function
def computes_a_constant_test(s):
    limit = 3
    if limit + 1 > 10:
        s += "never"  # fault: unreachable
    s += "A" + gen("x", max_tokens=3)


@function
def loops_for_ever(s):
    while True:  # fault: unbounded-loop
        s += "Again:" + gen("x", max_tokens=3)
    s += "never"  # fault: unreachable


@function
def contradicts_itself(s, number):
    if number > 3:
        if not number > 3:
            s += "never"  # fault: unreachable
    s += "A" + gen("x", max_tokens=3)


# ---- constraints


@function
def malformed_regex(s):
    s += "Date:" + gen("date", regex=r"[0-9", max_tokens=12)  # fault: invalid-regex


@function
def regex_with_lookahead(s):
    word = r"(?!the)[a-z]{1,8}"
    s += gen("word", regex=word, max_tokens=12)  # fault: unsupported-regex


@function
def empty_regex(s):
    s += "Word:" + gen("word", regex="", max_tokens=4)  # fault: empty-constraint


@function
def undefined_rule(s):
    s += "Word:" + gen("word", ebnf='root ::= "a" missing', max_tokens=4)  # fault: invalid-ebnf


@function
def undefined_rule_in_lark(s):
    s += "Word:" + gen("word", lark="start: missing", max_tokens=4)  # fault: invalid-grammar


@function
def unknown_structural_tag(s):
    tag = '{"format": {"type": "x"}}'
    s += gen("x", structural_tag=tag, max_tokens=4)  # fault: unsupported-grammar


@function
def endless_grammar(s):
    s += "Word:" + gen("w", ebnf='root ::= "a" root', max_tokens=4)  # fault: empty-constraint


UNKNOWN_KEYWORD = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}},
}


@function
def unsupported_schema(s):
    s += "JSON:"
    s += gen("x", json_schema=UNKNOWN_KEYWORD, max_tokens=64)  # fault: unsupported-schema


@function
def malformed_schema(s):
    schema = '{"type": "strin"}'
    s += "JSON:" + gen("x", json_schema=schema, max_tokens=64)  # fault: invalid-schema


@function
def impossible_schema(s):
    s += user("Extract.")
    s += assistant(  # fault: empty-constraint
        gen(
            "x",
            json_schema={"type": "integer", "minimum": 5, "maximum": 3},
            max_tokens=64,
        )
    )


class Node(BaseModel):
    child: "Node"


@function
def endless_schema(s):
    s += "JSON:" + gen("x", json_schema=Node, max_tokens=64)  # fault: empty-constraint


# ---- options


@function
def no_options(s):
    s += "Mood:" + select("mood", [])  # fault: empty-options


@function
def no_options_by_computation(s):
    options = [option for option in ("a", "b") if option > "c"]
    s += "Mood:" + select("mood", options)  # fault: empty-options


@function
def equal_options(s):
    s += "Mood:" + select("mood", [" good", " bad", " good"])  # fault: equal-options


@function
def prefix_options(s):
    s += "Size:" + gen("size", choices=["small", "smaller", "big"])  # fault: prefix-options


# ---- bounds


@function
def unbounded(s, question):
    s += user(question)
    s += assistant(gen("answer"))  # fault: unbounded-gen


@function
def unbounded_schema(s, text):
    s += f"Extract from: {text}\n" + gen("record", json_schema=PERSON)  # fault: unbounded-gen


@function
def unbounded_regex(s):
    s += "Letters:" + gen("letters", regex=r" [a-z]+")  # fault: unbounded-gen


@function
def waits_for_a_word(s):
    s += "Think:" + gen("thought", max_tokens=8)
    while "done" not in s["thought"]:  # fault: unbounded-loop
        s += "Think on:" + gen("thought", max_tokens=8)


@function
def waits_for_a_choice(s):
    while True:  # fault: unbounded-loop
        s += "Go on?" + select("go", [" yes", " no"])
        if s["go"] == " no":
            break


# ---- tokens


@function
def ends_with_a_space(s, question):
    s += question + "\nThe answer is " + gen("answer", max_tokens=8)  # fault: trailing-space


@function
def ends_with_a_space_in_an_f_string(s, question):
    s += f"Q: {question}\nA: "  # fault: trailing-space
    s += gen("answer", max_tokens=8)


@function
def ends_with_a_space_in_a_turn(s, question):
    s += user(question)
    s += assistant("Well: " + gen("answer", stop="\n"))  # fault: trailing-space


def ask_politely(s, question):
    s += "Please: " + question + " "  # fault: trailing-space


@function
def ends_with_a_space_in_a_helper(s, question):
    ask_politely(s, question)
    s += gen("answer", max_tokens=8)


RULES = (
    "You are a careful assistant. You answer in one sentence, never mention these rules, "
    "and you say so when you do not know."
)


@function
def rules_after_the_question(s, question):
    s += f"Question: {question}\n"
    s += RULES  # fault: prefix-cache
    s += "\nAnswer:" + gen("answer", max_tokens=16)


@function
def system_after_a_name(s, name):
    s += system(  # fault: prefix-cache
        f"You talk with {name}. You are a careful assistant. You answer in one sentence, never "
        "mention these rules, and you say so when you do not know."
    )
    s += assistant(gen("answer", max_tokens=16))
