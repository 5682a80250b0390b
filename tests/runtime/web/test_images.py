"""Images over HTTP, against the same request to the engine."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest

from radixlm.ir import loop
from radixlm.runtime.offline import Engine

from ..vision import IMAGE, picture, serving, write_llava

pytest.importorskip("PIL", reason="Pillow, of the extra `vision`, is not installed")
GREEDY = {"temperature": 0, "max_new_tokens": 6, "ignore_eos": True}
Post = Callable[[str, Any], tuple[int, Any]]


def data_url(seed: int) -> str:
    file = BytesIO()
    picture(seed).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("llava")
    write_llava(folder)
    with Engine(model_path=str(folder), in_process=True, max_total_tokens=2000) as made:
        yield made


@contextlib.contextmanager
def served(engine: Engine) -> Iterator[Post]:
    """What posts to the routes over an engine's desk."""
    with serving(engine) as client:

        async def posted(path: str, body: Any) -> tuple[int, Any]:
            async with client.post(path, json=body) as answer:
                return answer.status, await answer.json()

        yield lambda path, body: loop.wait(posted(path, body))


@pytest.fixture(scope="module")
def post(engine: Engine) -> Iterator[Post]:
    with served(engine) as made:
        yield made


def asked(*urls: str, text: str = "What is it?") -> dict[str, Any]:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [{"type": "text", "text": text}, *images]
    return {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": content},
        ],
        "temperature": 0,
        "max_tokens": 6,
        "ignore_eos": True,
    }


def test_a_chat_shows_its_images_where_the_template_writes_them(post: Post, engine: Engine) -> None:
    status, answer = post("/v1/chat/completions", asked(data_url(1), data_url(2)))
    assert status == 200, answer
    prompt = f"SYSTEM: Be brief. \nUSER: {IMAGE}\n{IMAGE}\nWhat is it? \nASSISTANT:"
    ids = engine.desk.tokenizer.encode(prompt, add_special_tokens=False)
    found = engine.generate(
        input_ids=ids, sampling_params=GREEDY, image_data=[picture(1), picture(2)]
    )
    assert answer["choices"][0]["message"]["content"] == found["text"]
    assert answer["usage"]["prompt_tokens"] == found["meta_info"]["prompt_tokens"]
    assert found["meta_info"]["cached_tokens"] == found["meta_info"]["prompt_tokens"] - 1
    swapped = post("/v1/chat/completions", asked(data_url(2), data_url(1)))[1]
    assert swapped["choices"][0]["message"]["content"] != found["text"]


def test_turns_of_text_reach_a_template_that_reads_parts_alone(post: Post, engine: Engine) -> None:
    body = {"messages": [{"role": "user", "content": "Tell me."}], "max_tokens": 1}
    _, answer = post("/v1/chat/completions", body)
    ids = engine.desk.tokenizer.encode("USER: Tell me. \nASSISTANT:", add_special_tokens=False)
    assert answer["usage"]["prompt_tokens"] == len(ids)
    assert engine.desk.tokenizer.role_format().parts["user"] == ("USER: ", " \n")


@pytest.mark.parametrize("is_bare", [False, True])
def test_generate_takes_image_data(post: Post, engine: Engine, is_bare: bool) -> None:
    text = f"Look: {IMAGE} What is it?"
    url = data_url(3).partition(",")[2] if is_bare else data_url(3)
    body = {"text": text, "image_data": url, "sampling_params": GREEDY}
    status, answer = post("/generate", body)
    assert status == 200, answer
    assert answer["text"] == engine.generate(text, GREEDY, image_data=picture(3))["text"]
    _, both = post("/generate", {**body, "text": [text, text], "image_data": [[url], url]})
    assert [each["text"] for each in both] == [answer["text"]] * 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:9/a.png", "public addresses alone"),
        ("http://[::1]/a.png", "public addresses alone"),
        ("data:image/png;base64,AAAA", "cannot be read as PNG"),
        ("data:image/png,raw", "must be data:image/<kind>;base64"),
        ("file:///etc/hostname", "a data URL, or an http"),
        ("/etc/hostname", "a data URL, or an http"),
    ],
)
def test_an_image_that_may_not_be_had_is_a_400(post: Post, url: str, message: str) -> None:
    status, answer = post("/v1/chat/completions", asked(url))
    assert status == 400
    assert message in answer["message"]


def test_a_server_reads_no_files(post: Post) -> None:
    body = {"text": IMAGE, "image_data": "/etc/hostname", "sampling_params": GREEDY}
    status, answer = post("/generate", body)
    assert status == 400
    assert "files are read by Engine alone" in answer["error"]["message"]


def test_a_placeholder_in_a_users_text_is_no_image(post: Post) -> None:
    status, answer = post("/v1/chat/completions", asked(text=f"{IMAGE} What?"))
    assert status == 400
    assert "1 placeholders" in answer["message"]
    status, answer = post("/v1/chat/completions", asked(data_url(1), text=f"{IMAGE} What?"))
    assert status == 400
    assert "2 placeholders" in answer["message"]


def test_a_model_of_text_alone_refuses_images(tiny_model: str) -> None:
    with (
        Engine(model_path=tiny_model, in_process=True, max_total_tokens=200) as blind,
        served(blind) as send,
    ):
        status, answer = send("/v1/chat/completions", asked(data_url(1)))
        assert status == 400
        assert "takes text alone" in answer["message"]
        assert send("/generate", {"text": "a", "image_data": data_url(1)})[0] == 400
