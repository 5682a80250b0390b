"""Two questions in one conversation, run at once and streamed."""

import asyncio

import radixlm as rl


@rl.function
def multi_turn_qa(s, question_1, question_2):
    s += rl.system("You are a helpful assistant.")
    s += rl.user(question_1)
    s += rl.assistant(rl.gen("answer_1", max_tokens=64))
    s += rl.user(question_2)
    s += rl.assistant(rl.gen("answer_2", max_tokens=64))


def single() -> None:
    state = multi_turn_qa.run(
        question_1="What is the capital of the United States?",
        question_2="What is its population?",
        temperature=0,
    )
    for message in state.messages():
        print(f"{message['role']}: {message['content']}")


def stream() -> None:
    state = multi_turn_qa.run(
        question_1="What is the capital of Italy?",
        question_2="And of Greece?",
        temperature=0,
        stream=True,
    )
    for piece in state.text_iter():
        print(piece, end="", flush=True)
    print()


async def stream_one_variable() -> None:
    state = await multi_turn_qa.arun(
        question_1="Which continent is Kenya in?",
        question_2="What is its capital?",
        temperature=0,
        stream=True,
    )
    print("answer_2:", end=" ")
    async for piece in state.text_async_iter("answer_2"):
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    single()
    print("-" * 40)
    stream()
    print("-" * 40)
    asyncio.run(stream_one_variable())
