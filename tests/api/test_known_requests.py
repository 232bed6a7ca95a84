"""A connection that knows a request from the one before it answers what one that parses every request answers."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from typing import Any, cast

import httptools
import pytest
import pytest_asyncio

from cloudchamber.api.direct import Asked, DirectAnswers
from cloudchamber.api.routes import ROUTES
from cloudchamber.api.server import MAX_KNOWN, EdgeProtocol
from cloudchamber.app import Cloud
from tests.api.conftest import Maker, bearer
from tests.api.connections import connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEVICES = ("e1" * 12, "e2" * 12)


class Wire:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("192.0.2.1", 4000), "sockname": ("192.0.2.2", 80)}.get(name)

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def write_eof(self) -> None:
        pass


class Parsing(EdgeProtocol):
    """Knows nothing."""

    def _know(self, data: bytes, posted: Any) -> None:
        pass

    def _answers(self, direct: DirectAnswers) -> bool:
        self._read = None
        return super()._answers(direct)


class Pair:
    """Two connections that are sent the same."""

    def __init__(self, of: EdgeProtocol) -> None:
        self.both = [(kind(of.app, of.server_state), Wire()) for kind in (EdgeProtocol, Parsing)]
        for protocol, wire in self.both:
            protocol.connection_made(cast("asyncio.Transport", wire))

    async def send(self, *pieces: bytes) -> bytes:
        """What both answered, compared piece by piece."""
        answered = b""
        for piece in pieces:
            for protocol, wire in self.both:
                if not wire.closing:
                    protocol.data_received(piece)
            for protocol, wire in self.both:
                for _ in range(2_000):
                    if wire.closing or not protocol._is_answering() or _waits(protocol):
                        break
                    await asyncio.sleep(0.001)
                else:
                    pytest.fail(f"no answer to {piece!r}")
            await asyncio.sleep(0)
            known, parsed = (
                (_without_chance(wire.written), wire.closing, protocol._in_request, protocol.is_refused)
                for protocol, wire in self.both
            )
            assert known == parsed, piece
            answered += known[0]
            for _, wire in self.both:
                wire.written = b""
        return answered

    def lost(self) -> None:
        for protocol, _ in self.both:
            protocol.connection_lost(None)


def _waits(protocol: EdgeProtocol) -> bool:
    """For the rest of a body."""
    return protocol.cycle is not None and protocol.cycle.more_body


def _without_chance(written: bytes) -> bytes:
    return re.sub(rb"(x-request-id|date): [^\r]+", rb"\1: -", written)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(cloud: Cloud, maker: Maker) -> bytes:
    """Of a customer with devices, and with everything that is asked for in memory."""
    token = await maker.customer("known@example.com")
    for device in DEVICES:
        path = f"/v1/products/{maker.product}/devices"
        assert (await maker.http.post(path, data={"id": device}, headers=bearer(maker.token))).is_success
        assert (await maker.http.post("/v1/devices", data={"id": device}, headers=bearer(token))).is_success
        assert (await maker.http.get(f"/v1/devices/{device}", headers=bearer(token))).is_success
    assert (await maker.http.get("/v1/devices", headers=bearer(token))).is_success
    return token.encode()


@pytest_asyncio.fixture(loop_scope="module")
async def connection(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> EdgeProtocol:
    """A connection of the cloud's listener."""
    made: list[EdgeProtocol] = []
    real = EdgeProtocol.connection_made

    def connection_made(protocol: EdgeProtocol, transport: asyncio.BaseTransport) -> None:
        made.append(protocol)
        real(protocol, transport)

    with monkeypatch.context() as patch:
        patch.setattr(EdgeProtocol, "connection_made", connection_made)
        async with connected(cloud) as (_, writer):
            while not made:
                writer.write(b"\r\n")
                await asyncio.sleep(0.001)
    return made[0]


@pytest_asyncio.fixture(loop_scope="module")
async def pair(connection: EdgeProtocol) -> AsyncIterator[Pair]:
    pair = Pair(connection)
    yield pair
    pair.lost()


