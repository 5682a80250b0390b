"""Select a tool, then branch: plain Python decides what is generated next."""

import radixlm as rl


@rl.function
def tool_use(s, question):
    s += "To answer this question: " + question + ". "
    s += "I need to use a " + rl.gen("tool", choices=["calculator", "search engine"]) + ". "
    if s["tool"] == "calculator":
        s += "The math expression is" + rl.gen("expression", max_tokens=16, stop=["\n", "."])
    elif s["tool"] == "search engine":
        s += "The key word to search is" + rl.gen("word", max_tokens=16, stop=["\n", "."])


if __name__ == "__main__":
    for question in ("What is 23 + 19", "Who wrote Alice in Wonderland"):
        state = tool_use.run(question, temperature=0)
        print(state.text())
        scores = state.get_meta_info("tool")["normalized_prompt_logprobs"]
        print("   mean log-probabilities of the two tools:", [round(score, 2) for score in scores])
