"""The tokenizer: byte-level BPE, trained on the recipe's own corpus.

Two choices help a tiny model to copy. A digit is always one token. A space is never glued to a
capital letter or a digit, so a name is spelt with the same tokens wherever it stands. Lowercase
words keep their leading space, which makes running text short.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .documents import CALL_END, CALL_START, END, SEPARATOR, START, Document, Message, render

VOCAB_SIZE = 4096
SPECIAL = (SEPARATOR, START, END)  # ids 0, 1, 2
MARKS = (CALL_START, CALL_END)  # one token each, but ordinary text
PATTERN = (
    r"'(?:[sdmt]|ll|ve|re)(?!\p{L})"  # I'm, don't
    r"| ?\p{Ll}+"  # a lowercase word with its space
    r"|\p{Lu}+\p{Ll}*"  # a capitalised word without
    r"|\p{L}+|\p{N}"  # other letters; single digits
    r"| ?[^\s\p{L}\p{N}]+"  # punctuation
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def train(texts: Iterator[str], vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """Learn the merges from an iterator of texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(MARKS),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, *, context: int) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja for transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": SEPARATOR,
        "additional_special_tokens": [START],
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(TEMPLATE.read_text(encoding="utf-8"))


def learnt_text(document: Document) -> str:
    """Return a document as one text."""
    return "".join(text for text, _ in document.pieces)


def check_template(folder: Path) -> None:
    """Compare the jinja template with `documents.render` on every kind of message.

    Raises:
        ValueError: The two differ; both texts are shown.
    """
    from transformers import AutoTokenizer

    from . import dialogues_calls, functions
    from .draw import Draw

    tokenizer = AutoTokenizer.from_pretrained(folder)
    draw = Draw("template")
    tools = dialogues_calls.toolbox(draw, functions.any_call(draw), 3)
    call = {
        "type": "function",
        "function": {"name": "f", "arguments": {"city": "São Paulo", "n": 1}},
    }
    conversation: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [call, call]},
        {"role": "tool", "content": "21 °C"},
        {"role": "assistant", "content": "It is 21 °C."},
    ]
    for messages in (conversation, conversation[1:], conversation[:2]):
        for given in (None, tools):
            ours = "".join(text for text, _ in render(messages, given))
            theirs = tokenizer.apply_chat_template(messages, tools=given, tokenize=False)
            if ours != theirs:
                raise ValueError(f"the template and the recipe differ:\n{theirs!r}\n{ours!r}")


def main() -> None:
    """Train the tokenizer on a sample of the corpus and write it."""
    from . import corpus

    parser = argparse.ArgumentParser(description=__doc__)
    corpus.add_data_argument(parser)
    parser.add_argument("--out", type=Path, default=Path("runtime/shipped"))
    options = parser.parse_args()
    documents = corpus.sample(options.data, dialogues=60_000)
    tokenizer = train(learnt_text(document) for document in documents)
    save(tokenizer, options.out, context=2048)
    check_template(options.out)
    print(f"{tokenizer.get_vocab_size()} tokens written to {options.out}")


if __name__ == "__main__":
    main()
