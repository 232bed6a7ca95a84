"""A host that hooks are delivered to: answers every request with an empty 200, and tells at /count how many there were.

`python -m bench.receiver`, a process of its own.
"""

import asyncio
import re
import signal
from typing import Final, cast

import uvloop

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_COUNT: Final = b"GET /count "
_EMPTY: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class _Protocol(asyncio.Protocol):
    taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        while (head := buffer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(buffer, 0, head)
            end = head + 4 + (int(found[1]) if found else 0)
            if len(buffer) < end:
                break
            if buffer.startswith(_COUNT):
                body = b"%d" % _Protocol.taken
                self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            else:
                _Protocol.taken += 1
                self._transport.write(_EMPTY)
            buffer = buffer[end:]
        self._buffer = buffer


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Protocol, "127.0.0.1", 0)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    print(f"ready http=http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stopped.wait()


if __name__ == "__main__":
    uvloop.run(main())
