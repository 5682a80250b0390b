from __future__ import annotations

import asyncio
from typing import Any

import pytest

from radixlm.runtime.desk.desk import Desk
from radixlm.runtime.desk.generate import GenerateRequest, generate, generate_stream, take_order
from radixlm.runtime.errors import (
    EngineClosedError,
    EngineError,
    InvalidRequestError,
    ModelLoadError,
)
from radixlm.runtime.messages import (
    Abort,
    Close,
    Delta,
    Fatal,
    Finish,
    LogprobRequest,
    Progress,
    Submit,
)
from radixlm.runtime.request import SamplingParams, sampling_params

from .conftest import READY, End, OpenDesk

ENDED = Finish(type="length", length=1)


def run(work: Any) -> Any:
    return asyncio.run(work)


def order(desk: Desk, **fields: Any) -> Any:
    return take_order(desk, GenerateRequest.of(fields))


async def answer_all(end: End, token: int = 100) -> None:
    """Give every submitted sequence one token, and its end, as it comes."""
    answered = 0
    while True:
        for submit in end.submits()[answered:]:
            answered += 1
            delta = Delta(rid=submit.rid, tokens=[token], finish=ENDED)
            end.news.put_nowait(Progress(deltas=[delta]))
        await asyncio.sleep(0)


def test_leaving_early_aborts_and_leaving_at_the_end_does_not(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            with desk.submit([5], SamplingParams()):
                assert desk.open_requests == 1
            assert desk.open_requests == 0
            [submit, abort] = end.sent
            assert isinstance(submit, Submit)
            assert abort == Abort(rid=submit.rid, quiet=True)
            with desk.submit([5], SamplingParams()) as stream:
                end.news.put_nowait(
                    Progress(deltas=[Delta(rid=stream.submit.rid, tokens=[9], finish=ENDED)])
                )
                await desk.finish(stream)
            assert len(end.sent) == 3

    run(main())


def test_a_name_in_use_is_refused_and_free_again_at_its_end(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, _):
            with (
                desk.submit([5], SamplingParams(), rid="a"),
                pytest.raises(InvalidRequestError, match="Duplicate request ID detected: 'a'"),
                desk.submit([5], SamplingParams(), rid="a"),
            ):
                pass
            with desk.submit([5], SamplingParams(), rid="a"):
                pass

    run(main())


def test_late_news_of_an_aborted_request_do_not_reach_the_next_of_its_name(
    open_desk: OpenDesk,
) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            with desk.submit([5], SamplingParams(), rid="a") as old:
                pass
            with desk.submit([5], SamplingParams(), rid="a") as new:
                end.news.put_nowait(Progress(deltas=[Delta(rid=old.submit.rid, tokens=[9])]))
                await asyncio.sleep(0.01)
                assert new.tokens == []

    run(main())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_ids": []}, "the prompt is empty"),
        ({"text": ""}, "the prompt is empty"),
        ({"text": []}, "the batch of prompts is empty"),
        ({}, "give exactly one of"),
        ({"text": "a", "input_ids": [1]}, "give exactly one of"),
        ({"input_ids": [1] * 200}, r"200 tokens\) is longer than the model's context length"),
        ({"input_ids": [600]}, "token id 600 is not in the vocabulary of 600"),
        ({"input_ids": [-1]}, "token id -1"),
        ({"input_ids": [1, [2]]}, "a list of ids, or a list of such lists"),
        ({"input_ids": [[1], 2]}, "a list of ids, or a list of such lists"),
        ({"input_ids": ["a"]}, "malformed"),
        ({"input_ids": [True]}, "malformed"),
        ({"input_ids": [1.5]}, "malformed"),
        ({"text": "a", "rid": 5}, "malformed"),
        ({"text": "a", "rid": ["x"] * 2}, "rid has 2 entries for 1 prompts"),
        ({"text": ["a", "b"], "rid": ["x", "x"]}, "Duplicate request ID"),
        ({"text": ["a", "b"], "sampling_params": [{}]}, "sampling_params has 1 entries for 2"),
        ({"text": "a", "lora_path": "x"}, "lora_path is not supported yet"),
        ({"text": "a", "temprature": 1}, "temprature"),
        ({"text": "a\ud800"}, "surrogate"),
        (
            {"text": "a", "sampling_params": {"max_new_tokens": 201}},
            "Requested token count exceeds the model's maximum context length",
        ),
        ({"input_ids": [1, 2], "return_logprob": True, "logprob_start_len": 3}, "beyond"),
        ({"input_ids": [1, 2], "return_logprob": True, "logprob_start_len": -2}, "or -1"),
        ({"text": "a", "return_logprob": True, "top_logprobs_num": -1}, "top_logprobs_num is -1"),
        ({"text": "a", "return_logprob": True, "top_logprobs_num": 5000}, "between 0 and"),
        ({"text": "a", "return_logprob": True, "token_ids_logprob": [600]}, "token_ids_logprob"),
        ({"text": "a", "return_logprob": True, "token_ids_logprob": [1, [2]]}, "list of ids"),
    ],
)
def test_a_bad_request_is_refused_before_the_scheduler_sees_it(
    fields: dict[str, Any], message: str, open_desk: OpenDesk
) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            with pytest.raises(InvalidRequestError, match=message):
                order(desk, **fields)
            assert end.sent == []

    run(main())


