"""A compiled program: what it becomes, and one request to a server for all of it.

python examples/compiled.py
"""

import radixlm as rl

POPULATIONS = {"Paris": "2.1 million", "Tokyo": "14 million"}


def population(city):
    """A function of ours: the program waits while it runs here."""
    return POPULATIONS.get(city.strip(), "unknown")


@rl.function
def about(s, countries):
    for country in countries:
        s += rl.user(f"What is the capital of {country}? Answer with its name.")
        s += rl.assistant(
            "The capital of " + country + " is" + rl.gen("city", max_tokens=6, stop=".")
        )
        s += f"({population(s['city'])} people)\n"
    return s["city"].strip()


print(about.explain())

with rl.Runtime() as server:
    before = server.endpoint.requests
    state = about.run(["France", "Japan"], temperature=0, backend=server)
    print(state.text())
    print("returned:", state.ret_value)
    print("requests:", server.endpoint.requests - before, "(the program, and two calls of ours)")
