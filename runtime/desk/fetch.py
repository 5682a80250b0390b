"""Fetching an image from an address that a client names, without lending it our place in a network.

A server often stands where its clients do not: beside other services, a cloud's metadata, routers.
So only addresses that are public are connected to. A name is resolved once for each connection, all
that it stands for is checked, and the connection goes to an address that was checked: what a second
look-up would say (DNS rebinding) does not matter. Redirects are followed here, each under the same
rules. Proxies of the environment, cookies and credentials play no part.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ..errors import InvalidRequestError

MAX_REDIRECTS = 3
TIMEOUT_S = 15.0  # for all of it
CHUNK_BYTES = 1 << 16

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Addresses of version 6 that carry one of version 4, which is where packets go in the end.
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet at large, whatever it is wrapped in."""
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _NAT64):
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        carried = address.ipv4_mapped or address.sixtofour
        if carried is not None:
            return is_public(carried)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


class Fetcher:
    """Fetches small files.

    Args:
        allows: which addresses may be connected to; a seam for tests.
        timeout_s: how long one fetch may take, redirects included.
    """

    def __init__(
        self, allows: Callable[[Address], bool] = is_public, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._allows = allows
        self._timeout_s = timeout_s

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        """Return what is at an http(s) address.

        Raises:
            InvalidRequestError: it is not public, does not answer in time or not with the file, or
                the file is too large.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(URL(url), max_bytes)
        except TimeoutError as error:
            raise InvalidRequestError(
                f"{_short(url)} did not answer within {self._timeout_s:g} s"
            ) from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            if isinstance(error, InvalidRequestError):
                raise
            raise InvalidRequestError(f"{_short(url)} cannot be fetched: {error}") from error

    async def _follow(self, url: URL, max_bytes: int) -> bytes:
        connector = aiohttp.TCPConnector(resolver=_Checked(self._allows), use_dns_cache=False)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            for _ in range(MAX_REDIRECTS + 1):
                self._check(url)
                async with session.get(url, allow_redirects=False) as answer:
                    target = answer.headers.get("Location")
                    if answer.status in (301, 302, 303, 307, 308) and target is not None:
                        url = url.join(URL(target))
                        continue
                    if answer.status != 200:
                        raise InvalidRequestError(
                            f"{_short(str(url))} answers with status {answer.status}"
                        )
                    return await _read(answer, max_bytes)
        raise InvalidRequestError(f"{_short(str(url))}: more than {MAX_REDIRECTS} redirects")

    def _check(self, url: URL) -> None:
        """Refuse what is no plain web address. Names are checked when they are resolved."""
        if url.scheme not in ("http", "https") or not url.host:
            raise InvalidRequestError(f"{_short(str(url))} is no http or https address")
        if url.user is not None or url.password is not None:
            raise InvalidRequestError("an image's address may hold no user name and no password")
        try:
            literal = ipaddress.ip_address(url.host.partition("%")[0])
        except ValueError:
            return
        _require(literal, url.host, self._allows)


class _Checked(AbstractResolver):
    """Resolves names, and refuses those of which any address is not allowed."""

    def __init__(self, allows: Callable[[Address], bool]) -> None:
        self._allows = allows

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses to connect to, which are not looked up again."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results: list[ResolveResult] = []
        for kind, _, proto, _, address in found:
            text = str(address[0])
            _require(ipaddress.ip_address(text.partition("%")[0]), host, self._allows)
            results.append(
                ResolveResult(
                    hostname=host,
                    host=text,
                    port=port,
                    family=kind,
                    proto=proto,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is held."""


def _require(address: Address, host: str, allows: Callable[[Address], bool]) -> None:
    if not allows(address):
        raise InvalidRequestError(
            f"images are fetched from public addresses alone, and {host} is not at one; send "
            "the image itself as a data URL"
        )


async def _read(answer: Any, max_bytes: int) -> bytes:
    """Read a body of at most so many bytes, whatever its headers say."""
    data = bytearray()
    async for piece in answer.content.iter_chunked(CHUNK_BYTES):
        data += piece
        if len(data) > max_bytes:
            raise InvalidRequestError(f"the image is larger than the {max_bytes} bytes allowed")
    return bytes(data)


def _short(url: str) -> str:
    return url if len(url) <= 200 else f"{url[:197]}..."
