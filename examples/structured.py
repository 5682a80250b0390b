"""Output that cannot be malformed: regex, EBNF, and a JSON Schema from a pydantic model."""

from pydantic import BaseModel, Field

import radixlm as rl

DATE = r"(0[1-9]|[12][0-9]|3[01])\.(0[1-9]|1[0-2])\.20[0-9]{2}"

SENTENCE = """
root ::= "The capital of " name " is " name "."
name ::= [A-Z] [a-z]+ (" " [A-Z] [a-z]+)?
"""


class Person(BaseModel):
    name: str = Field(max_length=40)
    age: int = Field(ge=0, le=150)
    city: str


@rl.function
def a_date(s):
    s += "The meeting is on " + rl.gen("date", regex=DATE, max_tokens=16)


@rl.function
def a_sentence(s, country):
    s += rl.user(f"What is the capital of {country}?")
    s += rl.assistant(rl.gen("sentence", ebnf=SENTENCE, max_tokens=32))


@rl.function
def person(s, sentence):
    s += rl.user(f"Extract the name, age and city as JSON: {sentence}")
    s += rl.assistant(rl.gen("person", json_schema=Person, max_tokens=64))


@rl.function
def unfinished_grammar(s):
    s += "One word: " + rl.gen("word", ebnf="root ::= missing")


if __name__ == "__main__":
    print(a_date.run(temperature=0)["date"])
    print(a_sentence.run("Norway", temperature=0)["sentence"])
    document = person.run("Peter Brown is 52 years old and lives in Oslo.", temperature=0)["person"]
    print(Person.model_validate_json(document))
    try:
        print(unfinished_grammar.run()["word"])
    except rl.GrammarError as error:
        print("refused:", error)
