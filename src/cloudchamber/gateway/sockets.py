"""Connected sockets without a transport for each.

A transport of the event loop takes about two kilobytes, and to make one takes a good part of a handshake's time. A
device's connection needs little of it. So all of them are watched together by one epoll, of which the loop knows no
more than that there is something in it; elsewhere than on Linux the loop watches each. A connection is the number of
its file.
"""

import asyncio
import os
import select
from typing import Final, Protocol

READ: Final = 1
WRITE: Final = 2

FIRST_READ: Final = 960
"""Mostly more than a device sends at once, and of the size that allocators keep: a buffer of 16 KiB, which is then cut,
takes a microsecond more."""
_READ_SIZE: Final = 16 * 1024
"""Bytes at a time, where there is more."""
EVENTS: Final = 32
"""Sockets at a time; then the loop does what else there is to do. A message of a device takes 20 to 60 µs."""


class Watched(Protocol):
    def readable(self) -> None:
        """There is something to be read, be it an error."""
        ...

    def writable(self) -> None:
        """There is room; or the socket is broken, and only writing would tell."""
        ...


class Watch(Protocol):
    """Of files, by number."""

    def change(self, file: int, watched: Watched, was: int, now: int) -> None:
        """What a file is watched for: READ, WRITE, both, or 0. Before it is closed, `forget` it if it is not 0."""
        ...

    def forget(self, file: int, watched: Watched, was: int) -> None:
        """The next that is done with the file is to close it."""
        ...

    def close(self) -> None: ...


class LoopWatch:
    """By the loop, which has objects for each."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def change(self, file: int, watched: Watched, was: int, now: int) -> None:
        gone, new = was & ~now, now & ~was
        if gone & READ:
            self._loop.remove_reader(file)
        if gone & WRITE:
            self._loop.remove_writer(file)
        if new & READ:
            self._loop.add_reader(file, watched.readable)
        if new & WRITE:
            self._loop.add_writer(file, watched.writable)

    def forget(self, file: int, watched: Watched, was: int) -> None:
        self.change(file, watched, was, 0)

    def close(self) -> None:
        """Nothing is its own."""


class EpollWatch:
    """By an epoll of its own: a hundred bytes for each."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._masks = (0, select.EPOLLIN, select.EPOLLOUT, select.EPOLLIN | select.EPOLLOUT)
        self._loop.add_reader(self._epoll.fileno(), self._look)

    def change(self, file: int, watched: Watched, was: int, now: int) -> None:
        if was == now:
            return
        if now == 0:
            del self._watched[file]
            self._epoll.unregister(file)
        elif was == 0:
            self._watched[file] = watched
            self._epoll.register(file, self._masks[now])
        else:
            self._epoll.modify(file, self._masks[now])

    def forget(self, file: int, watched: Watched, was: int) -> None:
        # The system does the rest at the close, for nobody else has the connection open: a call to it less. (A child
        # process that is being started has it for a moment; what is told of it then finds nobody here.)
        del self._watched[file]

    def _look(self) -> None:
        found = self._watched
        for file, events in self._epoll.poll(0, EVENTS):
            watched = found.get(file)
            if watched is None:
                continue  # gone, by what was done for one before it
            if not events & select.EPOLLIN or events & select.EPOLLOUT:
                watched.writable()
            if events & select.EPOLLIN and found.get(file) is watched:
                watched.readable()

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()


def make_watch() -> Watch:
    return EpollWatch() if hasattr(select, "epoll") else LoopWatch()


class Socket:
    """A connected stream socket that does not block, from now on owned by this object. Subclasses say what happens."""

    __slots__ = ("_file", "_is_ending", "_reads", "_unsent", "_watch", "_watched_for")

    def __init__(self, watch: Watch, file: int) -> None:
        self._watch = watch
        self._file = file
        """-1 once it is closed."""
        self._unsent: bytearray | None = None
        """What the system has no room for."""
        self._reads = True
        self._is_ending = False
        self._watched_for = READ
        watch.change(file, self, 0, READ)

    # --- for subclasses ---

    def received(self, data: bytes) -> None:
        raise NotImplementedError

    def received_eof(self) -> None:
        """The peer sends nothing any more."""
        raise NotImplementedError

    def has_sent(self, left: int) -> None:
        """Some of what there was no room for has left, and `left` bytes have not."""
        raise NotImplementedError

    def gone(self) -> None:
        """The last that is called, once, and never from within a call of this object."""
        raise NotImplementedError

    # --- what may be done to it ---

    @property
    def is_ending(self) -> bool:
        """Nothing can be sent any more."""
        return self._is_ending

    @property
    def unsent(self) -> int:
        """Bytes that the system had no room for."""
        return 0 if self._unsent is None else len(self._unsent)

    def write(self, data: bytes) -> None:
        if self._is_ending:
            return
        if self._unsent is not None:
            self._unsent += data
            return
        try:
            sent = os.write(self._file, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort()
            return
        if sent < len(data):
            self._unsent = bytearray(data[sent:])
            self._look()

    def read_on(self, *, reads: bool) -> None:
        """Whether anything is taken from the peer."""
        self._reads = reads
        self._look()

    def end(self) -> None:
        """Closes it, as soon as all has left."""
        if self._is_ending:
            return
        self._is_ending, self._reads = True, False
        if self._unsent is None:
            self._close()
        else:
            self._look()

    def abort(self) -> None:
        """Closes it now. Done again, it is nothing new."""
        self._is_ending = True
        if self._file >= 0:
            self._close()

    # --- for the watch ---

    def readable(self) -> None:
        if not self._reads:
            return
        try:
            data = os.read(self._file, FIRST_READ)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if len(data) == FIRST_READ:
            data += self._read_more()
        if data:
            self.received(data)
            return
        self._reads = False
        self.received_eof()
        if self._file >= 0:
            self._look()

    def _read_more(self) -> bytes:
        """An end or an error is found again in the next turn."""
        try:
            return os.read(self._file, _READ_SIZE)
        except OSError:
            return b""

    def writable(self) -> None:
        unsent = self._unsent
        if unsent is None:
            # Not asked for: it is broken.
            self.abort()
            return
        try:
            sent = os.write(self._file, unsent)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        del unsent[:sent]
        if not unsent:
            self._unsent = None
            if self._is_ending:
                self._close()
                return
            self._look()
        if not self._is_ending:
            self.has_sent(len(unsent))

    # --- the rest ---

    def _look(self) -> None:
        if self._file < 0:
            return
        wanted = (READ if self._reads else 0) | (0 if self._unsent is None else WRITE)
        self._watch.change(self._file, self, self._watched_for, wanted)
        self._watched_for = wanted

    def _close(self) -> None:
        if self._watched_for:
            self._watch.forget(self._file, self, self._watched_for)
            self._watched_for = 0
        os.close(self._file)
        self._file, self._unsent = -1, None
        asyncio.get_running_loop().call_soon(self.gone)
