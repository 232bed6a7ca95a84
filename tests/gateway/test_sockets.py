"""Connected sockets on both kinds of watch: all bytes, in order, and one end."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from cloudchamber.gateway.sockets import EVENTS, FIRST_READ, EpollWatch, LoopWatch, Socket, Watch, make_watch
from cloudchamber.gateway.tcp import SEND_BUFFER, _listen
from tests.gateway.cloud import until
from tests.loops import Turns


class Told(Socket):
    def __init__(self, watch: Watch, file: int) -> None:
        self.data = b""
        self.ends = 0
        self.was_gone = 0
        self.room: list[int] = []
        super().__init__(watch, file)

    def received(self, data: bytes) -> None:
        self.data += data

    def received_eof(self) -> None:
        self.ends += 1

    def has_sent(self, left: int) -> None:
        self.room.append(left)

    def gone(self) -> None:
        self.was_gone += 1


@pytest.fixture(params=[EpollWatch, LoopWatch])
async def watch(request: pytest.FixtureRequest) -> AsyncIterator[Watch]:
    made = request.param()
    yield made
    made.close()


@pytest.fixture
async def pair(watch: Watch) -> AsyncIterator[tuple[Told, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    told = Told(watch, ours.detach())
    with theirs:
        yield told, theirs
        told.abort()
        await asyncio.sleep(0)


async def test_bytes_come_and_go(pair: tuple[Told, socket.socket]) -> None:
    told, theirs = pair
    theirs.sendall(b"one")
    await until(lambda: told.data == b"one")
    told.write(b"two")
    assert theirs.recv(10) == b"two"
    theirs.shutdown(socket.SHUT_WR)
    await until(lambda: told.ends)
    told.write(b"last")  # half closed: ours still goes out
    told.end()
    assert theirs.recv(10) == b"last"
    assert theirs.recv(10) == b""
    await until(lambda: told.was_gone)
    await asyncio.sleep(0.02)
    assert (told.ends, told.was_gone) == (1, 1)


@pytest.mark.parametrize("size", [FIRST_READ - 1, FIRST_READ, FIRST_READ + 1, 100_000])
@pytest.mark.parametrize("ends", [True, False])
async def test_nothing_of_much_that_comes_is_lost(pair: tuple[Told, socket.socket], size: int, *, ends: bool) -> None:
    told, theirs = pair
    sent = bytes(range(256)) * (size // 256) + bytes(size % 256)
    theirs.sendall(sent)
    if ends:
        theirs.shutdown(socket.SHUT_WR)
    await until(lambda: len(told.data) == size)
    assert told.data == sent
    await until(lambda: told.ends == ends)


async def test_a_number_that_comes_again_is_watched_anew(watch: Watch) -> None:
    numbers = set[int]()
    for _ in range(3):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        numbers.add(ours.fileno())
        told = Told(watch, ours.detach())
        theirs.sendall(b"one")
        await until(lambda told=told: told.data == b"one")
        told.end()
        assert theirs.recv(1) == b""
        theirs.close()
        await until(lambda told=told: told.was_gone)
    assert len(numbers) == 1


async def test_what_there_is_no_room_for_leaves_later_and_before_the_end(pair: tuple[Told, socket.socket]) -> None:
    told, theirs = pair
    theirs.settimeout(0)
    whole = bytes(range(256)) * 8_000
    told.write(whole)
    assert told.unsent > 1_000_000
    told.write(b"end")
    told.end()
    told.write(b"too late")
    assert not told.was_gone
    found = b""
    while len(found) < len(whole) + 3:
        try:
            found += theirs.recv(1 << 20)
        except BlockingIOError:
            await asyncio.sleep(0)
    assert found == whole + b"end"
    await until(lambda: told.was_gone)
    assert not told.room, "an ending socket asks for no more"


async def test_it_tells_when_there_is_room(pair: tuple[Told, socket.socket]) -> None:
    told, theirs = pair
    theirs.settimeout(0)
    told.write(bytes(2_000_000))
    taken = 0
    while taken < 2_000_000:
        try:
            taken += len(theirs.recv(1 << 20))
        except BlockingIOError:
            await asyncio.sleep(0)
    await until(lambda: told.unsent == 0)
    assert told.room == sorted(told.room, reverse=True)
    assert told.room[-1] == 0


async def test_many_that_speak_at_once_leave_others_their_turn() -> None:
    watch, turns, heard = EpollWatch(), Turns(), list[tuple[int, int]]()

    class Heard(Socket):
        def received(self, data: bytes) -> None:
            heard.append((turns.number, data[0]))

        def gone(self) -> None:
            pass

    pairs = [socket.socketpair() for _ in range(200)]
    for ours, _ in pairs:
        ours.setblocking(False)
    ours = [Heard(watch, ours.detach()) for ours, _ in pairs]
    for number, (_, theirs) in enumerate(pairs):
        theirs.sendall(bytes((number,)))
    with turns:
        await until(lambda: len(heard) >= 200)
    assert max(Counter(turn for turn, _ in heard).values()) <= EVENTS
    assert {number for _, number in heard} == set(range(200))
    for each, (_, theirs) in zip(ours, pairs, strict=True):
        each.abort()
        theirs.close()
    await asyncio.sleep(0)
    watch.close()


async def test_nothing_is_taken_while_it_does_not_read(pair: tuple[Told, socket.socket]) -> None:
    told, theirs = pair
    told.read_on(reads=False)
    theirs.sendall(b"wait")
    await asyncio.sleep(0.02)
    assert told.data == b""
    told.read_on(reads=True)
    await until(lambda: told.data == b"wait")


async def test_a_broken_socket_is_gone_once(watch: Watch) -> None:
    for writes_first in (False, True):
        listener = socket.create_server(("127.0.0.1", 0))
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        listener.close()
        ours.setblocking(False)
        told = Told(watch, ours.detach())
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if writes_first:
            told.read_on(reads=False)
            told.write(bytes(20_000_000))
            assert told.unsent
        theirs.close()
        await until(lambda told=told: told.was_gone)
        told.abort()
        told.end()
        told.write(b"x")
        await asyncio.sleep(0.02)
        assert told.was_gone == 1


async def test_one_may_close_another_of_the_same_turn(watch: Watch) -> None:
    class Closing(Told):
        other: Told

        def received(self, data: bytes) -> None:
            super().received(data)
            self.other.abort()

    pairs = [socket.socketpair() for _ in range(2)]
    for ours, _ in pairs:
        ours.setblocking(False)
    first, second = (Closing(watch, ours.detach()) for ours, _ in pairs)
    first.other, second.other = second, first
    for _, theirs in pairs:
        theirs.sendall(b"x")
    await until(lambda: first.was_gone or second.was_gone)
    await asyncio.sleep(0.02)
    assert sorted([first.data, second.data]) == [b"", b"x"]
    for closing, (_, theirs) in zip((first, second), pairs, strict=True):
        closing.abort()
        theirs.close()
    await asyncio.sleep(0)


async def test_the_watch_of_this_system() -> None:
    watch = make_watch()
    assert isinstance(watch, EpollWatch | LoopWatch)
    watch.close()


async def test_connections_have_what_their_listener_has() -> None:
    with _listen(socket.AF_INET, ("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                # The kernel doubles it, for what it needs itself.
                assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER
