"""A server and its clients: plain HTTP, OpenAI's shape, and the language over the wire."""

import json

import requests

import radixlm as rl


@rl.function
def capital(s, country):
    s += rl.user(f"What is the capital of {country}?")
    s += rl.assistant(rl.gen("answer", max_tokens=32))


def main() -> None:
    with rl.Runtime() as runtime:  # the same as `python -m radixlm.launch_server`
        answer = requests.post(
            f"{runtime.url}/generate",
            json={
                "text": "The capital of France is",
                "sampling_params": {"temperature": 0, "max_new_tokens": 8},
            },
            timeout=60,
        ).json()
        print("/generate:", answer["text"].strip(), answer["meta_info"]["finish_reason"])

        chat = requests.post(
            f"{runtime.url}/v1/chat/completions",
            json={
                "messages": [{"role": "user", "content": "What is the capital of Italy?"}],
                "temperature": 0,
                "max_tokens": 32,
                "stream": True,
            },
            stream=True,
            timeout=60,
        )
        print("/v1/chat/completions:", end=" ")
        for line in chat.iter_lines():
            if line.startswith(b"data: {"):
                print(json.loads(line[6:])["choices"][0]["delta"]["content"] or "", end="")
        print()

        rl.set_default_backend(runtime)
        print("program:", capital.run("Spain", temperature=0)["answer"])
        rl.set_default_backend(None)


if __name__ == "__main__":
    main()
