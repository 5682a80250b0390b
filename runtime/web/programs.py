"""The routes of whole programs.

`PUT /programs` remembers one and answers with its hash; `GET /programs/{hash}` gives it back.
`POST /programs/run` runs one, sent whole or named by its hash, for one set of arguments or a list.

With `stream`, events come as they happen: `text` (with the variable it belongs to), `variable`,
`call`, and at last `end`. A `call` asks the client to call one of its own functions: the program
waits, and what it has computed stays, until the client posts the result to
`POST /programs/calls/{id}`. An event stream with a resume call was chosen over a WebSocket: it
passes every proxy and needs no second protocol.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from ...ir.errors import EXCEPTIONS
from ...ir.images import reference
from ...ir.machine import Piece
from ...ir.nodes import Sampling
from ...ir.program import Program, to_json
from ...ir.wire import pack, unpack
from ..desk.programs import Failure, Outcome, ProgramRun, Programs, read_program
from ..desk.sequences import DeskBackend
from ..errors import InvalidRequestError, NotFoundError
from ..request import sampling_params
from .errors import native_body, read_body, read_json, retry_after
from .native import desk_of
from .sse import EventStream

routes = web.RouteTableDef()

MAX_BATCH = 4_096  # sets of arguments in one request
CALL_TIMEOUT_S = 600.0


class RunRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /programs/run`: a `program` or its `hash`.

    Attributes:
        args: arguments by name; a list of them runs the program once for each, side by side.
        sampling: defaults of every `gen`; names are those of `sampling_params`.
        images: data URLs of what the program shows, by their references (`ir.images.reference`).
        exact: values are written as `ir.wire` does, both ways: tuples stay tuples.
    """

    program: msgspec.Raw = msgspec.Raw(b"")
    hash: str | None = None
    args: dict[str, Any] | list[dict[str, Any]] = {}
    sampling: Sampling = Sampling()
    images: dict[str, str] = {}
    stream: bool = False
    exact: bool = False


class CallResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client's function returned, or the exception that it raised; `exact` as in a run."""

    value: Any = None
    exact: bool = False
    error: dict[str, str] | None = None


class Calls:
    """Calls of clients' functions that are under way, by id."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Any]] = {}

    async def ask(self, send: Callable[[str], None]) -> Any:
        """Send a call with a new id; wait for the answer.

        Raises:
            Exception: what the client's function raised.
            TimeoutError: no answer came.
        """
        name = secrets.token_urlsafe(18)  # who answers must have seen the event
        answer = self._waiting[name] = asyncio.get_running_loop().create_future()
        try:
            send(name)
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await answer
        finally:
            del self._waiting[name]

    def answer(self, name: str, result: CallResult) -> None:
        """Pass an answer on.

        Raises:
            NotFoundError: nobody waits for it.
        """
        waiting = self._waiting.get(name)
        if waiting is None or waiting.done():
            raise NotFoundError(f"no program waits for the call {name!r}")
        if result.error is None:
            waiting.set_result(_given(result.value) if result.exact else result.value)
        else:
            kind = EXCEPTIONS.get(result.error.get("kind", ""), RuntimeError)
            waiting.set_exception(kind(result.error.get("message", "")))


def install(app: web.Application) -> None:
    """Add the routes and what they keep."""
    app["programs"] = Programs()
    app["calls"] = Calls()
    app["program_backend"] = DeskBackend(app["desk"])
    app.add_routes(routes)


@routes.put("/programs")
async def put_program(request: web.Request) -> web.Response:
    """Remember the program in the body."""
    programs: Programs = request.app["programs"]
    name = programs.add(read_program(await read_body(request)))
    return web.json_response({"hash": name})


@routes.get("/programs/{hash}")
async def get_program(request: web.Request) -> web.Response:
    """The JSON form of a program."""
    programs: Programs = request.app["programs"]
    program = programs.get(request.match_info["hash"])
    return web.Response(body=to_json(program), content_type="application/json")


@routes.post("/programs/calls/{id}")
async def answer_call(request: web.Request) -> web.Response:
    """Take the result of a client's function."""
    try:
        result = msgspec.convert(await read_json(request), CallResult)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"the answer is malformed: {error}") from error
    calls: Calls = request.app["calls"]
    calls.answer(request.match_info["id"], result)
    return web.json_response({})


@routes.post("/programs/run")
async def run(request: web.Request) -> web.StreamResponse:
    """Run a program; see the module."""
    asked, program, batch = await _read(request)
    if not asked.stream:
        if program.hosts:
            raise InvalidRequestError(
                f"the program calls the client's {', '.join(program.hosts)}; "
                "send stream: true and answer the call events"
            )
        return await _whole(request, asked, program, batch)
    async with EventStream(request) as events:
        await _streamed(request, events, asked, program, batch)
    return events.response


async def _read(request: web.Request) -> tuple[RunRequest, Program, list[dict[str, Any]]]:
    try:
        asked = msgspec.json.decode(await read_body(request), type=RunRequest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(f"the request is malformed: {error}") from error
    sampling_params(asked.sampling.said())  # refuses values out of range
    _check_images(asked.images)
    programs: Programs = request.app["programs"]
    if bool(bytes(asked.program)) == (asked.hash is not None):
        raise InvalidRequestError("give either a program or the hash of one")
    if asked.hash is not None:
        program = programs.get(asked.hash)
    else:
        program = read_program(bytes(asked.program))
        programs.add(program)
    batch = asked.args if isinstance(asked.args, list) else [asked.args]
    if asked.exact:
        batch = [{name: _given(value) for name, value in given.items()} for given in batch]
    if len(batch) > MAX_BATCH:
        raise InvalidRequestError(f"{len(batch)} sets of arguments; at most {MAX_BATCH} at a time")
    return asked, program, batch


def _check_images(images: dict[str, str]) -> None:
    """Refuse what is no image, or not the one that its name says."""
    for name, url in images.items():
        if not url.startswith("data:image/"):
            raise InvalidRequestError(f"images[{name!r:.80}] is no data URL: {url!r:.80}")
        if reference(url) != name:
            raise InvalidRequestError(
                f"images[{name!r:.80}] holds an image whose reference is {reference(url)}"
            )


async def _whole(
    request: web.Request, asked: RunRequest, program: Program, batch: list[dict[str, Any]]
) -> web.Response:
    backend: DeskBackend = request.app["program_backend"]
    runs = [
        ProgramRun(backend, program, arguments, asked.sampling, images=asked.images)
        for arguments in batch
    ]
    outcomes: list[Outcome] = await _all([run.run() for run in runs])
    encoded = [_encoded(outcome, exact=asked.exact) for outcome in outcomes]
    if isinstance(asked.args, list):
        body = b'{"results":[' + b",".join(encoded) + b"]}"
        return web.Response(body=body, content_type="application/json")
    error = outcomes[0].error
    status = _status(error) if error is not None and error.raised else 200
    after = retry_after((await desk_of(request).state()).retry_after_s) if status == 503 else None
    return web.Response(
        body=encoded[0], content_type="application/json", status=status, headers=after
    )


async def _streamed(
    request: web.Request,
    events: EventStream,
    asked: RunRequest,
    program: Program,
    batch: list[dict[str, Any]],
) -> None:
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    calls: Calls = request.app["calls"]
    backend: DeskBackend = request.app["program_backend"]

    async def one(index: int, arguments: dict[str, Any]) -> None:
        def put(kind: str, **fields: Any) -> None:
            queue.put_nowait({"type": kind, "index": index, **fields})

        async def host(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
            sent, named = _sent(name, args, kwargs, exact=asked.exact)
            return await calls.ask(
                lambda call: put("call", id=call, function=name, args=sent, kwargs=named)
            )

        def listen(piece: Piece) -> None:
            put("text", text=piece.text, name=piece.name)

        outcome = await ProgramRun(
            backend,
            program,
            arguments,
            asked.sampling,
            host=host,
            listener=listen,
            bound=lambda name, value: put("variable", name=name, value=value),
            images=asked.images,
        ).run()
        put("end", **json.loads(_encoded(outcome, exact=asked.exact)))

    async def everything() -> None:
        try:
            await _all([one(index, arguments) for index, arguments in enumerate(batch)])
        finally:
            queue.put_nowait(None)

    work = asyncio.create_task(everything())
    try:
        while (event := await queue.get()) is not None:
            await events.send(event)
        await work
    except ConnectionError:
        raise
    except Exception as error:
        await events.send(native_body(str(error)))
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait([work])


async def _all(coroutines: list[Any]) -> list[Any]:
    """Run all side by side; if this is cancelled, so are they."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in tasks]


def _status(error: Failure) -> int:
    return 503 if error.retryable else 400


def _given(value: Any) -> Any:
    try:
        return unpack(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequestError(f"a value is malformed: {error}") from error


def _sent(
    name: str, args: list[Any], kwargs: dict[str, Any], *, exact: bool
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call as JSON values."""
    try:
        if exact:
            return [pack(value) for value in args], {k: pack(v) for k, v in kwargs.items()}
        json.dumps([args, kwargs])
    except (TypeError, ValueError) as error:
        raise TypeError(f"an argument of {name}() can't be sent to the client: {error}") from None
    return args, kwargs


def _encoded(outcome: Outcome, *, exact: bool) -> bytes:
    try:
        if exact:
            outcome.value = pack(outcome.value)
            outcome.variables = {k: pack(v) for k, v in outcome.variables.items()}
        return msgspec.json.encode(outcome, enc_hook=_refuse)
    except TypeError as error:
        # What JSON can't carry is the return value or a variable: say so, and send the rest.
        failure = Failure(kind="TypeError", message=str(error))
        return msgspec.json.encode(Outcome(text=outcome.text, usage=outcome.usage, error=failure))


def _refuse(value: Any) -> Any:
    raise TypeError(f"the program returns {type(value).__name__}, which JSON can't carry")