@pytest.fixture
def unparsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Targets of requests that were known but for their paths."""
    found: list[bytes] = []
    real = DirectAnswers.another

    def another(direct: DirectAnswers, target: bytes, known: Asked) -> Asked | None:
        asked = real(direct, target, known)
        if asked is not None:
            found.append(target)
        return asked

    monkeypatch.setattr(DirectAnswers, "another", another)
    return found


def get(target: bytes, token: bytes, more: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n%b\r\n" % (target, token, more)


ONE, OTHER = (b"/v1/devices/" + device.encode() for device in DEVICES)


async def test_another_path_is_not_parsed(pair: Pair, token: bytes, unparsed: list[bytes]) -> None:
    got = await pair.send(get(ONE, token), get(OTHER, token), get(b"/v1/devices", token), get(ONE, token))
    assert unparsed == [OTHER, b"/v1/devices", ONE]
    assert [DEVICES[0].encode() in got, got.count(b"HTTP/1.1 200 OK\r\n")] == [True, 4]


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/devices/" + b"ee" * 12,  # nobody's: the long way
        b"/v1/devices/" + DEVICES[1].upper().encode(),
        *(ONE + more for more in (b"?x=1", b"#x", b"/", b"//", b"/..", b"/../" + OTHER, b"%31", b" ", b"\t", b"\xc3")),
        *(b"/v1/devices/" + more for more in (b"", b"%65" + ONE[13:], b".", b"..", b"e1", b"-", b"_")),
        *(b"//v1/devices", b"/v1//devices", b"/./v1/devices", b"/v1/devices?", b"/V1/devices", b"v1/devices"),
        *(b"*", b"", b" ", b"http://x/v1/devices", b"x:80", b"/", b"/v1/nothing"),
        *(ONE + b" HTTP/1.1\r\n" + name for name in (b"X: y\r\n\r\nGET " + OTHER, b"X:", b"Content-Length: 1\r\n\r\n")),
        *(
            ONE + end + b"GET " + OTHER
            for end in (b" HTTP/1.1\r\n\r\n", b" HTTP/1.1\n\n", b" HTTP/1.0\r\n\r\n", b"\r\n")
        ),
        b"/v1/devices/" + b"a" * MAX_KNOWN,
    ],
)
async def test_targets(pair: Pair, token: bytes, target: bytes) -> None:
    await pair.send(get(ONE, token), get(target, token), get(OTHER, token))


async def test_any_byte_anywhere_in_the_path(pair: Pair, token: bytes, unparsed: list[bytes]) -> None:
    """What is not parsed has no byte that could mean something to the parser, which finds the same in it."""
    direct, asked = pair.both[0][0]._direct, list[bytes]()
    assert direct is not None
    read = direct.read(ONE, [(b"authorization", b"Bearer " + token)], "192.0.2.1")
    assert read is not None
    known = read.asked
    for byte in range(256):
        for place in (0, 1, 4, 12, 20, len(ONE)):
            for target in (
                ONE[:place] + bytes([byte]) + ONE[place:],
                ONE[:place] + bytes([byte]) + ONE[place + 1 :],
            ):
                asked += [target] if direct.another(target, known) is not None else []
    assert len(asked) > 100
    assert direct.another(b"/v1/devices/events", known) is None  # a stream
    for target in asked:
        assert re.fullmatch(rb"[A-Za-z0-9/_-]+", target)
        found = _Found()
        parser = httptools.HttpRequestParser(found)
        parser.feed_data(get(target, token))
        assert (found.target, found.names, found.ends) == (target, [b"Host", b"Authorization"], 1)
        parsed = direct.read(target, found.lower(), "192.0.2.1")
        assert parsed is not None
        assert direct.another(target, known) == parsed.asked


class _Found:
    def __init__(self) -> None:
        self.target, self.names, self.headers, self.ends = b"", list[bytes](), list[tuple[bytes, bytes]](), 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.names.append(name)
        self.headers.append((name, value))

    def on_message_complete(self) -> None:
        self.ends += 1

    def lower(self) -> list[tuple[bytes, bytes]]:
        return [(name.lower(), value) for name, value in self.headers]


async def test_what_rows_have_in_their_paths_means_nothing_else() -> None:
    """The other half of the same: what does not vary in the path of a direct row is compared."""
    for route in ROUTES:
        if route.direct is not None:
            for path in route.paths:
                assert re.fullmatch(r"[A-Za-z0-9/_.{}-]+", path)


async def test_split_at_every_byte(pair: Pair, token: bytes, unparsed: list[bytes]) -> None:
    first, second = get(ONE, token), get(OTHER, token)
    for at in range(1, len(second)):
        await pair.send(first if at % 2 else get(b"/v1/devices", token), second[:at], second[at:])
    for at in range(1, len(second)):
        await pair.send(first + second[:at], second[at:])
    assert set(unparsed) == {ONE, b"/v1/devices"}


@pytest.mark.parametrize(
    "between",
    [
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"G",
        b"POST /v1/devices?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: %(length)d\r\n\r\n",
        b"POST /v1/devices?x=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%(length)x\r\n",
        b"GET /v1/devices HTTP/1.1\r\nHost: x\r\nX-Left-Open: ",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %(length)d\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HEAD /v1/devices HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_came_between(pair: Pair, token: bytes, between: bytes) -> None:
    """Where the parser is in the midst of something, or at its end, what looks like a request may be none."""
    request = get(OTHER, token)
    if b"%(" in between:
        between %= {b"length": len(request)}
    await pair.send(get(ONE, token), between, request, get(ONE, token))


EVENTS = b"/v1/devices/events"
CALL, OTHER_CALL = (b"/v1/devices/" + device + b"/f" for device in (b"ea" * 12, b"eb" * 12))
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def post(target: bytes, body: bytes, token: bytes, more: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n" % (target, token)
    return head + FORM + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strangers(maker: Maker, token: bytes) -> bytes:
    """Of a customer who may not call what CALL and OTHER_CALL name, which is answered directly: it is refused."""
    for device in (CALL, OTHER_CALL):
        id_ = device.split(b"/")[3].decode()
        form, path = {"id": id_}, f"/v1/products/{maker.product}/devices"
        assert (await maker.http.post(path, data=form, headers=bearer(maker.token))).is_success
        assert (await maker.http.post("/v1/devices", data=form, headers=bearer(maker.token))).is_success
        assert (await maker.http.get(f"/v1/devices/{id_}", headers=bearer(maker.token))).is_success
    return token


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Targets of POSTs that a parser found, by either connection."""
    found: list[bytes] = []
    real = DirectAnswers.read_post

    def read_post(direct: DirectAnswers, target: bytes, headers: Any, peer: str) -> Any:
        found.append(target)
        return real(direct, target, headers, peer)

    monkeypatch.setattr(DirectAnswers, "read_post", read_post)
    return found


