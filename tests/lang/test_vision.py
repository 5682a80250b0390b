"""Programs with images, on a model of our own that sees."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

import radixlm as rl

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
    here, there = look.run(seed=3, backend=seeing), look.run(seed=3, backend=endpoint)
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
