"""Bare connections to a cloud's API, for what an HTTP client would hide: bytes, order, pipelining, ends."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

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


async def talk(cloud: Cloud, *pieces: bytes, answers: int = 1) -> list[tuple[bytes, bytes]]:
    """Heads and bodies of the answers to all that is sent on one connection."""
    async with connected(cloud) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        return [await read(reader, has_body=not pieces[0].startswith(b"HEAD")) for _ in range(answers)]
