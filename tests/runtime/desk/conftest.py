"""A desk whose scheduler is the test itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from radixlm.runtime.config import EngineConfig, engine_config
from radixlm.runtime.desk.desk import Desk
from radixlm.runtime.messages import Ready, Submit, ToDesk, ToScheduler
from radixlm.runtime.tokenizer import Tokenizer

READY = Ready(
    vocab_size=600,
    context_length=200,
    pool_tokens=1000,
    dtype="float32",
    device="cpu",
    model_type="llama",
    architectures=["LlamaForCausalLM"],
    eos_token_ids=(2,),
)


class End:
    """In place of `DeskEnd`: keeps what was sent; `news` is what the desk will receive."""

    def __init__(self) -> None:
        self.sent: list[ToScheduler] = []
        self.news: asyncio.Queue[ToDesk] = asyncio.Queue()
        self.is_closed = False

    def send(self, message: ToScheduler) -> None:
        assert not self.is_closed
        self.sent.append(message)

    async def receive(self) -> ToDesk:
        return await self.news.get()

    def close(self) -> None:
        self.is_closed = True

    def submits(self) -> list[Submit]:
        return [message for message in self.sent if isinstance(message, Submit)]


OpenDesk = Callable[..., AbstractAsyncContextManager[tuple[Desk, End]]]


@pytest.fixture
def open_desk(tokenizer: Tokenizer) -> OpenDesk:
    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[tuple[Desk, End]]:
        end = End()
        config: EngineConfig = engine_config(**settings)
        desk = Desk(end, config)  # type: ignore[arg-type]
        end.news.put_nowait(READY)
        await desk.start(lambda: tokenizer)
        try:
            yield desk, end
        finally:
            await desk.close()

    return opened
