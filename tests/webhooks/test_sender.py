"""One request to a host, over real sockets: limits, redirects, and what may be reached."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cloudchamber.webhooks.model import Answered, Failed, HookRequest
from cloudchamber.webhooks.responses import MAX_RESPONSE_BYTES
from cloudchamber.webhooks.sender import Sender, _is_same_host
from tests.webhooks.host import Received, hosting, say


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    made = Sender(reaches_private=True, timeout_s=1.0)
    yield made
    await made.close()


def request(url: str, method: str = "POST", body: bytes = b"x=1", *headers: tuple[str, str]) -> HookRequest:
    return HookRequest(method, url, (("User-Agent", "ParticleBot/1.1"), *headers), body, True)


async def test_a_request_and_its_answer(sender: Sender) -> None:
    async with hosting() as host:
        sent = request(f"{host.url}/in?a=b", "PUT", b"hi", ("X-Name", "größer"))
        outcome = await sender.send(sent)
        assert isinstance(outcome, Answered)
        assert (outcome.status, outcome.body) == (200, b"thanks")
        (seen,) = host.received
        assert (seen.method, seen.target, seen.body) == ("PUT", "/in?a=b", b"hi")
        assert seen.headers["host"] == f"127.0.0.1:{host.port}"
        assert seen.headers["user-agent"] == "ParticleBot/1.1"


SPELLINGS = "127.0.0.1 localhost [::1] 0.0.0.0 127.1 2130706433 0x7f.0.0.1 0177.0.0.1 [::ffff:7f00:1] [::]"


@pytest.mark.parametrize("host", SPELLINGS.split())
async def test_48_private_addresses_are_refused_however_they_are_written(host: str) -> None:
    sender = Sender()
    try:
        async with hosting() as there:
            outcome = await sender.send(request(f"http://{host}:{there.port}/"))
            assert isinstance(outcome, Failed)
            # Some spellings are no address at all to the resolver; none gets through.
            assert outcome.is_final or "has no address" in outcome.reason, outcome
            assert there.received == []
    finally:
        await sender.close()


async def test_48_a_name_is_judged_by_what_it_is_at_the_moment_of_connecting(monkeypatch) -> None:
    """The name answers with a public address first and a private one later; only what was judged is connected to."""
    sender = Sender(timeout_s=0.5)
    asked = []

    def resolve(name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(name)
        address = "127.0.0.1" if len(asked) > 1 else "192.0.2.1"
        return [(2, 1, 6, "", (address, port))]

    async with hosting() as host:
        monkeypatch.setattr("socket.getaddrinfo", resolve)
        for _ in range(3):
            outcome = await sender.send(request(f"http://rebind.example:{host.port}/"))
            assert isinstance(outcome, Failed)
        assert asked == ["rebind.example"] * 3
        assert host.received == []
    await sender.close()


async def test_48_a_redirect_is_judged_like_any_other_target(monkeypatch) -> None:
    # 127.0.0.1 stands for a host on the public internet, every other address is as it is.
    monkeypatch.setattr("cloudchamber.webhooks.sender.is_public", lambda address: address == "127.0.0.1")
    sender = Sender(timeout_s=1.0)
    targets = iter(["http://127.0.0.2:{port}/", "http://[::1]:{port}/", "http://169.254.169.254/latest/meta-data/"])

    async def inwards(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 307, Location=next(targets).format(port=host.port))

    async with hosting(inwards) as host:
        for _ in range(3):
            outcome = await sender.send(request(host.url))
            assert isinstance(outcome, Failed)
            assert outcome.is_final
            assert outcome.reason.startswith("the host's address is not on the public internet")
        assert len(host.received) == 3

    async def redirect(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 302, Location="file:///etc/passwd")

    async with hosting(redirect) as host:
        outcome = await sender.send(request(host.url))
        assert outcome == Failed("the host redirects to something that is not http", is_final=True)
    await sender.close()


SECRETS = (
    ("Authorization", "Bearer s"),
    ("Cookie", "s=s"),
    ("X-Api-Key", "s"),
    ("X-Own", "s"),
    ("apikey", "s"),
    ("accept", "text/plain"),
    ("Content-Type", "text/x"),
)


async def test_redirects_are_followed_with_no_header_of_the_hooks_for_others(sender: Sender) -> None:
    async with hosting() as target:

        async def redirect(received: Received, writer: asyncio.StreamWriter) -> None:
            status = int(received.target.strip("/"))
            await say(writer, status, Location=f"{target.url}/there")

        async with hosting(redirect) as host:
            for status, method in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")]:
                outcome = await sender.send(
                    HookRequest("POST", f"{host.url}/{status}", (("User-Agent", "s"), *SECRETS), b"x", True)
                )
                assert isinstance(outcome, Answered)
                assert outcome.status == 200
                seen = target.received[-1]
                assert (seen.method, seen.target) == (method, "/there")
                assert seen.body == (b"x" if method == "POST" else b"")
                body = {"content-type": "text/x", "content-length": "1"} if method == "POST" else {}
                own = {name: value for name, value in seen.headers.items() if name not in {"host", "connection"}}
                assert own == {"user-agent": "ParticleBot/1.1", "accept": "text/plain"} | body


async def test_the_hooks_headers_stay_with_its_host_and_do_not_come_back_from_another(sender: Sender) -> None:
    targets = iter(["/same", "http://LocalHost:{port}/other", "http://127.0.0.1:{port}/back"])

    async def redirect(_: Received, writer: asyncio.StreamWriter) -> None:
        if (target := next(targets, None)) is not None:
            await say(writer, 307, Location=target.format(port=host.port))
        else:
            await say(writer, 200)

    async with hosting(redirect) as host:
        assert isinstance(await sender.send(request(f"{host.url}/first", "POST", b"x", *SECRETS)), Answered)
        assert [(seen.target, seen.headers.get("x-own")) for seen in host.received] == [
            ("/first", "s"),
            ("/same", "s"),
            ("/other", None),
            ("/back", None),
        ]


@pytest.mark.parametrize(
    ("url", "target", "expected"),
    [
        ("http://a.example/x", "http://a.example:80/y", True),
        ("https://a.example:443/", "https://A.example/", True),
        ("http://a.example/", "https://a.example/", True),
        ("https://a.example/", "http://a.example/", False),
        ("http://a.example/", "https://a.example:8443/", False),
        ("http://a.example:8080/", "https://a.example/", False),
        ("http://a.example/", "https://b.a.example/", False),
        ("http://a.example/", "http://a.example.:80/", False),
        ("http://a.example/", "http://a.example@b.example/", False),
    ],
)
def test_which_targets_are_the_hooks_own_host(url: str, target: str, expected: bool) -> None:
    assert _is_same_host(url, target) is expected


async def test_redirects_in_a_circle_end(sender: Sender) -> None:
    async def circle(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 307, Location="/again")

    async with hosting(circle) as host:
        assert await sender.send(request(host.url)) == Failed("the host redirects more than 3 times")
        assert len(host.received) == 4


async def test_49_a_host_that_never_answers_or_drips_is_left(sender: Sender) -> None:
    async def never(_: Received, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async def drip(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    for answer in (never, drip):
        async with hosting(answer) as host:
            began = time.monotonic()
            assert await sender.send(request(host.url)) == Failed("no answer from host within 1 s")
            assert time.monotonic() - began < 5


async def test_49_an_endless_answer_is_read_as_far_as_it_is_of_use(sender: Sender) -> None:
    async def endless(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1_000):
            writer.write(b"x" * 1_000_000)
            await writer.drain()

    async with hosting(endless) as host:
        outcome = await sender.send(request(host.url))
        assert isinstance(outcome, Answered)
        assert len(outcome.body) == MAX_RESPONSE_BYTES


async def test_nonsense_is_a_failure_that_may_pass(sender: Sender) -> None:
    async def nonsense(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-x\r\n\r\n")
        writer.close()

    async with hosting(nonsense) as host:
        outcome = await sender.send(request(host.url))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("cannot reach host: ")
    assert not outcome.is_final
    closed = await sender.send(request(host.url))
    assert isinstance(closed, Failed)
    assert not closed.is_final


async def test_retry_after(sender: Sender) -> None:
    values = iter(["30", (datetime.now(UTC) + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT"), "soon"])
    # What is no date, or none in UTC.
    nonsense = [
        "Fri, 31 Dec 9999 23:59:59 -2300",
        "Mon, 99 Jan 2026 00:00:00",
        "1" * 99,
    ]

    async def later(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 503, Retry_After=next(values))

    async with hosting(later) as host:
        seen = [await sender.send(request(host.url)) for _ in range(3)]
        for text in nonsense:
            values = iter([text])
            outcome = await sender.send(request(host.url))
            assert isinstance(outcome, Answered)
            assert outcome.retry_after_s is None
    first, second, third = (outcome.retry_after_s for outcome in seen if isinstance(outcome, Answered))
    assert first == 30
    assert second is not None
    assert 60 < second <= 90
    assert third is None


async def test_certificates_are_checked_unless_the_hook_says_not_to(sender: Sender, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await say(writer, 200, b"secret", Connection="close")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
    refused = await sender.send(request(url, "GET", b""))
    assert isinstance(refused, Failed)
    assert "certificate" in refused.reason.lower()
    taken = await sender.send(HookRequest("GET", url, (), b"", verifies_tls=False))
    assert isinstance(taken, Answered)
    assert taken.body == b"secret"
    server.close()
