"""An agent: the model chooses a function and its input, Python calls it, the model reports."""

import ast
import operator

import radixlm as rl

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
POPULATIONS = {"France": "68 million", "Japan": "124 million", "Brazil": "212 million"}


def calculator(expression: str) -> str:
    """Evaluate sums and products of whole numbers, and nothing else."""

    def value(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int() as number):
                return number
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(left), value(right))
            case _:
                raise ValueError(f"cannot compute {ast.unparse(node)}")

    return str(value(ast.parse(expression, mode="eval").body))


def search(query: str) -> str:
    """Look a word up in a very small encyclopedia."""
    found = [f"{name} has {count} people" for name, count in POPULATIONS.items() if name in query]
    return found[0] if found else f"nothing found about {query}"


@rl.function
def agent(s, question):
    s += "To answer this question: " + question + " "
    s += "I need to use a " + rl.select("tool", ["calculator", "search engine"]) + ". "
    if s["tool"] == "calculator":
        s += "The math expression is "
        s += rl.gen("input", regex=r"[0-9]{1,4}( [-+*] [0-9]{1,4}){1,3}", max_tokens=24)
        observation = calculator(s["input"])  # a real call, in the middle of the program
    else:
        s += "The key word to search is" + rl.gen("input", max_tokens=16, stop=["\n", "."])
        observation = search(s["input"])
    s += f". The result is {observation}.\n"
    s.set_var("observation", observation)


if __name__ == "__main__":
    for question in ("What is 31 * 12?", "How many people live in Japan?"):
        state = agent.run(question, temperature=0)
        print(
            question, "->", f"{state['tool']}({state['input'].strip()!r}) =", state["observation"]
        )
