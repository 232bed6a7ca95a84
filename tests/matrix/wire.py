"""A client for thousands of small requests: one connection, nothing but what the matrix needs."""

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    body: Any
    """What the JSON says; None for no body, a stream, or something that is not JSON."""
    raw: bytes = b""


class Wire:
    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, token: str | None, body: Any = None) -> Answer:
        """`body` is JSON, or bytes that claim to be it. A stream is left as soon as it has begun."""
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        assert self._reader is not None
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        head = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(content)}"]
        if token is not None:
            head.append(f"Authorization: Bearer {token}")
        if content:
            head.append("Content-Type: application/json")
        self._writer.write(("\r\n".join(head) + "\r\n\r\n").encode() + content)
        async with asyncio.timeout(20):
            raw = await self._reader.readuntil(b"\r\n\r\n")
            status_line, *lines = raw.decode("latin-1").rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            status = int(status_line.split()[1])
            content_type = headers.get("content-type", "")
            if "content-length" not in headers and status not in {204, 304}:
                await self.aclose()
                return Answer(status, content_type, None)
            length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
            data = await self._reader.readexactly(length)
        if headers.get("connection") == "close":
            await self.aclose()
        is_json = data and content_type.startswith("application/json")
        return Answer(status, content_type, msgspec.json.decode(data) if is_json else None, data)

    async def aclose(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
