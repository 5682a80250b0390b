import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from radixlm.ir import loop

SRC = Path(__file__).parents[2] / "src"


async def where() -> str:
    return threading.current_thread().name


async def fail() -> None:
    raise LookupError("no")


class Numbers:
    """A generator that tells when it was closed."""

    def __init__(self, *, endless: bool = False) -> None:
        self.closed = threading.Event()
        self.endless = endless

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(3):
                yield number
            if self.endless:
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # cleaning up may take turns of the loop
            self.closed.set()


def test_wait_runs_on_the_private_loop() -> None:
    assert loop.wait(where()) == "radixlm-loop"
    assert loop.background_loop() is loop.background_loop()


def test_wait_raises_what_the_coroutine_raises() -> None:
    with pytest.raises(LookupError, match="no"):
        loop.wait(fail())


def test_wait_works_in_threads_and_below_a_running_loop() -> None:
    async def main() -> tuple[str, str]:
        return loop.wait(where()), await asyncio.to_thread(loop.wait, where())

    assert asyncio.run(main()) == ("radixlm-loop", "radixlm-loop")


def test_wait_on_the_private_loop_itself_is_refused_instead_of_hanging() -> None:
    async def main() -> None:
        loop.wait(where())

    with pytest.raises(RuntimeError, match="use its async twin"):
        loop.wait(main())


def test_bridge_runs_there_from_any_loop_and_from_itself() -> None:
    async def twice() -> str:
        return await loop.bridge(where())

    assert asyncio.run(twice()) == "radixlm-loop"
    assert loop.wait(twice()) == "radixlm-loop"


def test_bridge_passes_errors_and_cancelling_on() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def main() -> None:
        with pytest.raises(LookupError):
            await loop.bridge(fail())
        task = asyncio.create_task(loop.bridge(forever()))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended.wait(5)


def test_iterate_gives_every_item_and_closes() -> None:
    numbers = Numbers()
    assert list(loop.iterate(numbers.items())) == [0, 1, 2]
    assert numbers.closed.is_set()


def test_leaving_an_iteration_early_closes_the_generator() -> None:
    numbers = Numbers()
    for _ in loop.iterate(numbers.items()):
        break
    assert numbers.closed.is_set()


def test_iterate_async_gives_every_item_and_closes_early_too() -> None:
    async def main() -> tuple[list[int], bool]:
        all_of_them = [number async for number in loop.iterate_async(Numbers().items())]
        numbers = Numbers()
        iteration = loop.iterate_async(numbers.items())
        await anext(iteration)
        await iteration.aclose()
        return all_of_them, numbers.closed.is_set()

    assert asyncio.run(main()) == ([0, 1, 2], True)


def test_cancelling_while_an_item_is_awaited_closes_the_generator() -> None:
    numbers = Numbers(endless=True)

    async def main() -> None:
        third = asyncio.Event()

        async def read() -> None:
            async for number in loop.iterate_async(numbers.items()):
                if number == 2:
                    third.set()

        task = asyncio.create_task(read())
        await third.wait()
        await asyncio.sleep(0)  # into the wait for the item that never comes
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert numbers.closed.is_set()


def test_an_iteration_left_open_does_not_keep_the_interpreter_from_ending() -> None:
    program = """
from radixlm.ir import loop
async def numbers():
    yield 1
    yield 2
iteration = loop.iterate(numbers())
print(next(iteration))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(SRC)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == b"1\n"
    assert done.stderr == b""


def test_a_forked_process_gets_a_loop_of_its_own() -> None:
    program = """
import os
from radixlm.ir import loop
async def pid():
    return os.getpid()
loop.wait(pid())
child = os.fork()
if child == 0:
    os._exit(0 if loop.wait(pid()) == os.getpid() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(SRC)}, timeout=60, check=True
    )
