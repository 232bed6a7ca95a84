"""Hosts that do what no host should, over real sockets: each costs its own delivery, for a while, and nobody else's."""

import asyncio
import contextlib
import gzip
import random
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cloudchamber.webhooks import sender as sender_module
from cloudchamber.webhooks.model import Answered, Failed, HookRequest, Outcome
from cloudchamber.webhooks.responses import MAX_RESPONSE_BYTES
from cloudchamber.webhooks.sender import MAX_IDLE_CONNECTIONS, Sender
from tests.webhooks.host import Received, hosting, say

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECRET = "k3y"
# What is on its way in the kernel's buffers of both ends counts as sent.
MOST_SENT = 16_000_000


@dataclass
class Raw:
    """A host that does with each connection as it is told."""

    port: int = 0
    connections: int = 0
    requests: int = 0
    sent: int = 0

    def url(self, name: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{name}:{self.port}/in?key={SECRET}"

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return head + await reader.readexactly(int(length or 0))

    async def flood(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        """For as long as the other end takes it."""
        while self.sent < 4 * MOST_SENT:
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)


Script = Callable[[Raw, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    host = Raw()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        host.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await script(host, reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    made = Sender(reaches_private=True, timeout_s=2.0)
    yield made
    await made.close()


def request(url: str, method: str = "POST", body: bytes = b"x=1", *headers: tuple[str, str]) -> HookRequest:
    return HookRequest(method, url, (("User-Agent", "ParticleBot/1.1"), *headers), body, True)


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    assert SECRET not in outcome.reason  # devices are told
    assert "\n" not in outcome.reason
    return outcome


def answered(outcome: Outcome) -> Answered:
    assert isinstance(outcome, Answered), outcome
    return outcome


def says(answer: bytes, *, closes: bool = False) -> Script:
    """The same to each request."""

    async def script(host: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(100):
            await host.request(reader)
            writer.write(answer)
            await writer.drain()
            if closes:
                return

    return script


FLOODS = {
    "a status line": (b"HTTP/1.1 200 ", b"x" * 50_000),
    "a field's name": (b"HTTP/1.1 200 OK\r\n", b"x" * 50_000),
    "a field": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 50_000),
    "fields": (b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n" * 10_000),
    "interim answers": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2_000),
    "a chunk's extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 50_000),
    "extensions of chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1;" + b"x" * 9_000 + b"\r\ny\r\n",
    ),
    "a chunk's size": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 50_000),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: 1\r\n" * 10_000),
    "empty lines": (b"", b"\r\n" * 20_000),
}


@pytest.mark.parametrize("what", FLOODS)
async def test_49_no_part_of_an_answer_is_endless(sender: Sender, what: str) -> None:
    first, piece = FLOODS[what]

    async def flood(host: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await host.request(reader)
        writer.write(first)
        await host.flood(writer, piece)

    async with raw(flood) as host:
        outcome = failed(await sender.send(request(host.url())))
        assert not outcome.is_final
        assert "within" not in outcome.reason, "its bytes ended it, not the clock"
        assert host.sent < MOST_SENT
        assert host.requests == 1


async def test_49_a_head_that_drips_is_left() -> None:
    sender = Sender(reaches_private=True, timeout_s=0.5)

    async def drip(host: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await host.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(200):
            writer.write(b"x")
            await asyncio.sleep(0.02)

    async with raw(drip) as host:
        assert failed(await sender.send(request(host.url()))).reason == "no answer from host within 0.5 s"
    await sender.close()


async def test_49_what_is_compressed_stays_so(sender: Sender) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with raw(says(head + bomb)) as host:
        outcome = answered(await sender.send(request(host.url())))
    assert outcome.body == bomb[:MAX_RESPONSE_BYTES]


NONSENSE = [
    b"",
    b"\x00" * 100,
    b"\x16\x03\x01\x00\x02\x02\x28",
    b"HTTP/1.1\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 -20 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA B: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nx",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\nx",  # and closes
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",  # and closes
    b"HTTP/1.1 200 OK\r\nX: ",  # and closes
    b"HTTP/1.1 103 Early Hints\r\n\r\n",  # and closes
]


@pytest.mark.parametrize("answer", NONSENSE)
async def test_what_is_not_an_answer_is_a_failure_that_may_pass(sender: Sender, answer: bytes) -> None:
    async with raw(says(answer, closes=True)) as host:
        outcome = failed(await sender.send(request(host.url())))
        assert outcome.reason.startswith("cannot reach host: ")
        assert not outcome.is_final
        assert host.requests == 1, "a POST goes out once"


async def test_what_comes_after_an_answer_is_not_the_next_ones(sender: Sender) -> None:
    """A host that answers twice, or in a body that is longer than it said, may not answer what somebody else asks."""
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    for odd in (
        b"HTTP/1.1 204 No Content\r\n\r\n" + forged,
        b"HTTP/1.1 204 No Content\r\nContent-Length: %d\r\n\r\n" % len(forged) + forged,
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n" + forged,
        OK + forged,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + forged,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + forged,
    ):

        async def script(
            host: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, odd: bytes = odd
        ) -> None:
            await host.request(reader)
            writer.write(odd if host.connections == 1 else OK)
            await reader.read()

        async with raw(script) as host:
            first = await sender.send(request(host.url()))
            await asyncio.sleep(0.01)
            second = answered(await sender.send(request(host.url())))
            assert second.body == b"ok", odd
            assert host.connections == 2
            assert not isinstance(first, Answered) or b"forged" not in first.body


async def test_an_answer_to_head_has_no_body(sender: Sender) -> None:
    async with raw(says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")) as host:
        for _ in range(2):
            assert answered(await sender.send(request(host.url(), "HEAD", b""))).body == b""
        assert host.connections == 1


async def test_interim_answers_are_passed_over_and_an_upgrade_is_an_error(sender: Sender) -> None:
    async with raw(says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK)) as host:
        outcome = answered(await sender.send(request(host.url())))
        assert (outcome.status, outcome.body) == (200, b"ok")
    async with raw(says(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")) as host:
        assert answered(await sender.send(request(host.url()))).status == 101


async def test_a_post_whose_connection_closes_is_not_sent_again_unseen(sender: Sender) -> None:
    """The peer takes the second request of a connection and closes it, as one does whose idle time is just over."""

    async def once(host: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await host.request(reader)
        writer.write(OK)
        await host.request(reader)

    for method in ("POST", "PATCH"):
        async with raw(once) as host:
            assert answered(await sender.send(request(host.url(), method))).status == 200
            outcome = failed(await sender.send(request(host.url(), method)))
            assert not outcome.is_final  # the queue tries again
            assert (host.requests, host.connections) == (2, 1)
            assert answered(await sender.send(request(host.url(), method))).status == 200
    for method in ("GET", "PUT", "DELETE"):
        async with raw(once) as host:
            for _ in range(2):
                assert answered(await sender.send(request(host.url(), method))).status == 200
            assert (host.requests, host.connections) == (3, 2)


async def test_a_connection_that_was_closed_meanwhile_is_not_used(sender: Sender) -> None:
    async with raw(says(OK, closes=True)) as host:
        for _ in range(5):
            assert answered(await sender.send(request(host.url()))).status == 200
            await asyncio.sleep(0.01)
        assert (host.requests, host.connections) == (5, 5)


async def test_a_connection_is_used_again_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "KEEPALIVE_S", 0.2)
    sender = Sender(reaches_private=True)
    async with raw(says(OK)) as host:
        for _ in range(5):
            await sender.send(request(host.url()))
        assert host.connections == 1
        await asyncio.sleep(0.3)
        await sender.send(request(host.url()))
        assert host.connections == 2
    await sender.close()


async def test_few_connections_wait_for_use(sender: Sender) -> None:
    """Those of the hosts that were asked last stay."""
    async with hosting() as host:
        names = [f"127.0.{number // 250}.{1 + number % 250}" for number in range(MAX_IDLE_CONNECTIONS + 20)]
        server = await asyncio.start_server(host.serve, "0.0.0.0", 0)  # noqa: S104 - all of 127/8
        port = server.sockets[0].getsockname()[1]
        for name in names:
            assert answered(await sender.send(request(f"http://{name}:{port}/"))).status == 200
        await asyncio.sleep(0.05)
        assert host.open == MAX_IDLE_CONNECTIONS
        assert host.most_open <= MAX_IDLE_CONNECTIONS + 1
        before = host.most_open
        await sender.send(request(f"http://{names[-1]}:{port}/"))
        assert (host.open, host.most_open) == (MAX_IDLE_CONNECTIONS, before)
        server.close()
        await sender.close()
        await asyncio.sleep(0.05)


async def test_nothing_of_the_environment_and_no_cookie_counts(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(netrc))

    async def cookie(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 200, b"ok", Set_Cookie="a=b; Path=/")

    async with hosting() as proxy, hosting(cookie) as host:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for _ in range(2):
            await sender.send(request(host.url))
        assert proxy.received == []
        for seen in host.received:
            assert set(seen.headers) == {"host", "user-agent", "content-length"}


@pytest.mark.parametrize(
    "location",
    [
        "http://[::1",
        "http://host:99999/",
        "javascript:alert(1)",
        "ftp://127.0.0.1/",
        "ws://127.0.0.1:{port}/",
        "unix:/run/x",
        "http://a b/",
        "http://127.0.0.1:{port}\\@127.0.0.2/",
    ],
)
async def test_a_redirect_to_nowhere_ends_there(sender: Sender, location: str) -> None:
    async def redirect(received: Received, writer: asyncio.StreamWriter) -> None:
        if received.method == "POST":
            await say(writer, 307, Location=location.format(port=host.port))

    async with hosting(redirect) as host:
        failed(await sender.send(request(host.url)))
        assert len(host.received) == 1


async def test_a_redirect_cannot_write_the_next_request(sender: Sender) -> None:
    async def redirect(received: Received, writer: asyncio.StreamWriter) -> None:
        if received.target == "/":
            await say(writer, 303, Location="/a b HTTP/1.1\tX: \xe4{}\\\x7f")
        else:
            await say(writer, 200, b"ok")

    async with hosting(redirect) as host:
        assert answered(await sender.send(request(f"{host.url}/"))).body == b"ok"
        target = host.received[-1].target
        assert target.isascii()
        assert target.startswith("/a%20b%20HTTP/1.1")
        assert " " not in target


async def test_49_a_name_that_never_resolves_holds_up_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really, ends = socket.getaddrinfo, threading.Event()
    asked: list[Any] = []

    def resolve(name: Any, *more: Any, **options: Any) -> Any:
        asked.append(name)
        if str(name).endswith(".slow.example"):
            ends.wait(20)
            raise OSError("no answer")
        return really(name, *more, **options)

    sender = Sender(reaches_private=True, timeout_s=1.0)
    async with hosting() as host:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(sender_module, "MAX_LOOKUPS", 41)
        slow = [
            asyncio.create_task(sender.send(request(f"http://{number}.slow.example/")))
            for number in (*range(40), *range(40))
        ]
        await asyncio.sleep(0.05)
        assert answered(await sender.send(request(f"http://localhost:{host.port}/"))).status == 200
        assert len(asked) == 41, "who asks for the same name waits for the same answer"
        assert {failed(outcome).reason for outcome in await asyncio.gather(*slow)} == {"no answer from host within 1 s"}
        # They are still under way, and there is an end to how many.
        assert failed(await sender.send(request("http://1.a.slow.example/"))).reason.startswith("no answer")
        outcome = failed(await sender.send(request("http://2.a.slow.example/")))
        assert outcome.reason == "cannot reach host: the name 2.a.slow.example has no address"
        ends.set()
        await asyncio.sleep(0.1)
        asked.clear()
        for _ in range(2):
            failed(await sender.send(request("http://1.slow.example/")))
        assert asked == ["1.slow.example"] * 2, "no answer is kept"
    await sender.close()


@pytest.mark.parametrize("fails", ["start", "resolver"])
async def test_a_lookup_that_could_not_be_made_is_made_the_next_time(
    monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def no_more(*_: Any, **__: Any) -> Any:
        raise RuntimeError("can't start new thread")

    sender = Sender(reaches_private=True, timeout_s=5.0)
    async with hosting() as host:
        with monkeypatch.context() as patch:
            patch.setattr(*((threading.Thread, "start") if fails == "start" else (socket, "getaddrinfo")), no_more)
            outcome = failed(await sender.send(request(f"http://localhost:{host.port}/")))
        assert outcome.reason == "cannot reach host: the name localhost has no address"
        assert not outcome.is_final
        assert answered(await sender.send(request(f"http://localhost:{host.port}/"))).status == 200
    await sender.close()


# -- TLS --------------------------------------------------------------------------------------------------------------


@dataclass
class Authority:
    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def context(self, name: str, *, days: int = 1, signed: bool = True) -> ssl.SSLContext:
        """Of a server with a certificate for `name` that ends in `days`."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(
            name, key, days, (self.certificate.subject, self.key) if signed else None, is_authority=False
        )
        pem = self.folder / f"{name}-{days}-{signed}.pem"
        pem.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    days: int,
    issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None,
    *,
    is_authority: bool,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by, signing = issuer or (subject, key)
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(signing, hashes.SHA256())
    )


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that the sender trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = Authority(tmp_path, key, _certificate("authority", key, 10, None, is_authority=True))
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(made.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setattr(certifi, "where", lambda: str(trusted))
    return made


def resolving(monkeypatch: pytest.MonkeyPatch, addresses: dict[str, list[str]]) -> list[str]:
    """Names are what `addresses` says; gives those that were asked for."""
    asked = []
    really = socket.getaddrinfo

    def resolve(name: Any, *more: Any, **options: Any) -> Any:
        if name not in addresses:
            return really(name, *more, **options)
        asked.append(name)
        return [(2, 1, 6, "", (address, more[0])) for address in addresses[name]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


async def test_the_name_is_proved_while_the_address_that_was_judged_is_dialled(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "is_public", lambda address: address == "127.0.0.1")
    asked = resolving(
        monkeypatch,
        {"good.example": ["127.0.0.1"], "other.example": ["127.0.0.1"], "two.example": ["127.0.0.1", "::1"]},
    )
    tls = authority.context("good.example")
    named: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: named.append(name)
    sender = Sender(timeout_s=2.0)
    async with raw(says(OK), tls) as host:
        seen = answered(await sender.send(request(host.url("good.example", "https"))))
        assert seen.body == b"ok"
        assert named == ["good.example"]
        assert host.requests == 1
        outcome = failed(await sender.send(request(host.url("other.example", "https"))))
        assert "certificate" in outcome.reason
        assert "other.example" in outcome.reason
        assert failed(await sender.send(request(host.url("two.example", "https")))).is_final
        assert host.requests == 1
    assert asked == ["good.example", "other.example", "two.example"]
    await sender.close()


async def test_certificates_that_prove_nothing_are_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, {"good.example": ["127.0.0.1"]})
    sender = Sender(reaches_private=True, timeout_s=2.0)
    for tls in (
        authority.context("good.example", days=-1),
        authority.context("good.example", signed=False),
        authority.context("bad.example"),
    ):
        async with raw(says(OK), tls) as host:
            url = host.url("good.example", "https")
            assert "certificate" in failed(await sender.send(request(url))).reason
            assert host.requests == 0
            # What was connected for a hook that checks nothing is not used for one that does.
            assert answered(await sender.send(HookRequest("GET", url, (), b"", verifies_tls=False))).body == b"ok"
            assert "certificate" in failed(await sender.send(request(url))).reason
            assert host.requests == 1

    async def no_tls(_host: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await reader.read(1)

    async with raw(no_tls) as host:
        failed(await sender.send(request(host.url("good.example", "https"))))
        assert host.requests == 0
    await sender.close()


# -- anything ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_comes_is_an_answer_or_a_failure(seed: int) -> None:
    sender = Sender(reaches_private=True, timeout_s=0.5)
    chosen = random.Random(seed)
    seeds = [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n",
        b"HTTP/1.1 400 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 503 X\r\nRetry-After: 5\r\n\r\nlater",
        b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 204 X\r\n\r\n",
    ]

    async def mutated(host: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await host.request(reader)
        answer = bytearray(chosen.choice(seeds))
        for _ in range(chosen.randrange(1, 5)):
            at = chosen.randrange(len(answer))
            match chosen.randrange(4):
                case 0:
                    answer[at] = chosen.randrange(256)
                case 1:
                    del answer[at : at + chosen.randrange(1, 8)]
                case 2:
                    answer[at:at] = chosen.choice([b"\r\n", b"\n", b"\0", b":", b" ", b"0", b"chunked", b"\xff" * 9])
                case 3:
                    answer[at:at] = answer[: chosen.randrange(40)]
            answer = answer or bytearray(b"x")
        cut = chosen.randrange(len(answer) + 1)
        writer.write(bytes(answer[:cut]))
        await asyncio.sleep(0)
        writer.write(bytes(answer[cut:]))

    async with raw(mutated) as host:
        for _ in range(100):
            outcome = await sender.send(request(host.url()))
            assert isinstance(outcome, Answered | Failed)
            if isinstance(outcome, Failed):
                assert outcome.reason
                failed(outcome)
    await sender.close()
