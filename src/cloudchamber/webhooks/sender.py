"""Sends hooks' requests: the only part of the cloud that speaks to hosts that somebody else chose.

aiohttp does the HTTP (decision 14). Who is dialled is decided here: a name is resolved by us, every address that it
has is judged, and only judged addresses are connected to, so that a name cannot answer differently between the check
and the use. Each socket is judged once more where it is made, which is the way of addresses that need no resolving.
Redirects are followed here, too, because each is a new target. Nothing of the environment counts: no proxy, no
`.netrc`; no cookie is kept, nothing is decompressed.

Everything has an end: a request takes 20 s in all, however slowly its answer drips in, and an answer is read as far as
it goes back to devices and no further (security checklist 48, 49).

At least once: a POST or PATCH whose connection broke is not sent again here, but counts as an attempt that failed, and
is tried again by the queue. The other methods mean the same twice (RFC 9110 9.2.2), and go out once more at once where
a connection that was kept turns out to be closed.
"""

import asyncio
import contextlib
import email.utils
import socket
import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache, partial
from typing import Any, Final, cast
from urllib.parse import urljoin, urlsplit

import aiohttp
import certifi
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from cloudchamber.webhooks.model import Answered, Failed, HookRequest, Outcome
from cloudchamber.webhooks.requests import USER_AGENT, plain_url
from cloudchamber.webhooks.responses import MAX_RESPONSE_BYTES
from cloudchamber.webhooks.targets import is_public

TIMEOUT_S: Final = 20.0
_CONNECT_TIMEOUT_S: Final = 10.0
MAX_REDIRECTS: Final = 3
_MAX_CONNECTIONS: Final = 128
# Twice what the worker sends to one host at a time, for who tries hooks out meanwhile.
_MAX_CONNECTIONS_PER_HOST: Final = 16
MAX_IDLE_CONNECTIONS: Final = 32
# Common servers close after 5 s without a request. A POST that meets the closing is an attempt lost: ours is earlier.
KEEPALIVE_S: Final = 4.0
_MAX_ADDRESSES: Final = 4
# Names at a time, some of them of requests that gave up. The worker has half as many requests under way.
MAX_LOOKUPS: Final = 128
_MAX_HEADERS: Final = 100
_MAX_FIELD_BYTES: Final = 16 * 1024
# All of one answer: its head, and what frames its body. Interim answers and extensions of chunks have no other limit.
_MAX_FRAMED_BYTES: Final = 4 * MAX_RESPONSE_BYTES
# What a request to another origin than the hook's own still says: what its body is and what may be answered. Any other
# header may be the secret that the hook's host asks for, whatever it is called (decision 14).
_FOR_OTHERS: Final = frozenset({"accept", "content-type"})
_PORTS: Final = {"http": 80, "https": 443}


class TargetRefused(Exception):
    """The host has an address that hooks may not reach."""


class _NotATarget(Exception):
    """What is to be asked is no URL of a web server."""


