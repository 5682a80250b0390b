from __future__ import annotations

from typing import Any

import pytest

from radixlm.ir.roles import PLAIN

from .vocabularies import REAL, real, vectors

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", REAL)
def test_texts_get_the_ids_that_llama_cpp_gives_them_and_come_back(name: str) -> None:
    tokenizer, cases = real(name), vectors(name)
    assert len(cases) == 46
    for text, ids in cases:
        assert tokenizer.encode(text, add_special_tokens=False) == ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("name", REAL)
def test_texts_in_the_middle_of_a_sequence_get_neither_bos_nor_space(name: str) -> None:
    tokenizer = real(name)
    first = tokenizer.encode_literal("One", opens=True)
    for text, _ in vectors(name):
        ids = tokenizer.encode_literal(text, opens=False)
        assert tokenizer.decode_after(ids, skip_special_tokens=False) == text
        assert tokenizer.decode(first + ids) == "One" + text


@pytest.mark.parametrize("name", REAL)
def test_a_plain_text_opens_with_the_bos_of_its_tokenizer(name: str) -> None:
    tokenizer = real(name)
    assert tokenizer.encode_literal("Once upon", opens=True) == tokenizer.encode("Once upon")


CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather <now> in a city & 'around'",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TALKS: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
    ([{"role": "user", "content": "Hi 東京"}], {}),
    ([{"role": "user", "content": "Hi"}], {"add_generation_prompt": False}),
    (
        [
            {"role": "system", "content": " Be brief. "},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "And {{ 1 }}?"},
        ],
        {},
    ),
    ([{"role": "user", "content": "The weather?"}], {"tools": [TOOL]}),
    (
        [
            {"role": "user", "content": "The weather?"},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": "sunny"},
        ],
        {"tools": [TOOL]},
    ),
    (
        [{"role": "user", "content": "Count"}, {"role": "assistant", "content": "One, "}],
        {"continue_final_message": True, "add_generation_prompt": False},
    ),
]


@pytest.mark.parametrize("name", ["qwen2.5", "llama-3.1", "phi-3"])
def test_chat_templates_render_as_transformers_does(name: str) -> None:
    tokenizer = real(name)
    for messages, options in TALKS:
        given = {"add_generation_prompt": True, **options}
        text = tokenizer._tokenizer.apply_chat_template(messages, tokenize=False, **given)
        assert tokenizer.render(messages, **given) == tokenizer.encode(
            text, add_special_tokens=False
        )


@pytest.mark.parametrize("name", ["qwen2.5", "llama-3.1", "phi-3"])
def test_a_program_opens_as_its_talk_does_in_the_chat_template(name: str) -> None:
    """Phi-3's tokenizer adds a BOS to texts, which its template does not have."""
    tokenizer = real(name)
    roles = tokenizer.role_format()
    assert roles != PLAIN
    system, user, assistant = (roles.part(role) for role in ("system", "user", "assistant"))
    text = roles.preamble + "Be brief.".join(system) + "Hi".join(user) + assistant[0]
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert tokenizer.encode_literal(text, opens=True) == tokenizer.render(talk)
