"""The process that compiles grammars, so that no stranger's grammar holds up who serves.

What a grammar takes cannot be told before: a few kilobytes can hold Python for seconds, or native
code for minutes and gigabytes. This process computes nothing itself: its hands do (`hand.py`),
which it can end. Every grammar begins in the first lane, where turns are short. What is not done
by the end of its turn begins anew in the next lane, at last in one of the least priority; so an
ordinary grammar waits behind a hostile one for a short turn only. Turns are of computing: on a
busy machine an ordinary grammar must not be taken for a slow one. What is dear to compile is kept
on disk (`store.py`).

Orders come in on standard input, in frames as in `child.py`, and notices go out. The process
leaves when its input ends.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

from . import orders
from .child import put
from .compiler import load_backend
from .hand import Ended, Hand, Work
from .lowered import Refusal
from .orders import Cancel, Compile, Done, Limits, Notice, Order, Prepare, Setup, Started
from .spec import Kind
from .store import Store
from .vocab import Vocabulary

__all__ = ["Lane", "Lanes", "main"]

PATIENCE = 5  # so many times longer than it may compute a hand may take
NICE = 5, 10, 19  # of the hands, lane by lane
DEAR_S = 0.05  # what takes less is not worth a file
MAX_IDLE_BYTES = 1 << 30  # a hand that has had as much gives it back by ending

Say = Callable[[Notice], None]


class Lane:
    """One hand, and the orders that wait for it."""

    def __init__(
        self,
        hand: Hand,
        limits: Limits,
        patience_s: float,
        say: Say,
        finish: Callable[[Compile, Work | None], None],
    ) -> None:
        """Make it idle.

        Args:
            hand: that works here.
            limits: the hand's.
            patience_s: after which it is ended, whether or not it has computed.
            say: is told what is begun.
            finish: is told what came of each order; None: nothing within the limit.
        """
        self._hand = hand
        self._limits = limits
        self._patience_s = patience_s
        self._say = say
        self._finish = finish
        self._waiting: dict[int, Compile] = {}
        self._arrived = asyncio.Event()
        self._current: int | None = None

    def put(self, order: Compile) -> None:
        """Let an order wait its turn."""
        self._waiting[order.id] = order
        self._arrived.set()

    def cancel(self, id: int) -> None:
        """Drop an order, if it is here."""
        self._waiting.pop(id, None)
        if id == self._current:
            self._current = None
            self._hand.kill()

    def renew(self) -> None:
        """Let the next order begin with a fresh hand, unless this one is at work."""
        if self._current is None:
            self._hand.kill()

    def end(self) -> None:
        """End the hand."""
        self._hand.kill()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            order = self._waiting.pop(next(iter(self._waiting)))
            self._current = order.id
            self._say(Started(order.id))
            work = await self._done(order)
            is_wanted, self._current = self._current is not None, None
            if is_wanted:
                self._finish(order, work)

    async def _done(self, order: Compile) -> Work | None:
        try:
            work = await asyncio.wait_for(self._hand.compile(order.spec), self._patience_s)
        except TimeoutError:
            self._hand.kill()
            return None
        except Ended as end:
            if end.is_out_of_time:
                return None
            refusal = Refusal.of_limit(self._limits.memory_reason(), order.spec.kind)
            return Work(refusal, 0, 0, is_over_limit=True)
        if work.peak_bytes > MAX_IDLE_BYTES:
            self._hand.kill()
        return work


class Lanes:
    """The lanes, the first with the shortest turns, and the disk before them."""

    def __init__(self, setup: Setup, say: Say) -> None:
        """Load all that the hands will need."""
        vocabulary = Vocabulary(setup.tokens, frozenset(setup.stop_ids), setup.special)
        self._backend = load_backend(setup.backend, vocabulary)
        self._say = say
        self._store: Store | None = None
        if setup.folder is not None:
            folder = Path(setup.folder)
            self._store = Store(folder, vocabulary, setup.backend, max_bytes=setup.folder_bytes)
        self._limits = limits = setup.limits
        self.all: list[Lane] = []
        turns_s = limits.first_s, limits.turn_s, limits.slow_s
        for number, (turn_s, nice) in enumerate(zip(turns_s, NICE, strict=True)):
            hand = Hand(self._backend, limits, cpu_s=turn_s, nice=nice)
            after = partial(self._after_turn, number)
            self.all.append(Lane(hand, limits, PATIENCE * turn_s, say, after))

    def take(self, order: Order) -> None:
        """Carry out an order."""
        match order:
            case Compile(id=id, spec=spec):
                known = None if self._store is None else self._store.get(spec)
                if known is not None:
                    self._say(Done(id, known, is_from_disk=True))
                    return
                self._prepare(spec.kind)
                self.all[0].put(order)
            case Cancel(id=id):
                for lane in self.all:
                    lane.cancel(id)
            case Prepare():
                for kind in get_args(Kind):
                    self._prepare(kind)

    def _prepare(self, kind: Kind) -> None:
        """Load what a kind needs, which takes seconds the first time."""
        if self._backend.prepare(kind):  # forks from before have not what it made
            for lane in self.all:
                lane.renew()

    def _after_turn(self, number: int, order: Compile, work: Work | None) -> None:
        if work is None and number + 1 < len(self.all):
            self.all[number + 1].put(order)
        else:
            self._after_all(order, work)

    def _after_all(self, order: Compile, work: Work | None) -> None:
        if work is None:
            reason = f"it takes more than {self._limits.slow_s:g} s of computing to compile"
            work = Work(Refusal.of_limit(reason, order.spec.kind), 0, 0, is_over_limit=True)
        self._say(Done(order.id, work.result, is_over_limit=work.is_over_limit))
        # Another machine, or this one on another day, may have what there was too little of.
        if self._store is not None and work.took_s >= DEAR_S and not work.is_over_limit:
            self._store.put(order.spec, work.result)


async def serve(source: int, say: Say) -> None:
    """Follow orders until they end.

    Args:
        source: descriptor of a pipe.
        say: is told the notices.
    """
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(source, "rb", buffering=0)
    )
    lanes = Lanes(orders.decode(await _frame(reader), Setup), say)
    gc.collect()
    gc.freeze()  # what is loaded is shared with the forks, and a collection would write to it
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(lane.run()) for lane in lanes.all]
            try:
                while True:
                    order: Order = orders.decode(await _frame(reader), Order)  # type: ignore[arg-type]
                    lanes.take(order)
            except asyncio.IncompleteReadError:  # whom this process works for has left
                for task in tasks:
                    task.cancel()
    finally:
        for lane in lanes.all:
            lane.end()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(8), "big"))


def main() -> None:
    """Serve standard input."""
    out = sys.stdout.buffer
    asyncio.run(serve(sys.stdin.fileno(), lambda notice: put(out, orders.encode(notice))))


if __name__ == "__main__":
    main()
