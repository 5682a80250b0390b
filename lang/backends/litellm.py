"""Programs on any of the services that the package `litellm` knows."""

from __future__ import annotations

from typing import Any

from ...ir.errors import BackendError, UnsupportedError
from ...ir.machine import Emit
from ...ir.nodes import Gen
from .chat_shape import read_chat, read_chat_stream, response_format
from .service import Answer, Outlet, Retry, TextBackend, failure_of, package, take, wanted
from .talk import Talk

NAMES = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "stop": "stop",
    "sampling_seed": "seed",
}


class LiteLLM(TextBackend):
    """A chat model by its name at LiteLLM ("anthropic/...", "vertex_ai/...", "ollama/...").

    A parameter of OpenAI's protocol that the service behind has no field for is refused by LiteLLM:
    an `UnsupportedError`. What is not in that protocol (`top_k`, say) LiteLLM passes on unchecked;
    give it as a call option where you know that the service takes it. Services differ in `n`, so
    each sample is a call.

    Args:
        model_name: "service/model".
        base_url: of the service, where it is not the usual one.
        api_key: else the service's environment variable.
        timeout_s: of one call.
        retry: how calls that fail for now are repeated.
        **call_options: given to every `litellm.acompletion` (`api_version`, `vertex_project`).

    Raises:
        ModuleNotFoundError: the package `litellm` is missing.
    """

    takes_bare_text = True

    def __init__(
        self,
        model_name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 600.0,
        retry: Retry | None = None,
        **call_options: Any,
    ) -> None:
        super().__init__(model_name, is_chat_model=True, retry=retry)
        self._litellm = package("litellm", extra="litellm", backend="LiteLLM")
        self._openai = package("openai", extra="litellm", backend="LiteLLM")
        self._options = {
            "base_url": base_url,
            "api_key": api_key,
            "timeout": timeout_s,
            "num_retries": 0,  # `attempt` repeats
            "max_retries": 0,
            "drop_params": False,  # nothing is dropped without a word
            **call_options,
        }

    async def ask(self, talk: Talk, gen: Gen, emit: Emit | None) -> list[Answer]:
        """See `TextBackend`."""
        fields = self._fields(talk, gen)
        streams = emit is not None

        async def one(outlet: Outlet) -> Answer:
            return await (self._streamed if streams else self._whole)(fields, outlet)

        return await self.several(gen.sampling.n or 1, emit, one)

    async def aclose(self) -> None:
        """See `TextBackend`; the connections are LiteLLM's own, for all its users."""

    def failure(self, error: Exception) -> BackendError | None:
        """See `TextBackend`."""
        if isinstance(error, self._litellm.UnsupportedParamsError):
            raise UnsupportedError(str(error)) from error
        return failure_of(error, (self._openai.OpenAIError, self._openai.APIConnectionError))

    def _fields(self, talk: Talk, gen: Gen) -> dict[str, Any]:
        if talk.prefix():
            raise UnsupportedError(
                "LiteLLM begins a new message with every answer; the assistant's turn already "
                f"begins with {talk.prefix()[:40]!r}",
                hint="Give each assistant(...) one gen and no text before it.",
            )
        asked = wanted(gen)
        asked.pop("n", None)
        schema = asked.pop("json_schema", None)
        fields: dict[str, Any] = {}
        if asked.pop("return_logprob", None) and gen.logprobs is not None:
            fields["logprobs"] = True
            if gen.logprobs.top:
                fields["top_logprobs"] = gen.logprobs.top
        fields |= take(asked, NAMES, service=f"LiteLLM ({self.model_name!r})")
        if schema is not None:
            fields["response_format"] = response_format(schema)
        return {"model": self.model_name, "messages": talk.messages(), **fields, **self._options}

    async def _whole(self, fields: dict[str, Any], outlet: Outlet) -> Answer:
        response = await self._litellm.acompletion(**fields)
        self._count(getattr(response, "usage", None))
        return read_chat(response)[0]

    async def _streamed(self, fields: dict[str, Any], outlet: Outlet) -> Answer:
        options = {"include_usage": True}
        stream = await self._litellm.acompletion(**fields, stream=True, stream_options=options)
        [answer], usage = await read_chat_stream(stream, outlet, 1)
        self._count(usage)
        return answer

    def _count(self, usage: Any) -> None:
        if usage is not None:
            self.count(usage.prompt_tokens, usage.completion_tokens)
