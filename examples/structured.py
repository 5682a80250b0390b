"""Output that cannot be malformed: regex, EBNF, and a JSON Schema from a pydantic model."""

from pydantic import BaseModel, Field

import radixlm as rl

DATE = r"(0[1-9]|[12][0-9]|3[01])\.(0[1-9]|1[0-2])\.20[0-9]{2}"

LIST = """
root ::= item ", " item ", " item
item ::= [A-Z] [a-z]+
"""


class Order(BaseModel):
    product: str = Field(max_length=40)
    quantity: int = Field(ge=1, le=999)
    price: float


@rl.function
def a_date(s):
    s += "The meeting is on " + rl.gen("date", regex=DATE, max_tokens=16)


@rl.function
def three_names(s):
    s += "Three friends: " + rl.gen("names", ebnf=LIST, max_tokens=32)


@rl.function
def order(s, sentence):
    s += rl.user(f"Extract the product, quantity and price as JSON: {sentence}")
    s += rl.assistant(rl.gen("order", json_schema=Order, max_tokens=64))


@rl.function
def unfinished_grammar(s):
    s += "One word: " + rl.gen("word", ebnf="root ::= missing")


if __name__ == "__main__":
    print(a_date.run(temperature=0)["date"])
    print(three_names.run(temperature=0.7, sampling_seed=1)["names"])
    document = order.run("I would like to buy 3 lamps for 19.50 dollars.", temperature=0)["order"]
    print(Order.model_validate_json(document))
    try:
        print(unfinished_grammar.run()["word"])
    except rl.GrammarError as error:
        print("refused:", error)
