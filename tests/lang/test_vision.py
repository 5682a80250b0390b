"""Programs with images, on a model of our own that sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir import loop
from radixlm.ir.images import reference
from radixlm.ir.nodes import Image
from radixlm.ir.program import to_json

from ..runtime.vision import IMAGE, ROWS, picture, serving, write_llava

pytest.importorskip("PIL", reason="Pillow, of the extra `vision`, is not installed")
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 6, "ignore_eos": True}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rl.Engine]:
    folder = tmp_path_factory.mktemp("llava")
    write_llava(folder)
    limits: dict[str, Any] = {"max_total_tokens": 3000, "check_invariants": True}
    with rl.Engine(model_path=str(folder), in_process=True, **limits) as made:
        yield made


@pytest.fixture(scope="module")
def endpoint(seeing: rl.Engine) -> Iterator[rl.RuntimeEndpoint]:
    with serving(seeing) as client:
        backend = rl.RuntimeEndpoint(str(client.server.make_url("/")))
        yield backend
        backend.close()


@rl.function
def look(s: rl.ProgramState, seed: int) -> None:
    s += rl.system("Be brief.")
    s += rl.user(rl.image(picture(seed)) + "What is it?")
    s += rl.assistant(rl.gen("what", **GREEDY))
    s += rl.user("Where?")
    s += rl.assistant(rl.gen("where", **GREEDY))


def test_a_program_shows_an_image_as_a_chat_does(seeing: rl.Engine) -> None:
    seeing.flush_cache()
    state = look.run(seed=1, backend=seeing)
    prompt = f"SYSTEM: Be brief. \nUSER: {IMAGE}\nWhat is it? \nASSISTANT: "
    found = seeing.generate(prompt, GREEDY | {"max_new_tokens": 6}, image_data=picture(1))
    assert state["what"] == found["text"]
    assert state.get_meta_info("what")["prompt_tokens"] == found["meta_info"]["prompt_tokens"]
    second = state.get_meta_info("where")
    assert second["cached_tokens"] > found["meta_info"]["prompt_tokens"]
    other = look.run(seed=2, backend=seeing)
    assert other["what"] != state["what"]
    before = seeing.desk.tokenizer.encode("SYSTEM: Be brief. \nUSER: ")
    assert other.get_meta_info("what")["cached_tokens"] == len(before)
    assert IMAGE not in state.text()


def test_a_server_answers_as_the_engine_does(
    seeing: rl.Engine, endpoint: rl.RuntimeEndpoint
) -> None:
    here = look.run(seed=3, backend=seeing)
    here.text()  # it runs on its own: else either may compute what the other finds
    there = look.run(seed=3, backend=endpoint)
    assert (there["what"], there["where"]) == (here["what"], here["where"])
    last = there.get_meta_info("where")
    assert last["prompt_tokens"] == here.get_meta_info("where")["prompt_tokens"]
    assert last["cached_tokens"] >= last["prompt_tokens"] - 1


@rl.function
def judge(s: rl.ProgramState, seed: int) -> None:
    s += rl.image(picture(seed))
    branches = s.fork(3)
    for index, branch in enumerate(branches):
        branch += f" Point {index}:" + rl.gen("point", **GREEDY)
    s["points"] = [branch["point"] for branch in branches]
    s += rl.image(picture(seed + 1)) + rl.select("verdict", ["good", "bad", "neither"])


def test_branches_share_an_image_and_options_are_scored_behind_one(
    seeing: rl.Engine, endpoint: rl.RuntimeEndpoint
) -> None:
    seeing.flush_cache()
    state = judge.run(seed=5, backend=seeing)
    points = state["points"]
    assert len(set(points)) > 1
    scored = state.get_meta_info("verdict")
    again = judge.run(seed=5, backend=endpoint)
    assert again["points"] == points
    assert again["verdict"] == state["verdict"]
    here, there = (
        one["normalized_prompt_logprobs"] for one in (scored, again.get_meta_info("verdict"))
    )
    assert here == pytest.approx(there, abs=1e-4)
    other = judge.run(seed=6, backend=seeing).get_meta_info("verdict")
    assert other["normalized_prompt_logprobs"] != pytest.approx(here, abs=1e-4)


def test_a_prefix_with_an_image_can_be_pinned(
    seeing: rl.Engine, endpoint: rl.RuntimeEndpoint
) -> None:
    @rl.function
    def keep(s: rl.ProgramState) -> None:
        s += "Look: " + rl.image(picture(8)) + "and remember."
        s.pin("seen")
        s += rl.gen("a", **GREEDY)

    seeing.flush_cache()
    keep.run(backend=endpoint).sync()
    seeing.flush_cache()  # what is pinned stays
    meta = keep.run(backend=endpoint).get_meta_info("a")
    assert meta["cached_tokens"] > ROWS
    endpoint.unpin("seen")


def test_an_image_that_cannot_be_read_fails_its_program(seeing: rl.Engine) -> None:
    whole = BytesIO()
    picture(1, 200, 200).save(whole, format="PNG")

    @rl.function
    def broken(s: rl.ProgramState) -> None:
        s += rl.user(rl.image(whole.getvalue()[:200]) + "What?")
        s += rl.assistant(rl.gen("a", **GREEDY))

    with pytest.raises(rl.BackendError, match="cannot be read as PNG"):
        broken.run(backend=seeing)["a"]


def data_url(seed: int) -> str:
    [statement] = rl.image(picture(seed)).statements
    assert isinstance(statement, Image)
    return statement.url


def file_of(folder: Path, seed: int) -> str:
    path = folder / f"{seed}.png"
    picture(seed).save(path)
    return str(path)


@rl.function
def ask(s: rl.ProgramState, photo: Any) -> None:
    s += rl.system("Be brief.")
    s += rl.user(rl.image(photo) + "What is it?")
    s += rl.assistant(rl.gen("what", **GREEDY))
    s += rl.user("Where?")
    s += rl.assistant(rl.gen("where", **GREEDY))


@rl.function
def compare(s: rl.ProgramState, photos: list[Any], names: list[str]) -> str:
    for photo in photos:
        s += "Look: " + rl.image(photo)
    for name in names:  # a path that only the run knows
        s += f"and {name}: " + rl.image(name + ".png")
    s += rl.gen("all", **GREEDY)
    s += rl.image(photos[0]) + rl.gen("first", **GREEDY)
    return str(len(s.text()))


def test_a_whole_program_with_an_image_is_one_request(
    seeing: rl.Engine, endpoint: rl.RuntimeEndpoint, tmp_path: Path
) -> None:
    seeing.flush_cache()
    here = ask.run(photo=picture(31), backend=seeing, compiled=False)
    cached = {}
    for photo in (file_of(tmp_path, 31), Path(file_of(tmp_path, 31)), picture(31), data_url(31)):
        before = endpoint.requests
        there = ask.run(photo=photo, backend=endpoint)
        assert (there["what"], there["where"]) == (here["what"], here["where"])
        assert there.messages() == here.messages()
        assert endpoint.requests == before + 1
        meta = there.get_meta_info("what")
        cached[type(photo)] = meta["prompt_tokens"] - meta["cached_tokens"]
    assert set(cached.values()) == {1}  # the same image is found again, whatever it came as
    other = ask.run(photo=picture(32), backend=endpoint)
    before = seeing.desk.tokenizer.encode("SYSTEM: Be brief. \nUSER: ")
    assert other.get_meta_info("what")["cached_tokens"] == len(before)
    assert other["what"] != here["what"]


def test_images_in_lists_and_of_computed_paths_are_the_same_eagerly_and_compiled(
    seeing: rl.Engine, endpoint: rl.RuntimeEndpoint, tmp_path: Path
) -> None:
    given = {
        "photos": [picture(33), file_of(tmp_path, 34)],
        "names": [file_of(tmp_path, 35).removesuffix(".png")],
    }
    here = compare.run(**given, backend=seeing, compiled=False)
    local = compare.run(**given, backend=seeing, compiled=True)
    there = compare.run(**given, backend=endpoint)
    assert compare.compile().shown.parameters == {"photos"}
    for state in (local, there):
        assert (state["all"], state["first"]) == (here["all"], here["first"])
        assert (state.text(), state.ret_value) == (here.text(), here.ret_value)
        assert state.get_meta_info("first")["prompt_tokens"] > 4 * ROWS


def test_an_image_that_is_not_there_is_the_same_error_eagerly_and_compiled(
    seeing: rl.Engine, endpoint: rl.RuntimeEndpoint
) -> None:
    found = []
    for settings in ({"backend": seeing, "compiled": False}, {"backend": endpoint}):
        with pytest.raises(FileNotFoundError, match=r"none\.png") as caught:
            ask.run(photo="none.png", **settings)
        found.append(type(caught.value))
    assert len(found) == 2
    with pytest.raises(ValueError, match="no PNG, JPEG, GIF or WebP image"):
        ask.run(photo=b"text", backend=endpoint)


def test_programs_are_sent_with_their_images_beside_them(endpoint: rl.RuntimeEndpoint) -> None:
    compiled = ask.compile().program
    assert compiled is not None
    url = data_url(36)
    body: dict[str, Any] = {"program": json.loads(to_json(compiled)), "args": {"photo": "a.png"}}

    def answer(**more: Any) -> dict[str, Any]:
        outcome: dict[str, Any] | None = loop.wait(endpoint.run_program(body | more))
        assert outcome is not None
        return outcome

    name = reference(url)
    whole = answer(args={"photo": name}, images={name: url})
    part = {"type": "image_url", "image_url": {"url": name}}  # its bytes do not come back
    assert whole["messages"][1]["content"][0] == part
    assert answer(args={"photo": url})["variables"] == whole["variables"]
    assert "shows 'a.png', which is no http(s) address" in answer()["error"]["message"]
    assert "send it in images" in answer(args={"photo": name})["error"]["message"]
    other = reference(data_url(37))
    with pytest.raises(rl.BackendError, match=f"holds an image whose reference is {name}"):
        answer(images={other: url})
    with pytest.raises(rl.BackendError, match="is no data URL"):
        answer(images={name: "a.png"})


def test_a_program_shows_no_more_images_than_a_prompt_may_have(seeing: rl.Engine) -> None:
    @rl.function
    def flood(s: rl.ProgramState) -> None:
        for _ in range(65):
            s += rl.image(address)

    address = data_url(38)
    assert "a sequence has at most 64 images" in str(flood.run(backend=seeing).error())