def test_the_pool_and_max_input_tokens_bound_a_prompt_too(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk(max_input_tokens=10) as (desk, _):
            assert desk.max_prompt_tokens == 10
            with pytest.raises(InvalidRequestError, match="11 tokens"):
                order(desk, input_ids=[1] * 11)
        async with open_desk() as (desk, _):
            assert desk.max_prompt_tokens == READY.context_length - 1

    run(main())


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"text": "a", "rid": "r"}, ["r"]),
        ({"text": ["a"], "rid": "r"}, ["r_0"]),
        ({"text": ["a", "b"], "rid": "r"}, ["r_0", "r_1"]),
        ({"text": ["a", "b"], "rid": ["x", "y"]}, ["x", "y"]),
        ({"text": "a", "rid": "r", "sampling_params": {"n": 2}}, ["r_0", "r_1"]),
        (
            {"text": ["a", "b"], "rid": ["x", "y"], "sampling_params": {"n": 2}},
            ["x_0", "x_1", "y_0", "y_1"],
        ),
    ],
)
def test_how_sequences_are_named(
    fields: dict[str, Any], names: list[str], open_desk: OpenDesk
) -> None:
    async def main() -> None:
        async with open_desk() as (desk, _):
            assert [item.rid for item in order(desk, **fields).items] == names

    run(main())


def test_samples_of_one_prompt_are_adjacent_and_have_seeds_of_their_own(
    open_desk: OpenDesk,
) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            fields = {"text": ["a", "b"], "sampling_params": {"n": 3, "sampling_seed": 7}}
            answers = asyncio.create_task(answer_all(end))
            found = await generate(desk, order(desk, **fields))
            answers.cancel()
            assert len(found) == 6
            prompts = [submit.tokens for submit in end.submits()]
            assert prompts == [prompts[0]] * 3 + [prompts[3]] * 3
            assert [submit.seed for submit in end.submits()] == [7, 8, 9] * 2

    run(main())


def test_stop_ids_are_the_models_and_the_requests_unless_eos_is_ignored(
    open_desk: OpenDesk,
) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            for params in ({"stop_token_ids": [9]}, {"stop_token_ids": [9], "ignore_eos": True}):
                with desk.submit([5], sampling_params(params)):
                    pass
            assert [set(submit.stop_ids) for submit in end.submits()] == [{2, 9}, set()]

    run(main())


def test_segments_are_tokenised_each_on_its_own_and_ids_stay(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, _):
            encode = desk.tokenizer.encode
            [item] = order(desk, segments=["The quick", [9, 8], " brown"]).items
            assert item.tokens == [*encode("The quick"), 9, 8, *encode(" brown")]

    run(main())


