"""Programs on a RadixLM server, one request per `gen`.

A sequence here is what the client must send to name it: literal texts, images and the ids that the
server generated, in order (`segments` of `POST /generate`). So the server's ids come back as they
were, and every turn finds its prefix in the radix cache.
"""

from __future__ import annotations

import atexit
import itertools
import json
import uuid
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import msgspec

from ...ir import loop
from ...ir.choices import Scores
from ...ir.errors import BackendError, sees_nothing
from ...ir.machine import Emit, Generation, SequenceId
from ...ir.nodes import Gen
from ...ir.roles import RoleFormat
from ..chat_template import get_chat_template

if TYPE_CHECKING:
    import aiohttp

Segments = list[str | list[int] | dict[str, str]]

CONNECT_TIMEOUT_S = 10.0
HOLD_TTL_S = 3600.0  # of a pin whose owner may go without a word
LOGPROB_LISTS = (
    "output_token_logprobs",
    "output_top_logprobs",
    "output_token_ids_logprobs",
    "output_token_distortion",
)


class RuntimeEndpoint:
    """A server as a backend.

    Args:
        base_url: "http://host:port".
        api_key: sent as a bearer token.
        verify: `False` accepts any certificate; a path names a file of trusted ones.
        chat_template_name: writes turns as this template of `lang.chat_template` says, in place of
            the model's own; programs then run here, one request a gen.

    Attributes:
        base_url: without a trailing slash.
        requests: how many were sent.
        model_info: what `GET /get_model_info` said.

    Raises:
        BackendError: nobody answers at `base_url`, or refuses.
        KeyError: no template has that name.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        verify: bool | str | None = None,
        chat_template_name: str | None = None,
    ) -> None:
        template = None if chat_template_name is None else get_chat_template(chat_template_name)
        self.base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._verify = verify
        self._session: aiohttp.ClientSession | None = None
        self._sequences: dict[SequenceId, Segments] = {}
        self._pins: dict[SequenceId, str] = {}
        self._ids = itertools.count()
        self.requests = 0
        self.programs: set[str] = set()  # hashes of the programs that the server knows
        self.model_info: dict[str, Any] = loop.wait(self._connect())
        self._roles = msgspec.convert(self.model_info["role_format"], RoleFormat)
        self.runs_programs = template is None  # the server writes turns as its model does
        if template is not None:
            self._roles = template.role_format()
        _open.add(self)

    # ---- from any thread

    def flush_cache(self) -> bool:
        """Forget every cached prefix of the server; false if requests are running."""
        try:
            loop.wait(self.request("POST", "/flush_cache"))
        except BackendError:
            return False
        return True

    def get_server_info(self) -> dict[str, Any]:
        """Settings and state of the server."""
        info: dict[str, Any] = loop.wait(self.request("GET", "/get_server_info"))
        return info

    def pins(self) -> list[dict[str, Any]]:
        """What is pinned in the server's cache, the oldest first."""
        found: list[dict[str, Any]] = loop.wait(self.request("GET", "/cache/pins"))["pins"]
        return found

    def unpin(self, name: str) -> None:
        """Let a pinned prefix go.

        Raises:
            BackendError: none has that name.
        """
        loop.wait(self.request("DELETE", f"/cache/pins/{quote(name, safe='')}"))

    def close(self) -> None:
        """Close the connections; they open again when needed."""
        loop.wait(self._close())

    # ---- on the private loop

    async def ready(self) -> RuntimeEndpoint:
        """See `ProgramBackend`."""
        return self

    async def role_format(self) -> RoleFormat:
        """See `Backend`."""
        return self._roles

    async def open(self) -> SequenceId:
        """See `Backend`."""
        return self._keep([])

    async def extend(
        self, sequence: SequenceId, text: str, tokens: Sequence[int] | None = None
    ) -> None:
        """See `Backend`."""
        segments = self._sequences[sequence]
        if tokens is not None:  # they cover the text that stands last, too
            if segments and isinstance(segments[-1], str):
                segments.pop()
            segments.append(list(tokens))
        elif segments and isinstance(segments[-1], str):
            segments[-1] += text
        else:
            segments.append(text)

    async def attach(self, sequence: SequenceId, url: str) -> None:
        """See `Sighted`.

        Raises:
            UnsupportedError: the server's model sees no images.
        """
        if not self.model_info.get("has_image_understanding"):
            raise sees_nothing(str(self.model_info["model_path"]))
        before, behind = self.model_info["image_marks"]
        if before:
            await self.extend(sequence, before)
        self._sequences[sequence].append({"image": url})
        if behind:
            await self.extend(sequence, behind)

    async def generate(self, sequence: SequenceId, gen: Gen, emit: Emit | None) -> Generation:
        """See `Backend`."""
        segments = self._sequences[sequence]
        body = {"segments": segments, **_fields(gen)}
        if emit is None:
            answer = await self.request("POST", "/generate", body)
            results: list[dict[str, Any]] = answer if (gen.sampling.n or 1) > 1 else [answer]
        else:
            results = await self._stream({**body, "stream": True}, emit)
        first = results[0]
        meta = first["meta_info"]
        segments.append(first["output_ids"][: meta["kept_tokens"]])
        if meta["tail_text"]:
            segments.append(meta["tail_text"])
        return Generation(
            texts=[result["text"] for result in results],
            metas=[
                {**result["meta_info"], "output_ids": result["output_ids"]} for result in results
            ],
        )

    async def score(
        self, sequence: SequenceId, choices: Sequence[str], *, unconditional: bool
    ) -> Scores:
        """See `Backend`."""
        body = {
            "segments": self._sequences[sequence],
            "choices": list(choices),
            "unconditional": unconditional,
        }
        return msgspec.convert(await self.request("POST", "/select", body), Scores)

    async def fork(self, sequence: SequenceId, count: int) -> list[SequenceId]:
        """See `Backend`. What the branches share, the server computes once."""
        return [self._keep(list(self._sequences[sequence])) for _ in range(count)]

    async def hold(self, sequence: SequenceId) -> None:
        """See `Backend`. A pin on the server; one that cannot be given costs speed alone."""
        if segments := self._sequences[sequence]:
            name = f"program-{uuid.uuid4().hex}"
            body = {"segments": segments, "name": name, "ttl_s": HOLD_TTL_S}
            with suppress(BackendError):
                await self.request("POST", "/cache/pins", body)
                self._pins[sequence] = name

    async def pin(self, sequence: SequenceId, name: str, ttl_s: float | None) -> None:
        """See `Caching`."""
        body = {"segments": self._sequences[sequence], "name": name, "ttl_s": ttl_s}
        await self.request("POST", "/cache/pins", body)

    async def release(self, sequence: SequenceId) -> None:
        """See `Backend`."""
        self._sequences.pop(sequence, None)
        if (name := self._pins.pop(sequence, None)) is not None:
            with suppress(BackendError):
                await self.request("DELETE", f"/cache/pins/{name}")

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request and return its JSON answer, or text where it is none.

        Raises:
            BackendError: no answer, or a status other than 200.
        """
        async with self._call(method, path, body) as response:
            text = await response.text()
            return json.loads(text) if response.content_type == "application/json" else text

    async def run_program(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Run a program in one request; return its outcome, None if the server does not know it.

        Raises:
            BackendError: no answer, or the request was refused.
        """
        async with self.program_events(body) as response:
            answer: dict[str, Any] = await response.json()
            if response.status == 404:
                return None
            if "usage" not in answer:  # refused before it began
                raise BackendError(f"the program was refused: {_message(json.dumps(answer))}")
            return answer

    def program_events(self, body: dict[str, Any]) -> _Call:
        """Begin to run a program; the answer's status may be that of a program that failed."""
        return _Call(self, "POST", "/programs/run", body, accepted=(200, 400, 404, 503))

    def _call(self, method: str, path: str, body: Any) -> _Call:
        return _Call(self, method, path, body)

    async def session(self) -> aiohttp.ClientSession:
        """The connections, opened on first use."""
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=0, ssl=_ssl(self._verify)),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S),
            )
        return self._session

    async def _connect(self) -> dict[str, Any]:
        try:
            info: dict[str, Any] = await self.request("GET", "/get_model_info")
        except BaseException:
            await self._close()
            raise
        return info

    async def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _stream(self, body: dict[str, Any], emit: Emit) -> list[dict[str, Any]]:
        """Generate with events; whole or incremental ones, whichever the server sends."""
        whole: dict[int, dict[str, Any]] = {}
        async with self._call("POST", "/generate", body) as response:
            async for event in events_of(response):
                index = event.pop("index", 0)
                new = _merge(whole.setdefault(index, {"text": "", "output_ids": []}), event)
                if index == 0 and (new["text"] or new["meta_info"]["finish_reason"]):
                    emit(new["text"], new["meta_info"])
        return [whole[index] for index in sorted(whole)]

    async def stream_text(self, body: dict[str, Any]) -> AsyncGenerator[str, None]:
        """Yield the text of a streaming `/generate` piece by piece. On the private loop."""
        whole: dict[str, Any] = {"text": "", "output_ids": []}
        async with self._call("POST", "/generate", body) as response:
            async for event in events_of(response):
                if text := _merge(whole, event)["text"]:
                    yield text

    def _keep(self, segments: Segments) -> SequenceId:
        sequence = SequenceId(next(self._ids))
        self._sequences[sequence] = segments
        return sequence


