"""Hosts that hooks are delivered to, on real sockets: they answer as they are told, and some never do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Answer = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


async def ok(_request: Received, writer: asyncio.StreamWriter) -> None:
    await say(writer, 200, b"thanks")


async def say(writer: asyncio.StreamWriter, status: int, body: bytes = b"", **headers: str) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    writer.write(head.encode() + b"\r\n" + body)
    await writer.drain()


@dataclass
class Host:
    answer: Answer = ok
    received: list[Received] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    port: int = 0
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Received]:
        async with asyncio.timeout(timeout_s):
            while len(self.received) < count:
                self._came.clear()
                await self._came.wait()
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                    method, target, _ = head[0].split(" ")
                    headers = {
                        line.partition(": ")[0].lower(): line.partition(": ")[2] for line in head[1:] if ": " in line
                    }
                    body = await reader.readexactly(int(headers.get("content-length", 0)))
                    request = Received(method, target, headers, body)
                    self.received.append(request)
                    self._came.set()
                    await self.answer(request, writer)
        finally:
            self.open -= 1
            writer.close()


@contextlib.asynccontextmanager
async def hosting(answer: Answer = ok) -> AsyncIterator[Host]:
    host = Host(answer)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await host.serve(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            connections.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        for connection in tuple(connections):
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