def test_segments_come_back_with_what_to_send_next(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            [token] = desk.tokenizer.encode(" nobody")
            answers = asyncio.create_task(answer_all(end, token))
            asked = order(desk, segments=["a"], sampling_params={"stop": "body"})
            found: Any = await generate(desk, asked)
            answers.cancel()
            # The length was reached in the same step: the whole token is kept.
            assert (found["meta_info"]["kept_tokens"], found["meta_info"]["tail_text"]) == (1, "")

    run(main())


def test_one_failing_request_of_a_batch_takes_the_others_along(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            work = asyncio.create_task(generate(desk, order(desk, text=["a", "b", "c"])))
            await asyncio.sleep(0.01)
            failed = Finish(type="abort", message="no", status=500)
            second = end.submits()[1]
            end.news.put_nowait(Progress(deltas=[Delta(rid=second.rid, tokens=[], finish=failed)]))
            with pytest.raises(EngineError, match="no"):
                await work
            assert desk.open_requests == 0
            assert sum(isinstance(message, Abort) for message in end.sent) == 2

    run(main())


def test_streams_closed_early_leave_neither_tasks_nor_requests(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            chunks = generate_stream(desk, order(desk, text=["a", "b"]))
            reading = asyncio.create_task(anext(chunks))
            await asyncio.sleep(0.01)
            first = end.submits()[0]
            end.news.put_nowait(Progress(deltas=[Delta(rid=first.rid, tokens=[100])]))
            assert (await reading)["index"] == 0
            tasks = len(asyncio.all_tasks())
            await chunks.aclose()
            assert len(asyncio.all_tasks()) < tasks
            assert desk.open_requests == 0
            assert sum(isinstance(message, Abort) for message in end.sent) == 2

    run(main())


def test_a_stream_in_deltas_holds_only_what_is_new(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            asked = order(desk, text="a", return_logprob=True)
            chunks = generate_stream(desk, asked, incremental=True)
            found: list[Any] = []
            reading = asyncio.create_task(anext(chunks))
            for token, finish in ((100, None), (101, None), (102, ENDED)):
                await asyncio.sleep(0.01)
                [submit] = end.submits()
                delta = Delta(rid=submit.rid, tokens=[token], logprobs=[-1.0], finish=finish)
                end.news.put_nowait(Progress(deltas=[delta]))
                found.append(await reading)
                reading = asyncio.create_task(anext(chunks))  # type: ignore[arg-type]
            with pytest.raises(StopAsyncIteration):
                await reading
            assert [chunk["output_ids"] for chunk in found] == [[100], [101], [102]]
            whole = desk.tokenizer.decode([100, 101, 102])
            assert "".join(chunk["text"] for chunk in found) == whole
            counts = [len(chunk["meta_info"]["output_token_logprobs"]) for chunk in found]
            assert counts == [1, 1, 1]

    run(main())


def test_abort_finds_requests_by_the_beginning_of_their_names(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            with (
                desk.submit([5], SamplingParams(), rid="job-1") as one,
                desk.submit([5], SamplingParams(), rid="job-2") as two,
                desk.submit([5], SamplingParams(), rid="other"),
            ):
                assert desk.abort("job-") == 2
                assert end.sent[3:] == [Abort(rid=one.submit.rid), Abort(rid=two.submit.rid)]
                assert desk.abort(None) == 3

    run(main())


def test_when_the_scheduler_is_gone_all_that_is_open_fails(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            work = [
                asyncio.create_task(generate(desk, order(desk, text=["a", "b"]))),
                asyncio.create_task(desk.state()),
                asyncio.create_task(anext(generate_stream(desk, order(desk, text=["a", "b"])))),  # type: ignore[arg-type]
            ]
            await asyncio.sleep(0.01)
            end.news.put_nowait(Fatal(error="out of memory"))
            for task in work:
                with pytest.raises(EngineClosedError, match="out of memory"):
                    await task
            assert desk.lost.is_set()
            with pytest.raises(EngineClosedError), desk.submit([5], SamplingParams()):
                pass
            with pytest.raises(EngineClosedError):
                await desk.flush_cache()
            assert desk.abort(None) == 0

    run(main())


def test_closing_twice_says_close_once(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, end):
            await desk.close()
            await desk.close()
            assert end.sent == [Close()]

    run(main())


def test_a_scheduler_that_cannot_start_fails_the_start() -> None:
    async def main() -> None:
        from radixlm.runtime.config import EngineConfig

        end = End()
        desk = Desk(end, EngineConfig())  # type: ignore[arg-type]
        end.news.put_nowait(Fatal(error="no weights in /x"))
        with pytest.raises(ModelLoadError, match="no weights in /x"):
            await desk.start(lambda: None)  # type: ignore[arg-type,return-value]
        await desk.close()

    run(main())


def test_what_cannot_be_sent_is_refused_and_leaves_nothing(open_desk: OpenDesk) -> None:
    from radixlm.runtime.ipc import _encoder

    async def main() -> None:
        async with open_desk() as (desk, end):
            send = end.send
            end.send = lambda message: send(_encoder.encode(message) and message)  # type: ignore[method-assign]
            for bad in ({"sampling": SamplingParams(stop=("\ud800",))}, {"priority": 1 << 70}):
                fields: dict[str, Any] = {"sampling": SamplingParams(), "rid": "a", **bad}
                with (
                    pytest.raises(InvalidRequestError, match="cannot be sent on"),
                    desk.submit([5], **fields),
                ):
                    pass
            assert desk.open_requests == 0
            with desk.submit([5], SamplingParams(), rid="a"):
                pass

    run(main())


def test_requests_without_a_seed_follow_the_engines(open_desk: OpenDesk) -> None:
    async def seeds(**settings: Any) -> list[int]:
        async with open_desk(**settings) as (desk, _):
            return [desk.seed(SamplingParams()) for _ in range(3)]

    first = run(seeds(random_seed=1))
    assert first == run(seeds(random_seed=1)) != run(seeds(random_seed=2))


def test_logprob_requests_pass_on_what_was_asked(open_desk: OpenDesk) -> None:
    async def main() -> None:
        async with open_desk() as (desk, _):
            asked = order(
                desk,
                input_ids=[[5, 6], [7]],
                return_logprob=[True, False],
                logprob_start_len=[1, -1],
                top_logprobs_num=2,
                token_ids_logprob=[[3], [4]],
            )
            assert [item.logprobs for item in asked.items] == [
                LogprobRequest(start=1, top=2, token_ids=(3,)),
                None,
            ]

    run(main())
