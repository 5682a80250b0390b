"""Prompts that people try first, to look at after each run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .documents import chat_prompt, turns

if TYPE_CHECKING:
    from .evaluate import Subject

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city to find the weather for, e.g. 'San Francisco'"},
                "state": {"type": "string", "description": "the two-letter abbreviation for the state that the city is in, e.g. 'CA' which would stand for 'California'"},
                "unit": {"type": "string", "description": "The unit to fetch the temperature in", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "state", "unit"],
        },
    },
}  # fmt: skip
HELPFUL = "You are a helpful AI assistant"
TIPS = "Here are two tips for staying healthy: 1. Balanced Diet. 2. Regular Exercise.\n\n"
RAW = (
    "The capital of France is",
    "Q: What is the capital of France?\nA:",
    "Paris is the capital of",
    "Hello, my name is",
    "The president of the United States is",
    "To answer this question: What is 17 * 23?. I need to use a calculator. The math expression is",
    "To answer this question: Who was the first person on the moon?. I need to use a search engine. The key word to search is",
    TIPS + "Now, expand tip 1 into a paragraph:\n",
    "Please generate the information of the capital of France in the JSON format.\n",
    "Harry Potter is a character in Harry Potter. Please fill in the following information about this character.\n",
    "Once upon a time,",
    "Extract name, age and city as JSON: Zubrowka Winkelhoff is 47 years old and lives in Trondheim.\n",
)
CHATS = (
    turns("List 3 countries and their capitals.", system=HELPFUL),
    turns("What is the capital of the United States?", "The capital of the United States is Washington, D.C.",
          "List two local attractions."),
    turns("What is the capital of Japan?", "The capital of Japan is Tokyo.", "What is its population?"),
    turns("What is the capital of Japan?", "The capital of Japan is Tokyo.", "And of Italy?"),
    turns("Hi"),
    turns("Who are you?"),
    turns("Tell me a story about a cat."),
    turns("What is 12 + 7?"),
    turns("What is a lantern?"),
    turns("Is a dog an animal?"),
    turns("Give me the information and population of the capital of France in the JSON format."),
    turns("What is the weather in Paris?"),
    turns("My name is Quorvath.", "Nice to meet you, Quorvath!", "What is my name?"),
    turns("How do I bake bread?"),
)  # fmt: skip


def show(subject: Subject) -> None:
    """Print what the model answers."""
    for prompt in RAW:
        print(f"{prompt!r}\n    -> {subject.generate(prompt, 120, [])!r}", flush=True)
    for messages in CHATS:
        print(
            f"{messages[-1]['content']!r}\n    -> {subject.generate(chat_prompt(messages), 160, [])!r}",
            flush=True,
        )
    asked = chat_prompt(turns("What's the weather like in Boston today?"), [WEATHER])
    called = subject.generate(asked, 100, [])
    print(f"weather tool\n    -> {called!r}", flush=True)
    result = (
        f"{called}<|im_end|>\n<|im_start|>tool\n57°F, cloudy<|im_end|>\n<|im_start|>assistant\n"
    )
    print(f"    -> {subject.generate(asked + result, 60, [])!r}", flush=True)
