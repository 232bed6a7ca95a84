"""Bare connections to a cloud's API, for what an HTTP client would hide: bytes, order, pipelining, ends."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from cloudchamber.app import Cloud


@contextlib.asynccontextmanager
async def connected(cloud: Cloud) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    assert cloud.listening.http is not None
    reader, writer = await asyncio.open_connection(cloud.listening.http.host, cloud.listening.http.port)
    try:
        async with asyncio.timeout(20):
            yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def read(reader: asyncio.StreamReader, *, has_body: bool = True) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None or b" 204 " in head[:13], head
    return head, await reader.readexactly(int(length[1]) if length is not None and has_body else 0)


async def talk(cloud: Cloud, *pieces: bytes, answers: int = 1, pause_s: float = 0.0) -> list[tuple[bytes, bytes]]:
    """Heads and bodies of the answers to all that is sent on one connection."""
    async with connected(cloud) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause_s)
        return [await read(reader, has_body=not pieces[0].startswith(b"HEAD")) for _ in range(answers)]


Talk = Callable[..., Awaitable[bytes]]


@contextlib.asynccontextmanager
async def talking(port: int) -> AsyncIterator[Talk]:
    """Gives what opens a connection to a bare server, sends the pieces, and gives back all that comes until the server
    closes, or until `until` is in it. The connections stay open until the end."""
    writers = []

    async def talk(*pieces: bytes, until: bytes | None = None, pause_s: float = 0.01) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
        got = b""
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    got += piece
                    if until is not None and until in got:
                        break
        return got

    try:
        yield talk
    finally:
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
