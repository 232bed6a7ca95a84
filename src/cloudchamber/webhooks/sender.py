"""Sends hooks' requests: the only part of the cloud that speaks to hosts that somebody else chose.

httpcore does the HTTP. The connecting is ours: a name is resolved here, every address that it has is judged, and the
connection goes to a judged address, so that a name cannot answer differently between the check and the use. Redirects
are followed here, too, because each is a new target.

Everything has an end: a request takes 20 s in all, however slowly its answer drips in, and an answer is read as far as
it goes back to devices and no further (security checklist 48, 49).
"""

import asyncio
import contextlib
import email.utils
import ssl
from collections.abc import AsyncIterable, Iterable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import certifi
import httpcore

from cloudchamber.webhooks.model import Answered, Failed, HookRequest, Outcome
from cloudchamber.webhooks.responses import MAX_RESPONSE_BYTES
from cloudchamber.webhooks.targets import is_public

TIMEOUT_S: Final = 20.0
_CONNECT_TIMEOUT_S: Final = 10.0
MAX_REDIRECTS: Final = 3
_MAX_CONNECTIONS: Final = 128
_KEEPALIVE_S: Final = 30.0
# What leaves with a request to another origin than the hook's own.
_CREDENTIALS: Final = frozenset({"authorization", "cookie", "x-api-key"})


class TargetRefused(httpcore.ConnectError):
    """The host has an address that hooks may not reach."""


class _GuardedNetwork(httpcore.AsyncNetworkBackend):
    def __init__(self, *, reaches_private: bool) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._reaches_private = reaches_private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        failure: Exception | None = None
        for address in addresses[:2]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None, "a name without an address does not resolve"
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise TargetRefused("no hook reaches a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), port, type=1)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name {host} has no address") from error
        addresses = [str(entry[4][0]) for entry in found]
        # One private address among public ones is a trick, or a mistake that would work by chance: all have to do.
        if not self._reaches_private and not all(is_public(address) for address in addresses):
            raise TargetRefused("the address is not on the public internet")
        if not addresses:
            raise httpcore.ConnectError(f"the name {host} has no address")
        return addresses


class Sender:
    """Use `close` at the end."""

    def __init__(self, *, reaches_private: bool = False, timeout_s: float = TIMEOUT_S) -> None:
        """`reaches_private`: hooks may reach loopback and private addresses, as on a maker's own network."""
        self._timeout_s = timeout_s
        verifying = ssl.create_default_context(cafile=certifi.where())
        with contextlib.suppress(OSError):
            verifying.load_default_certs()
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        network = _GuardedNetwork(reaches_private=reaches_private)
        self._pools = {
            verifies: httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=_MAX_CONNECTIONS,
                max_keepalive_connections=32,
                keepalive_expiry=_KEEPALIVE_S,
                network_backend=network,
            )
            for verifies, context in ((True, verifying), (False, trusting))
        }

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    async def send(self, request: HookRequest) -> Outcome:
        """Never raises for what the host does."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send(request)
        except TimeoutError:
            return Failed(f"no answer from host within {self._timeout_s:g} s")
        except TargetRefused:
            return Failed(
                "the host's address is not on the public internet; whoever runs this server can allow it with"
                " webhook_private_targets",
                is_final=True,
            )
        except httpcore.UnsupportedProtocol:
            return Failed("the url does not begin with http:// or https://", is_final=True)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            return Failed(f"cannot reach host: {_reason(error)}")

    async def _send(self, request: HookRequest) -> Outcome:
        method, url, body = request.method, request.url, request.body
        headers = list(request.headers)
        for _ in range(MAX_REDIRECTS + 1):
            outcome, location = await self._once(request.verifies_tls, method, url, headers, body)
            if location is None:
                return outcome
            target = urljoin(url, location)
            if urlsplit(target).scheme not in {"http", "https"} or not urlsplit(target).hostname:
                return Failed("the host redirects to something that is not http", is_final=True)
            if _origin(target) != _origin(url):
                headers = [(name, value) for name, value in headers if name.lower() not in _CREDENTIALS]
            if outcome.status == 303 or (outcome.status in {301, 302} and method == "POST"):
                method, body = "GET", b""
                headers = [(name, value) for name, value in headers if name.lower() != "content-type"]
            url = target
        return Failed(f"the host redirects more than {MAX_REDIRECTS} times")

    async def _once(
        self, verifies: bool, method: str, url: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[Answered, str | None]:
        """The answer, and where it redirects to."""
        timeouts = {"connect": _CONNECT_TIMEOUT_S, "read": self._timeout_s, "write": self._timeout_s, "pool": 5.0}
        sent = [("Host", urlsplit(url).netloc.rpartition("@")[2]), *headers]
        if body or method in {"POST", "PUT", "PATCH"}:
            sent.append(("Content-Length", str(len(body))))
        raw = [(name.encode("ascii"), value.encode()) for name, value in sent]
        async with self._pools[verifies].stream(
            method, url, headers=raw, content=body, extensions={"timeout": timeouts}
        ) as response:
            said = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            location = said.get("location") if response.status in {301, 302, 303, 307, 308} else None
            content = b"" if location is not None else await _read(response.stream)
        shown = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers)
        return Answered(response.status, shown, content, _retry_after_s(said.get("retry-after"))), location


async def _read(stream: Any) -> bytes:
    """The first bytes; leaving the stream early closes its connection."""
    assert isinstance(stream, AsyncIterable)
    content = bytearray()
    async for piece in stream:
        content += piece
        if len(content) >= MAX_RESPONSE_BYTES:
            break
    return bytes(content[:MAX_RESPONSE_BYTES])


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def _retry_after_s(value: str | None) -> float | None:
    """Seconds or an HTTP date (RFC 9110 10.2.3)."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[:200]
