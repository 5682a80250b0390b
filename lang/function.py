"""`@function`: programs that can be run, streamed and batched."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any

import msgspec

from ..ir.loop import wait
from ..ir.machine import Execution
from ..ir.nodes import Sampling
from ..ir.strand import Listener, Strand
from .backends.default import ProgramBackend, current_backend, using
from .body import Body, compiled_body, in_thread, reported
from .config import global_config
from .settings import sampling_of
from .state import ProgramState

if TYPE_CHECKING:
    from ..ir.program import Program
    from .check import Estimate, Report
    from .check.tokens import Tokenizer
    from .compiler import Compiled
    from .trace import Trace


class Function:
    """A program: a Python function whose first parameter, `s`, is the state it builds.

    Calling it inside another program runs it on its own, on that program's backend.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        bound: dict[str, Any] | None = None,
        num_api_spec_tokens: int | None = None,
    ) -> None:
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
        self.__name__ = func.__name__
        self.func = func
        self.signature = signature
        self.arg_names = names[1:]
        self.bound = bound or {}
        self.num_api_spec_tokens = num_api_spec_tokens
        self._latest: Compiled | None = None
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
        return Function(self.func, {**self.bound, **arguments}, self.num_api_spec_tokens)

    def compile(self) -> Compiled:
        """Return the compiled form, or why there is none. Nothing is executed.

        Cached until a global or closure variable that went into it changes.
        """
        from .compiler import compile_function  # most programs of a script run as they are

        if self._latest is None or not self._latest.is_current():
            self._latest = compile_function(self)
        return self._latest

    def trace(self, *, backend: Any = None, **arguments: Any) -> Trace:
        """Return the program's statements and the text that it begins with. Nothing is executed.

        Args:
            backend: accepted for SGLang's sake; what a program says does not depend on it.
            **arguments: those that are known.

        Raises:
            CompileError: the function does not compile.
        """
        from .prefix import beginning
        from .trace import Trace

        program = self._program()
        known = {**self.bound, **arguments}
        unknown = [name for name in self.arg_names if name not in known]
        self._check((), {**dict.fromkeys(unknown), **arguments})
        return Trace.of(program, beginning(program, known))

    def cache(self, backend: Any = None) -> None:
        """Compute the text that the program begins with, so that its runs find it in the cache.

        Arguments count as far as `bind` has fixed them.

        Raises:
            CompileError: the function does not compile.
            BackendError: the backend failed.
        """
        from .prefix import beginning, compute

        statements = beginning(self._program(), self.bound)
        chosen = current_backend(backend)

        async def work() -> None:
            execution = await compute(chosen, statements)
            await execution.release()

        if statements:
            wait(work())

    def _program(self) -> Program:
        compiled = self.compile()
        if compiled.program is None:
            assert compiled.reason is not None
            raise compiled.reason
        return compiled.program

    def explain(self) -> str:
        """Return the source with where each line runs (server, host, eager), then the program."""
        from .compiler import explain

        return explain(self.compile(), self.func.__name__)

    def check(
        self,
        *args: Any,
        tokenizer: Tokenizer | None = None,
        context_length: int | None = None,
        **kwargs: Any,
    ) -> Report:
        """Look for faults before any token; nothing is executed, and no model is needed.

        Args:
            *args: arguments after `s`, all, some or none: what they decide is looked at too.
            tokenizer: the model's, for what depends on tokens; an engine's, or transformers'.
            context_length: the model's, in tokens: sequences that do not fit are found.
            **kwargs: arguments by name.

        Raises:
            TypeError: an argument that the function does not have.
        """
        from .check import check_function  # few programs need it

        given = self._given(args, kwargs)
        return check_function(self, given, tokenizer=tokenizer, context_length=context_length)

    def estimate(
        self,
        *args: Any,
        tokenizer: Tokenizer | None = None,
        batch: int = 1,
        **kwargs: Any,
    ) -> Estimate:
        """Say what a run costs, in ranges of tokens; nothing is executed.

        Sampling parameters are those of the gens, else the defaults of `run`. What is cached is
        counted from an empty cache.

        Args:
            *args: arguments after `s`; what is left open may be any text.
            tokenizer: the model's; without it a token is taken to have four characters.
            batch: how many runs share a cache.
            **kwargs: arguments by name.

        Raises:
            TypeError: an argument that the function does not have.
            ValueError: a batch of no runs.
        """
        from .check import estimate_function  # few programs need it

        given = self._given(args, kwargs)
        return estimate_function(self, given, tokenizer=tokenizer, batch=batch)

    def _given(self, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments that are known, by name; some may be missing."""
        try:
            found = self.signature.bind_partial(None, *args, **{**self.bound, **kwargs})
        except TypeError as error:
            raise TypeError(f"{self.func.__name__}() {error}") from None
        given = dict(found.arguments)
        del given["s"]
        return given

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
        stop_regex: str | Sequence[str] | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = -1,
        min_p: float = 0.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        ignore_eos: bool = False,
        return_logprob: bool | None = None,
        logprob_start_len: int | None = None,
        top_logprobs_num: int | None = None,
        return_text_in_logprobs: bool | None = None,
        sampling_seed: int | None = None,
        stream: bool = False,
        backend: Any = None,
        use_thread: bool = True,
        compiled: bool | None = None,
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
            stop_regex: see `gen`.
            temperature: see `gen`.
            top_p: see `gen`.
            top_k: see `gen`.
            min_p: see `gen`.
            frequency_penalty: see `gen`.
            presence_penalty: see `gen`.
            ignore_eos: see `gen`.
            return_logprob: see `gen`.
            logprob_start_len: see `gen`.
            top_logprobs_num: see `gen`.
            return_text_in_logprobs: see `gen`.
            sampling_seed: see `gen`.
            stream: the state's `text_iter` and `text_async_iter` give text as it comes.
            backend: where it runs; else the caller's, `set_default_backend`'s, the shipped model.
            use_thread: `False` waits for each statement and raises its error at once.
            compiled: `True` runs the compiled form, and fails where there is none; `False` runs the
                function itself. By default a server gets the compiled form, whole, if there is one
                and JSON can carry the arguments; elsewhere the function itself runs.
            **kwargs: the function's arguments by name.

        Raises:
            Exception: whatever the body raises, and what it meets when it reads.
        """
        settings = {
            "max_new_tokens": max_new_tokens,
            "n": n,
            "stop": stop,
            "stop_token_ids": stop_token_ids,
            "stop_regex": stop_regex,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "min_p": min_p,
            "frequency_penalty": frequency_penalty,
            "presence_penalty": presence_penalty,
            "ignore_eos": ignore_eos,
            "return_logprob": return_logprob,
            "logprob_start_len": logprob_start_len,
            "top_logprobs_num": top_logprobs_num,
            "return_text_in_logprobs": return_text_in_logprobs,
            "sampling_seed": sampling_seed,
            "backend": backend,
            "use_thread": use_thread,
            "compiled": compiled,
        }
        state, body = self.begin(args, kwargs, settings, streams=stream)
        if stream:
            body.start()
        else:
            body.run()
        return state

    async def arun(self, *args: Any, stream: bool = False, **kwargs: Any) -> ProgramState:
        """`run` for coroutines on any event loop; takes the same arguments.

        Returns when the whole program has ended, generations included; with `stream`, at once.

        Raises:
            Exception: whatever the body raises, or what stopped the program.
        """
        settings = {name: kwargs.pop(name) for name in _SETTINGS & kwargs.keys()}
        begin = partial(self.begin, args, kwargs, settings, streams=stream)
        state, body = await asyncio.to_thread(begin)  # it may load the shipped model
        ended = body.start()
        if stream:
            return state
        try:
            await asyncio.wrap_future(ended)
            await asyncio.wrap_future(state.strand.done)
        except asyncio.CancelledError as error:
            state.strand.cancel(error)
            raise
        if state.strand.error is not None:
            raise state.strand.error
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
        from .batch import Batch

        unknown = sorted(set(settings) - _SETTINGS)  # `backend` has a parameter of its own
        if unknown:
            raise TypeError(f"run_batch() has no argument {', '.join(unknown)}")
        batch = [self._arguments(given) for given in batch_kwargs]
        chosen = settings["backend"] = current_backend(backend)
        states = Batch.of(
            self,
            batch,
            chosen,
            settings,
            num_threads=num_threads,
            is_chunked=generator_style,
            progress_bar=progress_bar,
        ).run()
        return states if generator_style else list(states)

    def tasks(
        self, part: Sequence[dict[str, Any]], settings: dict[str, Any]
    ) -> list[tuple[ProgramState, Body]] | None:
        """Begin compiled programs, which need no thread; None if one of them runs eagerly."""
        backend, defaults = current_backend(settings["backend"]), _defaults(settings)
        begun: list[tuple[Compiled, dict[str, Any]]] = []
        for arguments in part:
            given = {**self.bound, **arguments}
            compiled = self._compiled_for(backend, given, settings)
            if compiled is None:
                return None
            begun.append((compiled, given))
        return [
            compiled_body(form, self._speculating(backend), given, defaults)
            for form, given in begun
        ]

    def _speculating(self, backend: ProgramBackend) -> ProgramBackend:
        if self.num_api_spec_tokens is None:
            return backend
        from .backends.speculation import speculating

        return speculating(backend, self.num_api_spec_tokens)

    def _arguments(self, given: dict[str, Any] | Sequence[Any]) -> dict[str, Any]:
        if isinstance(given, dict):
            self._check((), given)
            return given
        free = [name for name in self.arg_names if name not in self.bound]
        if len(given) != len(free):
            raise TypeError(
                f"{len(given)} arguments in a batch item, but {self.func.__name__}() takes "
                f"{len(free)}: {', '.join(free)}"
            )
        return dict(zip(free, given, strict=True))

    def _check(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        try:
            self.signature.bind(None, *args, **{**self.bound, **kwargs})
        except TypeError as error:
            raise TypeError(f"{self.func.__name__}() {error}") from None

    def begin(
        self,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        settings: dict[str, Any],
        *,
        streams: bool = False,
    ) -> tuple[ProgramState, Body]:
        """Make the state of a run, and the body as something to run."""
        self._check(args, kwargs)
        backend = current_backend(settings.get("backend"))
        defaults = _defaults(settings)
        strict = not settings.get("use_thread", True)
        free = [name for name in self.arg_names if name not in self.bound]
        arguments = {**self.bound, **dict(zip(free, args, strict=False)), **kwargs}
        compiled = self._compiled_for(backend, arguments, settings)
        place = self._speculating(backend)
        if compiled is not None:
            return compiled_body(compiled, place, arguments, defaults, streams=streams)

        async def start(listener: Listener | None) -> Execution:
            return await Execution.start(await place.ready(), defaults=defaults, listener=listener)

        strand = Strand(start, streams=streams, strict=strict)
        state = ProgramState(strand)

        def body() -> None:
            strand.writer = threading.get_ident()
            try:
                with using(backend):
                    state.ret_value = self.func(state, *args, **{**self.bound, **kwargs})
            except BaseException as error:
                strand.cancel(error)
                raise
            strand.end()

        return reported(state), Body(body, partial(in_thread, body))

    def _compiled_for(
        self, backend: ProgramBackend, arguments: dict[str, Any], settings: dict[str, Any]
    ) -> Compiled | None:
        """The compiled form, if it is to run."""
        wanted = settings.get("compiled")
        if wanted is False or not settings.get("use_thread", True):
            return None
        is_server = getattr(backend, "runs_programs", False)
        if wanted is None and not is_server:
            return None
        compiled = self.compile()
        if compiled.program is None:
            if wanted and compiled.reason is not None:
                raise compiled.reason
            return None
        if is_server:
            from ..ir.wire import pack

            try:
                pack({k: v for k, v in arguments.items() if k not in compiled.shown.parameters})
            except TypeError as error:
                if wanted:
                    raise TypeError(f"an argument of {self.func.__name__}(): {error}") from None
                return None
        return compiled


_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(Function.run).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "stream"
}
_SETTINGS = frozenset(_DEFAULTS)


def _defaults(settings: dict[str, Any]) -> Sampling:
    said = sampling_of({**_DEFAULTS, **settings})
    if global_config.skip_special_tokens_in_output:
        return said
    return msgspec.structs.replace(
        said,
        skip_special_tokens=False,
        spaces_between_special_tokens=global_config.spaces_between_special_tokens_in_out,
    )


def function(func: Callable[..., Any] | None = None, num_api_spec_tokens: int | None = None) -> Any:
    """Make a program of a Python function whose first parameter is called `s`.

    Args:
        func: the function; `@function` and `@function()` both work.
        num_api_spec_tokens: on a service's completion model, how many tokens a call asks for at
            least; what a gen does not need serves the next ones (`backends/speculation.py`).
    """
    if func is not None:
        return Function(func, None, num_api_spec_tokens)
    return partial(Function, num_api_spec_tokens=num_api_spec_tokens)
