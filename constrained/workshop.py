"""Whoever compiles for this process: one that can be ended; `workshop_process.py` is its inside."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from . import orders
from .child import Child
from .orders import Notice, Order, Setup

__all__ = ["Workshop"]

START_S = 120.0  # until it reads what it is told; it imports torch first, on a machine that is busy
FOR_EVER_S = 1e6

Notify = Callable[[Notice | None], None]


class Workshop:
    """The process, started by the first order and again after it has ended.

    Thread-safe; nothing here waits for the process.
    """

    def __init__(self, setup: Setup, notify: Notify) -> None:
        """Start nothing yet.

        Args:
            setup: what it is told at its start.
            notify: is called with each notice, on one thread; with None when the process has
                ended, and all that was ordered is lost.
        """
        self._setup = orders.encode(setup)
        self._notify = notify
        self._child: Child | None = None
        self._changing = threading.Lock()  # held to replace `_child`, and while writing to it
        self._is_closed = False
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        threading.Thread(target=self._send_all, name="grammar-orders", daemon=True).start()

    def send(self, order: Order) -> None:
        """Give an order."""
        self._orders.put(order)

    def close(self) -> None:
        """End the process; nobody is notified of that."""
        self._is_closed = True
        self._orders.put(None)
        if (child := self._child) is not None:
            child.kill()

    def _send_all(self) -> None:
        while (order := self._orders.get()) is not None:
            with self._changing:
                child = self._child
                try:
                    if child is None:
                        child = self._start()
                    child.send(orders.encode(order), START_S)
                except (EOFError, TimeoutError):
                    assert child is not None
                    child.kill()  # of which `_receive_all` tells
                except OSError:  # there is no other process to be had
                    self._notify(None)

    def _start(self) -> Child:
        child = self._child = Child.of_module(f"{__package__}.workshop_process")
        thread = threading.Thread(
            target=self._receive_all, args=(child,), name="grammar-notices", daemon=True
        )
        thread.start()
        if self._is_closed:
            child.kill()
        child.send(self._setup, START_S)
        return child

    def _receive_all(self, child: Child) -> None:
        while True:
            try:
                data = child.receive(FOR_EVER_S)
            except (EOFError, TimeoutError):
                break
            self._notify(orders.decode(data, Notice))  # type: ignore[arg-type]
        child.kill()
        with self._changing:
            self._child = None
            child.end()
        if not self._is_closed:
            self._notify(None)
