"""Images are fetched from public addresses alone, whatever a name says and where it leads."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from radixlm.runtime.desk.fetch import Address, Fetcher, is_public
from radixlm.runtime.errors import InvalidRequestError

HERE = ipaddress.ip_address("127.0.0.1")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("2001:0:a00:1::", False),
    ],
)
def test_public_is_what_no_private_network_has(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "169.254.169.254",
        "2130706433",
        "0x7f.1",
        "[::ffff:7f00:1]",
    ],
)
def test_private_addresses_are_refused_however_they_are_written(host: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"public addresses alone|not a canonical"):
        asyncio.run(Fetcher().fetch(f"http://{host}:9/a.png", 100))


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://example.org/a.png", "http:///a.png"]
)
def test_only_web_addresses_are_fetched(url: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"no http or https address|cannot be fetched"):
        asyncio.run(Fetcher().fetch(url, 100))


def test_credentials_are_not_sent() -> None:
    with pytest.raises(InvalidRequestError, match="no user name"):
        asyncio.run(Fetcher().fetch("http://me:secret@example.org/a.png", 100))


@asynccontextmanager
async def site(*routes: tuple[str, Callable[[web.Request], Any]]) -> AsyncIterator[int]:
    """Serve on this machine; yield the port."""
    app = web.Application()
    app.add_routes([web.get(path, handler) for path, handler in routes])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def here(address: Address) -> bool:
    return address == HERE


async def picture(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * 100)


async def leads_away(request: web.Request) -> web.Response:
    raise web.HTTPFound(request.query["to"])


async def goes_round(request: web.Request) -> web.Response:
    raise web.HTTPFound("/round")


async def is_slow(request: web.Request) -> web.Response:
    await asyncio.sleep(5)
    return web.Response()


async def lies(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)  # chunked: it does not say how long it is
    for _ in range(100):
        await answer.write(b"x" * 1000)
    return answer


ROUTES = (
    ("/a", picture),
    ("/to", leads_away),
    ("/round", goes_round),
    ("/slow", is_slow),
    ("/long", lies),
)


def fetched(path: str, max_bytes: int = 1000, **settings: Any) -> bytes:
    async def run() -> bytes:
        async with site(*ROUTES) as port:
            url = f"http://127.0.0.1:{port}{path.replace('PORT', str(port))}"
            return await Fetcher(here, **settings).fetch(url, max_bytes)

    return asyncio.run(run())


def test_a_file_is_fetched_through_redirects() -> None:
    assert fetched("/a") == b"x" * 100
    assert fetched("/to?to=/a") == b"x" * 100
    assert fetched("/to?to=http://127.0.0.1:PORT/a") == b"x" * 100


@pytest.mark.parametrize("away", ["http://127.0.0.2:PORT/a", "http://localhost.localdomain:9/a"])
def test_a_redirect_is_under_the_same_rules(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 9))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(InvalidRequestError, match="public addresses alone"):
        fetched(f"/to?to={away}")


@pytest.mark.parametrize(
    ("path", "message", "settings"),
    [
        ("/round", "more than 3 redirects", {}),
        ("/none", "status 404", {}),
        ("/slow", "within 0.2 s", {"timeout_s": 0.2}),
        ("/long", "larger than the 1000 bytes", {}),
        ("/to?to=ftp://127.0.0.1/a", "no http or https address", {}),
    ],
)
def test_what_is_no_small_file_fails_with_its_reason(
    path: str, message: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        fetched(path, **settings)


def test_a_name_is_looked_up_once_and_what_it_meant_then_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up: list[str] = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        looked_up.append(host)
        address = "127.0.0.1" if len(looked_up) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async def run() -> bytes:
        async with site(*ROUTES) as port:
            monkeypatch.setattr(socket, "getaddrinfo", resolve)
            return await Fetcher(here).fetch(f"http://rebind.example:{port}/a", 1000)

    assert asyncio.run(run()) == b"x" * 100
    assert looked_up == ["rebind.example"]


def test_a_name_with_one_private_address_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("93.184.216.34", "10.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(InvalidRequestError, match=r"two\.example is not at one"):
        asyncio.run(Fetcher().fetch("http://two.example/a", 1000))
