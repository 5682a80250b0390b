"""Images in programs: on services that take them, and refused where no model sees."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir.images import reference
from radixlm.ir.machine import Emit
from radixlm.ir.media import content_of
from radixlm.ir.nodes import Gen, Image, Text
from radixlm.lang.backends.anthropic import _conversation
from radixlm.lang.backends.service import Answer
from radixlm.lang.backends.talk import Talk, TurnBegin, TurnEnd

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
URL = "data:image/png;base64," + base64.b64encode(PNG).decode()


class Picture:
    """As PIL's images save themselves."""

    def save(self, file: Any, format: str) -> None:
        assert format == "PNG"
        file.write(PNG)


def test_an_image_is_a_path_bytes_a_picture_or_an_address(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    for source in (str(file), file, PNG, bytearray(PNG), Picture(), URL):
        assert rl.image(source).statements == (Image(url=URL),)
    address = "https://example.org/a.png"
    assert rl.image(address).statements == (Image(url=address),)


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"\xff\xd8\xff0", "jpeg"), (b"GIF89a", "gif"), (b"RIFF0000WEBP", "webp")],
)
def test_the_bytes_tell_the_kind(data: bytes, kind: str) -> None:
    [statement] = rl.image(data).statements
    assert isinstance(statement, Image)
    assert statement.url.startswith(f"data:image/{kind};base64,")


def test_what_is_no_image_fails_where_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no PNG, JPEG, GIF or WebP image"):
        rl.image(b"text")
    with pytest.raises(FileNotFoundError):
        rl.image(tmp_path / "none.png")
    with pytest.raises(TypeError, match="not int"):
        rl.image(5)
    with pytest.raises(rl.UnsupportedError, match="no backend takes a video") as caught:
        rl.video("a.mp4", 8)
    assert "8 frames" in str(caught.value.hint)


def test_the_content_of_a_turn_is_its_text_or_its_parts() -> None:
    assert content_of(" a b", []) == "a b"
    part = {"type": "image_url", "image_url": {"url": "u"}}
    assert content_of(" a b", [(2, "u")]) == [
        {"type": "text", "text": "a"},
        part,
        {"type": "text", "text": " b"},
    ]
    assert content_of("a", [(0, "u"), (1, "u")]) == [part, {"type": "text", "text": "a"}, part]


@rl.function
def look(s: rl.ProgramState) -> None:
    s += rl.user(rl.image(PNG) + "What is it?")
    s += rl.assistant(rl.gen("a", max_tokens=4))


@pytest.mark.parametrize("compiled", [False, True])
def test_services_are_sent_the_image_in_its_place(compiled: bool) -> None:
    sent: list[list[dict[str, Any]]] = []

    class Service(rl.OpenAI):
        async def ask(self, talk: Talk, gen: Gen, emit: Emit | None) -> list[Answer]:
            sent.append(talk.messages())
            return [Answer("A cat.", {"finish_reason": None})]

    pytest.importorskip("openai", reason="the package openai is not installed")
    backend = Service("gpt", api_key="k", base_url="http://nowhere.invalid")
    state = look.run(backend=backend, compiled=compiled)
    assert state["a"] == "A cat."
    content = [
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "text", "text": "What is it?"},
    ]
    assert sent == [[{"role": "user", "content": content}]]
    assert state.messages() == [
        {"role": "user", "content": content},
        {"role": "assistant", "content": "A cat."},
    ]
    backend.close()


def test_anthropics_form_is_its_own() -> None:
    talk = Talk()
    talk.append(TurnBegin.of("user", "USER:"))
    talk.attach(URL)
    talk.append("What?")
    talk.attach("https://example.org/a.png")
    talk.append(TurnEnd("\n"))
    [message] = _conversation(talk)["messages"]
    assert message["content"] == [
        {
            "type": "image",
            "source": {
                "type": "base64",
                "media_type": "image/png",
                "data": base64.b64encode(PNG).decode(),
            },
        },
        {"type": "text", "text": "What?"},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]


def test_an_image_outside_the_users_turn_is_refused() -> None:
    with pytest.raises(rl.UnsupportedError, match="turns of the user"):
        Talk().attach(URL)


def test_a_model_that_sees_nothing_is_named_before_any_token(engine: rl.Engine) -> None:
    state = look.run(backend=engine)
    with pytest.raises(rl.UnsupportedError, match="'radixlm-shipped' sees no images") as caught:
        state["a"]
    assert "OpenAI, Anthropic" in str(caught.value.hint)
    state = look.run(backend=rl.ScriptedBackend(["a"]))
    assert "ScriptedBackend takes no images" in str(state.error())


def test_an_image_that_a_function_names_is_a_reference_in_its_program() -> None:
    compiled = look.compile()
    assert compiled.images == {reference(URL): URL}
    assert f'image("{reference(URL)}")' in str(compiled.program).replace("'", '"')
    assert not compiled.shown.has_holes


def test_a_file_that_changes_is_compiled_again(tmp_path: Path) -> None:
    file = str(tmp_path / "a.png")

    @rl.function
    def show(s: rl.ProgramState) -> None:
        s += rl.user(rl.image(file))

    missing = show.compile()
    assert "No such file" in str(missing.reason)
    Path(file).write_bytes(PNG)
    first = show.compile()
    assert first.images == {reference(URL): URL}
    assert show.compile() is first
    Path(file).write_bytes(PNG + b"more")
    assert show.compile().images.keys() != first.images.keys()


def test_an_image_that_may_change_is_to_be_an_argument() -> None:
    held = Picture()

    @rl.function
    def show(s: rl.ProgramState) -> None:
        s += rl.user(rl.image(held))

    assert "an image that may change, a Picture" in str(show.compile().reason)
    assert "pass it as an argument" in str(getattr(show.compile().reason, "hint", ""))


def test_what_a_program_begins_with_ends_before_an_image() -> None:
    @rl.function
    def show(s: rl.ProgramState, picture: str) -> None:
        s += "Look: " + rl.image(picture) + "What?"

    assert show.compile().shown.parameters == {"picture"}
    [text] = show.trace(picture="a.png").prefix
    assert text == Text(text="Look: ")
