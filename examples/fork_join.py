"""Branches that share a prefix: its keys and values are computed once."""

import radixlm as rl


@rl.function
def countries(s, names):
    s += rl.system("You are a helpful assistant.")
    forks = s.fork(len(names))
    for fork, name in zip(forks, names, strict=True):
        fork += rl.user(f"What is the capital of {name}?")
        fork += rl.assistant(rl.gen("answer", max_tokens=32))
    forks.join()  # s["answer"] is now the list of the branches' answers
    s += rl.user("Which of these did you tell me? " + " ".join(s["answer"]))


if __name__ == "__main__":
    state = countries.run(["Norway", "Egypt", "Chile"], temperature=0)
    for answer in state["answer"]:
        print(answer)
    for meta in state.get_meta_info("answer"):
        print(
            f"prompt {meta['prompt_tokens']} tokens: {meta['cached_tokens']} cached, "
            f"{meta['computed_tokens']} computed"
        )