class _Lookups:
    """The system's resolver, in threads: one that never answers for a name holds up that name's hooks alone. The event
    loop's own way has a few threads for all, and a lookup may take half a minute."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[str, int], asyncio.Future[_Found | Exception]] = {}

    async def find(self, host: str, port: int) -> "_Found":
        """Raises OSError. Those who ask while a lookup is under way share its answer; nobody else does."""
        lookup = self._under_way.get((host, port))
        if lookup is None:
            if len(self._under_way) >= MAX_LOOKUPS:
                raise OSError("too many names are looked up")
            loop = asyncio.get_running_loop()
            lookup = self._under_way[(host, port)] = loop.create_future()
            # A daemon: a cloud that stops does not wait for it.
            thread = threading.Thread(target=self._look_up, args=(loop, host, port), name="webhook-name", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # The system has no more threads now; the next one who asks tries again.
                self._found((host, port), error)
        found = await asyncio.shield(lookup)
        if isinstance(found, Exception):
            raise OSError("no such name") from found
        return found

    def _look_up(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        found: _Found | Exception
        try:
            found = [
                (family, str(address[0]))
                for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            ]
        except Exception as error:  # whatever it is, those who wait must hear of it
            found = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._found, (host, port), found)

    def _found(self, name: tuple[str, int], found: "_Found | Exception") -> None:
        self._under_way.pop(name).set_result(found)


_Found = list[tuple[int, str]]
"""Families and addresses."""


class _Resolver(AbstractResolver):
    def __init__(self, *, reaches_private: bool) -> None:
        self._reaches_private = reaches_private
        self._lookups = _Lookups()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = list(dict.fromkeys(await self._lookups.find(host, port)))
        # One private address among public ones is a trick, or a mistake that would work by chance: all have to do.
        if not self._reaches_private and not all(is_public(address) for _, address in addresses):
            raise TargetRefused
        if not addresses:
            raise OSError("no address")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
            for kind, address in addresses[:_MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        pass


class _NoCookies(aiohttp.DummyCookieJar):
    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """They are not even read, which takes a tenth of a second of the longest ones."""


class _Bounded(ResponseHandler):
    """Counts what comes for one answer, and breaks off."""

    _left = _MAX_FRAMED_BYTES

    def set_response_params(self, **params: Any) -> None:
        self._left = _MAX_FRAMED_BYTES
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            error = aiohttp.ClientPayloadError("too large")
            if self._payload is not None:
                self._payload.set_exception(error)
            self.set_exception(error)
            self.abort()
            return
        super().data_received(data)


class _Connector(aiohttp.TCPConnector):
    """With bounds that aiohttp has no settings for; `tests/webhooks/test_hostile_hosts.py` sees that they hold."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = cast("partial[ResponseHandler]", partial(_Bounded, loop=self._loop))

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if sum(map(len, self._conns.values())) > MAX_IDLE_CONNECTIONS:
            oldest = next(iter(self._conns))
            self._conns[oldest].popleft()[0].close()
            if not self._conns[oldest]:
                del self._conns[oldest]


