"""A first program: the model chooses a tool, and the program goes on by what it chose.

python examples/quickstart.py
"""

import time

import radixlm as rl


@rl.function
def tool_use(s, question):
    s += "To answer this question: " + question + " "
    s += "I need to use a " + rl.select("tool", ["calculator", "search engine"]) + ". "
    if s["tool"] == "calculator":
        s += "The math expression is" + rl.gen("input", max_tokens=16, stop=["\n", "."])
    else:
        s += "The key word to search is" + rl.gen("input", max_tokens=16, stop=["\n", "."])


@rl.function
def talk(s, first, second):
    s += rl.system("You are a helpful assistant.")
    s += rl.user(first)
    s += rl.assistant(rl.gen("first", max_tokens=48))
    s += rl.user(second)
    s += rl.assistant(rl.gen("second", max_tokens=48))


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "city": {"type": "string"},
    },
    "required": ["name", "age", "city"],
}


@rl.function
def extract(s, sentence):
    s += rl.user(f"Extract the name, age and city as JSON: {sentence}")
    s += rl.assistant(rl.gen("record", max_tokens=64, json_schema=PERSON))


def main() -> None:
    started = time.perf_counter()
    print("— a branch that follows the tool the model selects —")
    for question in ("What is 12 * 7?", "What is the capital of Peru?"):
        state = tool_use.run(question, temperature=0)
        print(f"{question:30} -> {state['tool']}: {state['input'].strip()}")

    print("\n— two turns; the second computes only what is new —")
    questions = ("What is the capital of France?", "What is the capital of Japan?")
    state = talk.run(*questions, temperature=0, stream=True)
    for name, question in zip(("first", "second"), questions, strict=True):
        print(f"{question:32} ", end="")
        for piece in state.text_iter(name):
            print(piece, end="", flush=True)
        print()
    usage = state.get_meta_info("second")
    print(
        f"prompt of turn two: {usage['prompt_tokens']} tokens, {usage['cached_tokens']} from the "
        f"radix cache, {usage['computed_tokens']} computed"
    )

    print("\n— JSON under a schema —")
    print(extract.run("Maria Lopez is 34 years old and lives in Madrid.", temperature=0)["record"])
    print(f"\ndone in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