async def test_another_body_or_path_is_not_parsed(pair: Pair, strangers: bytes, parsed: list[bytes]) -> None:
    bodies = (b"name=a&data=1", b"name=b&data=2", b"name=c&data=3", b"name=a&data=1")
    got = await pair.send(*(post(EVENTS, body, strangers) for body in bodies))
    assert (got.count(b'{"ok":true}'), len(parsed)) == (4, 1 + 4)
    parsed.clear()
    got = await pair.send(post(CALL, b"arg=1", strangers), post(OTHER_CALL, b"arg=2", strangers))
    assert (got.count(b"HTTP/1.1 403 "), len(parsed)) == (2, 1 + 2)


async def test_every_body_is_looked_at(pair: Pair, token: bytes) -> None:
    bodies = (
        b"name=abcd",
        b"name=%%%%",
        b"=========",
        b"name=spar",
        b"\r\n\r\nGET ",
        b"POST / HT",
        b"name=",
        b"",
        b"x",
    )
    await pair.send(*(post(EVENTS, body, token) for body in bodies for _ in range(2)))
    # Of a body that can be read, but not as what it is said to be.
    await pair.send(*(post(EVENTS, body, token, b"Content-Type: x\r\n") for body in (b"name=a", b"name=b")))


async def test_a_form_with_a_client_s_secret(pair: Pair, maker: Maker, token: bytes, parsed: list[bytes]) -> None:
    client, secret = maker.client
    target = b"/oauth/introspect"

    def ask(asked: bytes, with_secret: str = secret) -> bytes:
        body = f"client_id={client}&client_secret={with_secret}&token=".encode() + asked
        return b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (target, FORM, len(body), body)

    await pair.send(ask(token), ask(token))
    parsed.clear()
    got = await pair.send(ask(token), ask(b"0" * len(token)), ask(token, "0" * len(secret)), ask(token))
    answers = re.findall(rb'HTTP/1.1 (\d+)|"active":(true|false)', got)
    assert [a or b for a, b in answers] == [b"200", b"true", b"200", b"false", *[answers[4][0]], b"200", b"true"]
    assert answers[4][0] in (b"400", b"401")
    # What is not in memory, or is refused, is parsed after all.
    assert len(parsed) == 2 + 4


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/devices/" + b"ee" * 12 + b"/f",
        *(CALL + more for more in (b"?x=1", b"#x", b"/", b"/..", b"%31", b" ", b"\t", b"\xc3", b"-", b"_")),
        *(b"/v1/devices//f", b"//v1/devices/e/f", b"/v1/devices/events", b"/v1/devices/events/f", b"/v1/devices/./f"),
        *(b"/oauth/token", b"/oauth/introspect", b"*", b"", b" ", b"http://x" + CALL, b"/v1/nothing"),
        *(
            CALL + b" HTTP/1.1\r\nContent-Length: 5\r\n\r\narg=1" + more
            for more in (b"POST " + CALL, b"GET " + CALL, b"\r\nPOST " + CALL, b"")
        ),
        CALL + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX:",
        b"/v1/devices/" + b"a" * MAX_KNOWN + b"/f",
    ],
)
async def test_targets_of_posts(pair: Pair, strangers: bytes, target: bytes) -> None:
    first, second = post(CALL, b"arg=1", strangers), post(OTHER_CALL, b"arg=2", strangers)
    await pair.send(first, post(target, b"arg=3", strangers), second)


