"""`@function`: programs that can be run, streamed and batched."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial, update_wrapper
from typing import Any

from ..ir.machine import Execution
from ..ir.nodes import Sampling
from .backends.default import current_backend, using
from .state import ProgramState
from .strand import Listener, Strand

GENERATOR_CHUNK = 200  # programs that `generator_style` starts at a time
MIN_THREADS, THREADS_PER_CPU = 96, 16  # of `num_threads="auto"`


class Function:
    """A program: a Python function whose first parameter, `s`, is the state it builds.

    Calling it inside another program runs it on its own, on that program's backend.
    """

    def __init__(self, func: Callable[..., Any], bound: dict[str, Any] | None = None) -> None:
        signature = inspect.signature(func)
        names = list(signature.parameters)
        if not names or names[0] != "s":
            raise AssertionError(
                f"the first parameter of {func.__name__!r} must be called 's', "
                f"not {names[0] if names else 'nothing'!r}: it receives the program's state"
            )
        if inspect.iscoroutinefunction(func):
            raise TypeError(
                f"{func.__name__!r} is async; write a plain def: its statements never block, "
                "and `await f.arun(...)` runs it"
            )
        self.func = func
        self.arg_names = names[1:]
        self.bound = bound or {}
        update_wrapper(self, func)

    def bind(self, **arguments: Any) -> Function:
        """Return the program with some arguments fixed.

        Raises:
            TypeError: an argument that the function does not have.
        """
        unknown = sorted(set(arguments) - set(self.arg_names))
        if unknown:
            raise TypeError(
                f"{self.func.__name__}() has no argument {', '.join(unknown)}; "
                f"it has {', '.join(self.arg_names)}"
            )
        return Function(self.func, {**self.bound, **arguments})

    def __call__(self, *args: Any, **kwargs: Any) -> ProgramState:
        """`run`, as one calls a function."""
        return self.run(*args, **kwargs)

    def run(
        self,
        *args: Any,
        max_new_tokens: int = 128,
        n: int = 1,
        stop: str | Sequence[str] | None = None,
        stop_token_ids: Sequence[int] | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = -1,
        min_p: float = 0.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        ignore_eos: bool = False,
        sampling_seed: int | None = None,
        stream: bool = False,
        backend: Any = None,
        use_thread: bool = True,
        **kwargs: Any,
    ) -> ProgramState:
        """Run the program; the named parameters are the defaults of its gens.

        Returns when the function's body has ended; its generations may still be running, and
        reading the state waits for them. With `stream`, returns at once.

        Args:
            *args: the function's arguments after `s`.
            max_new_tokens: default of every gen; so are the parameters down to `sampling_seed`.
            n: see `gen`.
            stop: see `gen`.
            stop_token_ids: see `gen`.
            temperature: see `gen`.
            top_p: see `gen`.
            top_k: see `gen`.
            min_p: see `gen`.
            frequency_penalty: see `gen`.
            presence_penalty: see `gen`.
            ignore_eos: see `gen`.
            sampling_seed: see `gen`.
            stream: the state's `text_iter` and `text_async_iter` give text as it comes.
            backend: where it runs; else the caller's, `set_default_backend`'s, the shipped model.
            use_thread: `False` waits for each statement and raises its error at once.
            **kwargs: the function's arguments by name.

        Raises:
            Exception: whatever the body raises, and what it meets when it reads.
        """
        defaults = _defaults(
            max_new_tokens=max_new_tokens,
            n=n,
            stop=stop,
            stop_token_ids=stop_token_ids,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            min_p=min_p,
            frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty,
            ignore_eos=ignore_eos,
            sampling_seed=sampling_seed,
        )
        run = partial(self._begin, defaults, current_backend(backend), args, kwargs)
        state, body = run(streams=stream, strict=not use_thread)
        if stream:
            context = contextvars.copy_context()
            threading.Thread(
                target=lambda: context.run(_quietly, body), name="radixlm-program", daemon=True
            ).start()
        else:
            body()
        return state

    async def arun(self, *args: Any, stream: bool = False, **kwargs: Any) -> ProgramState:
        """`run` for coroutines on any event loop; takes the same arguments.

        Returns when the whole program has ended, generations included; with `stream`, at once.

        Raises:
            Exception: whatever the body raises, or what stopped the program.
        """
        start = partial(self.run, *args, stream=stream, **kwargs)
        if stream:
            return start()
        state = await asyncio.to_thread(start)
        await asyncio.to_thread(state.sync)
        if (error := state.error()) is not None:
            raise error
        return state

    def run_batch(
        self,
        batch_kwargs: Sequence[dict[str, Any] | Sequence[Any]],
        *,
        backend: Any = None,
        num_threads: int | str = "auto",
        progress_bar: bool = False,
        generator_style: bool = False,
        **settings: Any,
    ) -> list[ProgramState] | Iterator[ProgramState]:
        """Run the program once for each set of arguments, concurrently; results keep the order.

        Args:
            batch_kwargs: a dict of arguments for each run, or a tuple by position.
            backend: as in `run`.
            num_threads: bodies that run at a time.
            progress_bar: one tick for each program that has ended.
            generator_style: return an iterator, which starts the programs in chunks as it goes.
            **settings: sampling defaults, as in `run`.

        Returns:
            A state for each; one whose program stopped has its `error()`.

        Raises:
            TypeError: a set of arguments that does not fit the function.
            Exception: whatever a body raises.
        """
        unknown = sorted(set(settings) - _SETTINGS)
        if unknown:
            raise TypeError(f"run_batch() has no argument {', '.join(unknown)}")
        batch = [self._arguments(given) for given in batch_kwargs]
        chosen = current_backend(backend)
        cores = os.cpu_count() or 1
        threads = (
            max(MIN_THREADS, THREADS_PER_CPU * cores) if num_threads == "auto" else num_threads
        )
        run = partial(
            self._run_all, settings=settings, backend=chosen, threads=min(int(threads), len(batch))
        )
        if generator_style:
            chunks = [batch[i : i + GENERATOR_CHUNK] for i in range(0, len(batch), GENERATOR_CHUNK)]
            return (state for chunk in chunks for state in run(chunk))
        if not progress_bar:
            return run(batch)
        from tqdm.auto import tqdm

        with tqdm(total=len(batch), desc=self.func.__name__, unit="program") as bar:
            return run(batch, tick=bar.update)

    def _run_all(
        self,
        batch: Sequence[dict[str, Any]],
        *,
        settings: dict[str, Any],
        backend: Any,
        threads: int,
        tick: Callable[[], Any] | None = None,
    ) -> list[ProgramState]:
        def one(arguments: dict[str, Any]) -> ProgramState:
            state = self.run(backend=backend, **settings, **arguments)
            state.sync()
            if tick is not None:
                tick()
            return state

        if threads <= 1:
            return [one(arguments) for arguments in batch]
        with ThreadPoolExecutor(threads, thread_name_prefix="radixlm-batch") as pool:
            return list(pool.map(one, batch))

    def _arguments(self, given: dict[str, Any] | Sequence[Any]) -> dict[str, Any]:
        if isinstance(given, dict):
            return given
        free = [name for name in self.arg_names if name not in self.bound]
        if len(given) != len(free):
            raise TypeError(
                f"{len(given)} arguments in a batch item, but {self.func.__name__}() takes "
                f"{len(free)}: {', '.join(free)}"
            )
        return dict(zip(free, given, strict=True))

    def _begin(
        self,
        defaults: Sampling,
        backend: Any,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        *,
        streams: bool,
        strict: bool,
    ) -> tuple[ProgramState, Callable[[], None]]:
        """Make the state, and the body as something to call."""
        inspect.signature(self.func).bind(None, *args, **{**self.bound, **kwargs})

        async def start(listener: Listener | None) -> Execution:
            return await Execution.start(
                await backend.ready(), defaults=defaults, listener=listener
            )

        strand = Strand(start, streams=streams, strict=strict)
        state = ProgramState(strand)

        def body() -> None:
            try:
                with using(backend):
                    state.ret_value = self.func(state, *args, **{**self.bound, **kwargs})
            except BaseException as error:
                strand.cancel(error)
                raise
            strand.end()

        return state, body


_SETTINGS = frozenset(
    name
    for name, parameter in inspect.signature(Function.run).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
) - {"stream", "backend"}


def _quietly(body: Callable[[], None]) -> None:
    """Run a body whose caller is gone: the state carries the error to whoever reads it."""
    with suppress(Exception):
        body()


def _defaults(**said: Any) -> Sampling:
    for name in ("stop", "stop_token_ids"):
        value: str | Iterable[Any] | None = said[name]
        said[name] = (value,) if isinstance(value, str) else tuple(value or ())
    return Sampling(**said)


def function(func: Callable[..., Any] | None = None, num_api_spec_tokens: int | None = None) -> Any:
    """Make a program of a Python function whose first parameter is called `s`.

    Args:
        func: the function; `@function` and `@function()` both work.
        num_api_spec_tokens: accepted for SGLang's sake; token-exact backends do not need it.
    """
    if func is not None:
        return Function(func)
    return Function
