"""`Engine`: a model in this program, without HTTP."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any

from ..ir import loop
from ..ir.images import image_url
from .cache_view import CacheView
from .config import EngineConfig, engine_config
from .desk.desk import Desk
from .desk.encode import EncodeRequest, encode
from .desk.generate import GenerateRequest, generate, generate_stream, see, take_order
from .desk.info import server_info
from .errors import EngineClosedError
from .images import readable
from .launch import Launched, launch

Result = dict[str, Any]


class Engine:
    """A model with its scheduler, used from scripts, threads and notebooks.

    Takes the settings of `ModelConfig`, `CacheConfig` and `ScheduleConfig` by name, and
    `in_process=True` for a scheduler on a thread instead of a process. Without `model_path` it runs
    the small chat model that ships with the package. A context manager; `shutdown` may be called
    more than once.

    Raises:
        TypeError: a setting that does not exist.
        ModelLoadError: the model cannot be loaded.
    """

    def __init__(self, **settings: Any) -> None:
        self.config: EngineConfig = engine_config(**settings)
        self._launched: Launched | None = loop.wait(launch(self.config))
        self._finalizer = weakref.finalize(self, _close_later, self._launched)
        self._finalizer.atexit = False  # `_close_all` waits for the end, which a finalizer must not
        _open.add(self)

    @property
    def desk(self) -> Desk:
        """The front desk; use it on the private event loop only."""
        if self._launched is None:
            raise EngineClosedError("the engine was closed")
        return self._launched.desk

    def generate(
        self,
        prompt: str | list[str] | None = None,
        sampling_params: dict[str, Any] | list[dict[str, Any]] | None = None,
        input_ids: list[int] | list[list[int]] | None = None,
        *,
        image_data: Any = None,
        return_logprob: bool | list[bool] | None = None,
        logprob_start_len: int | list[int] | None = None,
        top_logprobs_num: int | list[int] | None = None,
        token_ids_logprob: list[int] | list[list[int]] | None = None,
        stream: bool = False,
        rid: str | list[str] | None = None,
        **fields: Any,
    ) -> Any:
        """Generate for one prompt or many.

        Args:
            prompt: a text or a list of them.
            sampling_params: of all, or a list with those of each.
            input_ids: prompts as ids, in place of texts.
            image_data: paths, bytes, PIL images or URLs for the placeholders of a prompt: one, a
                list, or for a batch a list with one of these for each prompt.
            return_logprob: whether log-probabilities come too.
            logprob_start_len: the first position of the prompt that gets one; -1: none of it.
            top_logprobs_num: of how many alternatives.
            token_ids_logprob: and of which ids.
            stream: whether the result is an iterator.
            rid: a name for `abort`.
            fields: the others of `GenerateRequest`.

        Returns:
            A dict with `text`, `output_ids` and `meta_info`; a list of them for several prompts or
            `n > 1`; with `stream`, an iterator of such dicts, each holding everything so far.

        Raises:
            InvalidRequestError: the request cannot be served; nothing has run.
        """
        request = _request(
            prompt,
            sampling_params,
            input_ids,
            image_data=image_data,
            return_logprob=return_logprob,
            logprob_start_len=logprob_start_len,
            top_logprobs_num=top_logprobs_num,
            token_ids_logprob=token_ids_logprob,
            stream=stream,
            rid=rid,
            **fields,
        )
        if stream:
            return loop.iterate(self._stream(request))
        return loop.wait(self._generate(request))

    async def async_generate(
        self,
        prompt: str | list[str] | None = None,
        sampling_params: dict[str, Any] | list[dict[str, Any]] | None = None,
        input_ids: list[int] | list[list[int]] | None = None,
        *,
        stream: bool = False,
        **fields: Any,
    ) -> Any:
        """`generate` for any event loop; with `stream` it returns an async iterator."""
        request = _request(prompt, sampling_params, input_ids, stream=stream, **fields)
        if stream:
            return loop.iterate_async(self._stream(request))
        return await loop.bridge(self._generate(request))

    def encode(
        self,
        prompt: str | list[str] | None = None,
        input_ids: list[int] | list[list[int]] | None = None,
        **fields: Any,
    ) -> Any:
        """Embed one prompt or many.

        Args:
            prompt: a text or a list of them.
            input_ids: the same as ids.
            fields: those of `EncodeRequest`: `pooling` ("last" or "mean"), `normalize`,
                `dimensions`, `rid`, `priority`, `extra_key`.

        Returns:
            A dict with `embedding`, a list of numbers, and `meta_info`; a list of them for several.

        Raises:
            InvalidRequestError: the request cannot be served; nothing has run.
        """
        return loop.wait(encode(self.desk, _encode_request(prompt, input_ids, fields)))

    async def async_encode(
        self,
        prompt: str | list[str] | None = None,
        input_ids: list[int] | list[list[int]] | None = None,
        **fields: Any,
    ) -> Any:
        """`encode` for any event loop."""
        request = _encode_request(prompt, input_ids, fields)
        return await loop.bridge(encode(self.desk, request))

    def flush_cache(self) -> bool:
        """Forget every cached prefix; false, and nothing done, while requests run."""
        return loop.wait(self.desk.flush_cache())

    def cache_tree(self, max_nodes: int = 200, max_tokens: int = 16) -> CacheView:
        """Return the first nodes of the radix tree: printed as lines, drawn in a notebook.

        Args:
            max_nodes: at most so many, parents first.
            max_tokens: what is shown of each node's tokens.
        """
        nodes = loop.wait(self.desk.browse(max_nodes=max_nodes, max_tokens=max_tokens))
        return CacheView(nodes, readable(self.desk.tokenizer.decode))

    def get_server_info(self) -> dict[str, Any]:
        """Settings and the scheduler's state, flat, as `GET /get_server_info` gives them."""
        return loop.wait(server_info(self.desk))

    def shutdown(self) -> None:
        """End the scheduler and wait until it is gone."""
        launched, self._launched = self._launched, None
        if launched is not None:
            self._finalizer.detach()
            loop.wait(launched.close())

    close = shutdown

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()

    async def _generate(self, request: GenerateRequest) -> Any:
        desk = self.desk
        return await generate(desk, take_order(desk, request, await see(desk, request)))

    async def _stream(self, request: GenerateRequest) -> AsyncGenerator[Result, None]:
        desk = self.desk
        order = take_order(desk, request, await see(desk, request))
        async for chunk in generate_stream(desk, order):
            yield chunk


def _request(prompt: Any, sampling_params: Any, input_ids: Any, **fields: Any) -> GenerateRequest:
    if fields.get("image_data") is not None:
        fields["image_data"] = _urls(fields["image_data"])
    given = {"text": prompt, "sampling_params": sampling_params, "input_ids": input_ids, **fields}
    return GenerateRequest.of({name: value for name, value in given.items() if value is not None})


def _urls(images: Any) -> Any:
    if isinstance(images, list):
        return [_urls(each) for each in images]
    return None if images is None else image_url(images)


def _encode_request(prompt: Any, input_ids: Any, fields: dict[str, Any]) -> EncodeRequest:
    given = {"text": prompt, "input_ids": input_ids, **fields}
    return EncodeRequest.of({name: value for name, value in given.items() if value is not None})


def _close_later(launched: Launched) -> None:
    """Close an engine that was dropped without `shutdown`."""
    loop.submit(launched.close())


_open: weakref.WeakSet[Engine] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for engine in list(_open):
        engine.shutdown()