async def test_posts_split_at_every_byte(pair: Pair, strangers: bytes) -> None:
    first, second = post(CALL, b"arg=1", strangers), post(OTHER_CALL, b"a=2&b", strangers)
    for at in range(1, len(second)):
        await pair.send(first, second[:at], second[at:])
    for at in range(1, len(second)):
        await pair.send(first + second[:at], second[at:], first)


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n", b"\r\n\r\n", b"G", b"POST ", b"\0"])
async def test_what_stands_behind_or_before_a_post(pair: Pair, strangers: bytes, end: bytes) -> None:
    first, second = post(CALL, b"arg=1", strangers), post(OTHER_CALL, b"arg=2", strangers)
    await pair.send(first + end, second, first)


@pytest.mark.parametrize("end", [b"\r\n", b"\r\n\r\n"])
async def test_what_stands_before_a_post(pair: Pair, strangers: bytes, end: bytes) -> None:
    first, second = post(CALL, b"arg=1", strangers), post(OTHER_CALL, b"arg=2", strangers)
    await pair.send(end + first, end + second, first, second[:-1] + b"\r\n", end + first)


async def test_a_body_that_ends_as_a_head_does(pair: Pair, token: bytes) -> None:
    """Behind it stands what belongs to nobody: from the end of the piece, head and body seem to be elsewhere."""
    first = post(EVENTS, b"\r\n", token)
    for behind in (b"\r\n", b"\r\n\r\n", b"\n"):
        await pair.send(first + behind, post(EVENTS, b"ab", token) + behind, post(EVENTS, b"name=", token), first)


async def test_no_body_is_kept(pair: Pair, token: bytes) -> None:
    first, second = post(EVENTS, b"name=a&data=secret", token), post(EVENTS, b"name=b&data=secret", token)
    for pieces in (
        [first],
        [first, second],
        [first[:-9], first[-9:]],
        [first + second],
        [first + second[:-9], b"x" * 9],
    ):
        await pair.send(*pieces)
        known = pair.both[0][0]
        assert known._posted is None
        assert not known._form_body or known._in_request
        assert known._known_post is None or b"secret" not in known._known_post.rest


async def test_lengths_in_chunks_or_twice(pair: Pair, token: bytes) -> None:
    body = b"name=a"
    whole = post(EVENTS, body, token)
    chunked = whole.replace(b"Content-Length: 6", b"Transfer-Encoding: chunked")
    await pair.send(whole, chunked.replace(body, b"6\r\nname=a\r\n0\r\n\r\n"), whole)
    await pair.send(whole, whole.replace(b"Content-Length: 6", b"Content-Length: 06"), whole)
    await pair.send(whole, whole.replace(b"Content-Length: 6", b"Content-Length: 6\r\nContent-Length: 6"), whole)


@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"get", b"GETS", b"PUT", b"G", b"", b" GET", b"\r\nGET", b"GET "])
async def test_methods(pair: Pair, token: bytes, method: bytes) -> None:
    request = method + get(OTHER, token)[3:]
    await pair.send(get(ONE, token), request, get(OTHER, token))


@pytest.mark.parametrize("seed", range(4))
async def test_mixtures(connection: EdgeProtocol, strangers: bytes, maker: Maker, seed: int) -> None:
    """Requests of all kinds in pieces of all lengths."""
    drawn, token = random.Random(seed), strangers
    wrong, other = b"0" * 40, maker.product_token.encode()

    def request() -> bytes:
        target = drawn.choice([ONE, ONE, OTHER, OTHER, b"/v1/devices", ONE + b"?x", ONE + b"/x%20y", b"/healthz"])
        more = drawn.choice([b"", b"", b"X: y\r\n", b"X-Forwarded-For: 192.0.2.9\r\n", b"\tz\r\n"])
        found = get(target, drawn.choice([token, token, other, wrong]), more)
        if drawn.random() < 0.5:
            found = post(
                drawn.choice([EVENTS, EVENTS, CALL, OTHER_CALL, EVENTS + b"?x", b"/v1/devices", b"/healthz"]),
                drawn.choice([b"name=a", b"name=b", b"name=ab&data=c", b"", b"\r\n\r\n", b"{}", b"name=%"]),
                drawn.choice([token, token, other, wrong]),
                more,
            )
        return drawn.choice([b"", b"", b"", b"", b"\r\n"]) + found

    for _ in range(12):
        pair = Pair(connection)
        for _ in range(8):
            sent = b"".join(request() for _ in range(drawn.choice([1, 1, 1, 2, 3])))
            cuts = sorted(drawn.sample(range(1, len(sent)), drawn.choice([0, 0, 1, 2])))
            await pair.send(*(sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)))
        pair.lost()