class Sender:
    """Use `close` at the end."""

    def __init__(self, *, reaches_private: bool = False, timeout_s: float = TIMEOUT_S) -> None:
        """`reaches_private`: hooks may reach loopback and private addresses, as on a maker's own network."""
        self._reaches_private = reaches_private
        self._timeout_s = timeout_s
        self._verifying = _verifying(certifi.where())
        self._trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trusting.check_hostname = False
        self._trusting.verify_mode = ssl.CERT_NONE

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        """Made where the loop runs."""
        connector = _Connector(
            resolver=_Resolver(reaches_private=self._reaches_private),
            socket_factory=self._socket,
            use_dns_cache=False,
            limit=_MAX_CONNECTIONS,
            limit_per_host=_MAX_CONNECTIONS_PER_HOST,
            keepalive_timeout=KEEPALIVE_S,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=_NoCookies(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_MAX_FIELD_BYTES,
            max_field_size=_MAX_FIELD_BYTES,
            max_headers=_MAX_HEADERS,
        )

    def _socket(self, found: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = found
        if not self._reaches_private and not is_public(str(address[0])):
            raise TargetRefused
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        if "_session" in self.__dict__:
            await self._session.close()

    async def send(self, request: HookRequest) -> Outcome:
        """Never raises for what the host does."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send(request)
        except TargetRefused:
            return Failed(
                "the host's address is not on the public internet; whoever runs this server can allow it with"
                " webhook_private_targets",
                is_final=True,
            )
        except (_NotATarget, aiohttp.InvalidURL):
            return Failed("the url is not one of a web server", is_final=True)
        except (aiohttp.ClientError, HttpProcessingError) as error:
            return Failed(f"cannot reach host: {_reason(error)}")
        except TimeoutError:
            return Failed(f"no answer from host within {self._timeout_s:g} s")

    async def _send(self, request: HookRequest) -> Outcome:
        method, url, body = request.method, request.url, request.body
        headers = list(request.headers)
        for _ in range(MAX_REDIRECTS + 1):
            outcome, location = await self._once(request.verifies_tls, method, url, headers, body)
            if location is None:
                return outcome
            target = _redirected(url, location)
            if target is None:
                return Failed("the host redirects to something that is not http", is_final=True)
            if not _is_same_host(url, target):
                headers = [(name, value) for name, value in headers if name.lower() in _FOR_OTHERS]
                headers.append(("User-Agent", USER_AGENT))
            if outcome.status == 303 or (outcome.status in {301, 302} and method == "POST"):
                method, body = "GET", b""
                headers = [(name, value) for name, value in headers if name.lower() != "content-type"]
            url = target
        return Failed(f"the host redirects more than {MAX_REDIRECTS} times")

    async def _once(
        self, verifies: bool, method: str, url: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[Answered, str | None]:
        """The answer, and where it redirects to."""
        async with self._session.request(
            method,
            _target(url),
            headers=headers,
            data=body or None,
            allow_redirects=False,
            ssl=self._verifying if verifies else self._trusting,
        ) as response:
            shown = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)
            said = {name.lower(): value for name, value in shown}
            location = said.get("location") if response.status in {301, 302, 303, 307, 308} else None
            content = b"" if location is not None else await _read(response.content)
        return Answered(response.status, shown, content, _retry_after_s(said.get("retry-after"))), location


@lru_cache(maxsize=1)
def _verifying(authorities: str) -> ssl.SSLContext:
    """It takes a tenth of a second."""
    context = ssl.create_default_context(cafile=authorities)
    with contextlib.suppress(OSError):
        context.load_default_certs()
    return context


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """The first bytes; leaving the stream early closes its connection."""
    content = bytearray()
    while len(content) < MAX_RESPONSE_BYTES and (piece := await stream.readany()):
        content += piece
    return bytes(content[:MAX_RESPONSE_BYTES])


def _target(url: str) -> URL:
    """As it stands, but without a name and password: those are the hook's `auth`. Raises _NotATarget."""
    try:
        target = URL(url, encoded=True)
        if target.scheme not in {"http", "https"} or not target.raw_host:
            raise _NotATarget
        return target.with_user(None) if target.raw_user is not None or target.raw_password is not None else target
    except ValueError as error:
        raise _NotATarget from error


def _redirected(url: str, location: str) -> str | None:
    """None where it is nowhere that a hook goes."""
    try:
        target = plain_url(urljoin(url, location), "latin-1")
        parts = urlsplit(target)
        _ = parts.port
        return target if parts.scheme in {"http", "https"} and parts.hostname else None
    except ValueError:
        return None


def _is_same_host(url: str, target: str) -> bool:
    """Is `target` of the same origin, or the same host's step up to TLS? That one leads from port 80 to port 443, and
    gives nothing away that the network had not seen."""
    here, there = _origin(url), _origin(target)
    return here == there or (here, there) == (("http", here[1], 80), ("https", here[1], 443))


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]


def _retry_after_s(value: str | None) -> float | None:
    """Seconds or an HTTP date (RFC 9110 10.2.3)."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _reason(error: Exception) -> str:
    """Never the URL, which aiohttp's own texts have: it may hold a secret, and devices are told the reason."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            text = str(error.certificate_error)
        case aiohttp.ClientConnectorDNSError():
            text = f"the name {error.host} has no address"
        case aiohttp.ClientConnectorError():
            text = error.os_error.strerror or str(error.os_error) or type(error.os_error).__name__
        case aiohttp.ConnectionTimeoutError():
            text = f"it takes no connection within {_CONNECT_TIMEOUT_S:g} s"
        case aiohttp.ServerDisconnectedError():
            text = "it closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            text = "its answer broke off, or is not HTTP"
        case aiohttp.ClientResponseError():
            text = f"its answer is not HTTP: {error.message.splitlines()[0] if error.message else error.status}"
        case _:
            text = "the connection broke"
    return text[:200]