class _Call:
    """One HTTP call as a context; errors become `BackendError`."""

    def __init__(
        self,
        endpoint: RuntimeEndpoint,
        method: str,
        path: str,
        body: Any,
        accepted: Sequence[int] = (200,),
    ) -> None:
        self._endpoint = endpoint
        self._method, self._path, self._body = method, path, body
        self._accepted = accepted
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        import aiohttp

        url = self._endpoint.base_url + self._path
        session = await self._endpoint.session()
        self._endpoint.requests += 1
        try:
            response = await session.request(self._method, url, json=self._body)
        except (TimeoutError, aiohttp.ClientError) as error:
            reason = str(error) or type(error).__name__
            raise BackendError(f"no answer from {url}: {reason}", retryable=True) from error
        self._response = response
        if response.status not in self._accepted:
            text = await response.text()
            response.release()
            raise BackendError(
                f"{url} answered {response.status}: {_message(text)}",
                retryable=response.status in (429, 503),
            )
        return response

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._response is not None:
            if kind is None:
                self._response.release()
            else:
                self._response.close()  # the server notices, and stops


def _merge(whole: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """Bring `whole` up to date with an event, and return what was new in it."""
    meta = event["meta_info"]
    count = len(whole["output_ids"])
    if len(event["output_ids"]) == meta["completion_tokens"]:  # the event holds everything
        new = {
            "text": event["text"][len(whole["text"]) :],
            "output_ids": event["output_ids"][count:],
            "meta_info": {**meta, **{k: meta[k][count:] for k in LOGPROB_LISTS if k in meta}},
        }
    else:
        new = event
    before = whole.get("meta_info", {})
    whole["text"] += new["text"]
    whole["output_ids"] = whole["output_ids"] + new["output_ids"]
    lists = {k: before.get(k, []) + new["meta_info"][k] for k in LOGPROB_LISTS if k in meta}
    whole["meta_info"] = {**meta, **lists}
    return new


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of a stream up to its `[DONE]`.

    Raises:
        BackendError: the server reports an error, or ends the stream early.
    """
    async for line in response.content:
        if line.startswith(b"data: "):
            data = line[6:].strip()
            if data == b"[DONE]":
                return
            event = json.loads(data)
            if "error" in event and "type" not in event:  # a program's outcome has one too
                raise BackendError(_message(data.decode()))
            yield event
    raise BackendError("the server closed the stream before its end", retryable=True)


def _fields(gen: Gen) -> dict[str, Any]:
    sampling = gen.sampling.said()
    sampling.update(gen.held())
    fields: dict[str, Any] = {"sampling_params": sampling}
    if gen.logprobs is not None:
        fields["return_logprob"] = True
        fields["return_text_in_logprobs"] = gen.logprobs.with_text
        if gen.logprobs.start is not None:
            fields["logprob_start_len"] = gen.logprobs.start
        if gen.logprobs.top is not None:
            fields["top_logprobs_num"] = gen.logprobs.top
    return fields


def _message(text: str) -> str:
    """The message of an error body, whichever form it has."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        return text.strip()
    for key in ("error", "message"):
        if isinstance(found, dict) and key in found:
            found = cast("Any", found[key])
    return str(cast("Any", found))


def _ssl(verify: bool | str | None) -> Any:
    if isinstance(verify, str):
        import ssl

        return ssl.create_default_context(cafile=verify)
    return verify is not False


_open: weakref.WeakSet[RuntimeEndpoint] = weakref.WeakSet()


def _close_all() -> None:
    for endpoint in list(_open):
        endpoint.close()


atexit.register(_close_all)  # the private loop, a daemon thread, still turns then
