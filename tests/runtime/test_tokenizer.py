from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from radixlm.ir.roles import PLAIN, RoleFormat
from radixlm.runtime.config import ModelConfig
from radixlm.runtime.errors import InvalidRequestError, ModelLoadError
from radixlm.runtime.tokenizer import Tokenizer, load_tokenizer

from .vocabularies import TALK, real, sentence_piece

TALKS = [
    [("user", "Hi"), ("assistant", "Yes?"), ("user", "And?")],
    [("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "And?")],
    [("user", "Hi")],
]


def write(roles: RoleFormat, talk: list[tuple[str, str]]) -> str:
    """A talk as a program writes it, up to where the assistant speaks."""
    text = roles.preamble
    if roles.default_system is not None and talk[0][0] != "system":
        talk = [("system", roles.default_system), *talk]
    for role, content in talk:
        prefix, suffix = roles.part(role)
        text += prefix + content + suffix
    return text + roles.part("assistant")[0]


def assert_same_ids(tokenizer: Tokenizer, talk: list[tuple[str, str]]) -> None:
    messages = [{"role": role, "content": content} for role, content in talk]
    text = write(tokenizer.role_format(), talk)
    assert tokenizer.encode_literal(text, opens=True) == tokenizer.render(messages)


def with_template(tokenizer: Tokenizer, template: str | None) -> Tokenizer:
    import copy

    inner = copy.deepcopy(tokenizer._tokenizer)
    inner.chat_template = template
    return Tokenizer(inner, tokenizer.path)


@pytest.mark.parametrize("talk", TALKS, ids=["three turns", "system", "one"])
def test_the_parts_of_chatml_join_to_its_talks(
    talk: list[tuple[str, str]], tokenizer: Tokenizer
) -> None:
    assert_same_ids(tokenizer, talk)


@pytest.mark.slow
@pytest.mark.parametrize("talk", TALKS, ids=["three turns", "system", "one"])
@pytest.mark.parametrize("name", ["qwen2.5", "llama-3.1", "phi-3"])
def test_the_parts_of_real_templates_join_to_their_talks(
    name: str, talk: list[tuple[str, str]]
) -> None:
    assert_same_ids(real(name), talk)


TEMPLATES = {
    "instructions": (
        "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% elif m.role == 'assistant' %} {{ m.content }}<|im_end|>"
        "{% else %}{{ raise_exception('no system here') }}{% endif %}{% endfor %}"
    ),
    "a default system turn": (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "an end of text": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% else %}<|endoftext|>{% endif %}"
    ),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_parts_of_other_templates_join_to_their_talks(name: str, tokenizer: Tokenizer) -> None:
    changed = with_template(tokenizer, TEMPLATES[name])
    for talk in TALKS:
        if name == "instructions" and talk[0][0] == "system":
            continue
        text = write(changed.role_format(), talk)
        messages = [{"role": role, "content": content} for role, content in talk]
        rendered = tokenizer.decode(changed.render(messages), skip_special_tokens=False)
        assert text.rstrip() == rendered.rstrip()


@pytest.mark.parametrize("template", [None, "always the same", "{{ nosuch.field.at_all }}"])
def test_what_cannot_be_taken_apart_is_written_plainly(
    template: str | None, tokenizer: Tokenizer
) -> None:
    assert with_template(tokenizer, template).role_format() == PLAIN


def test_without_a_template_a_talk_is_written_plainly(tokenizer: Tokenizer) -> None:
    plain = with_template(tokenizer, None)
    ids = plain.render([{"role": "user", "content": "Hi"}])
    assert plain.decode(ids) == "USER:Hi\nASSISTANT:"


def test_a_template_that_refuses_is_the_callers_mistake(tokenizer: Tokenizer) -> None:
    changed = with_template(tokenizer, TEMPLATES["instructions"])
    with pytest.raises(InvalidRequestError, match="no system here"):
        changed.render([{"role": "system", "content": "x"}])


@pytest.mark.parametrize("variables", [{"tools": []}, {"messages": []}])
def test_variables_do_not_replace_what_the_request_says(
    variables: dict[str, Any], tokenizer: Tokenizer
) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(variables))):
        tokenizer.render([{"role": "user", "content": "x"}], variables=variables)


@pytest.mark.parametrize("text", ["", "plain", "naïve 😀 東京", "<|im_end|>", "a\x00b", "  two  "])
def test_text_survives_a_round_trip(text: str, tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=False) == text


def test_a_lone_surrogate_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidRequestError, match="surrogate"):
        tokenizer.encode("a\ud800")


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="tokenizer"):
        load_tokenizer(ModelConfig(model_path=str(tmp_path)))
    with pytest.raises(ModelLoadError, match="/no/such"):
        load_tokenizer(ModelConfig(model_path="/no/such"))


def test_a_text_in_the_middle_gets_no_space_of_sentence_piece() -> None:
    tokenizer = sentence_piece()
    assert tokenizer.adds_space
    first = tokenizer.encode_literal("say", opens=True)
    assert first == tokenizer.encode("say")
    for text in ("ing it", " hello", "", "\n", "[user] x</s>", "東", "</s>hello"):
        ids = first + tokenizer.encode_literal(text, opens=False)
        whole = tokenizer.decode(ids, skip_special_tokens=False)
        # Behind a special token a space is added, as it is where the whole text is tokenised.
        assert whole.removeprefix("<s>").lstrip(" ").replace("</s> ", "</s>") == "say" + text


def test_a_talk_has_the_bos_that_its_template_says_and_a_text_the_tokenizers() -> None:
    without, having = sentence_piece(), sentence_piece("{{ bos_token }}" + TALK)
    bos = without.encode("")
    assert len(bos) == 1
    for tokenizer, expected in ((without, []), (having, bos)):
        roles = tokenizer.role_format()
        assert roles != PLAIN
        text = roles.preamble + "hello".join(roles.part("user"))
        ids = tokenizer.encode_literal(text, opens=True)
        assert ids == tokenizer.render([{"role": "user", "content": "hello"}])
        assert ids[: len(expected)] == expected
        assert ids.count(bos[0]) == len(expected)
        assert tokenizer.encode_literal("hello", opens=True)[:1] == bos


def test_the_text_of_a_token_has_its_space() -> None:
    tokenizer = sentence_piece()
    assert tokenizer.token_texts(tokenizer.encode("say he")[1:]) == [" say", " he"]
