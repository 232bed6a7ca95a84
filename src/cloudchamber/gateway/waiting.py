"""Connections that are accepted and wait to be served: in turns among their addresses, in order within each.

The kernel's queue is first come, first served, holds 4,096 connections, and beyond that forgets some whose last
acknowledgement it dropped: their devices believe that they are connected, and wait for a nonce until they give up. Here
none is forgotten, and whoever comes a thousand times stands behind itself and not before a device of another address.
"""

import socket
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitingRoom(Generic[T]):
    """Who puts them there bounds how many there are."""

    def __init__(self) -> None:
        self._lines: dict[str | bytes, deque[T]] = {}
        """By source; the first one's turn is next."""
        self.count = 0
        """Those who are there."""

    def put(self, source: str | bytes, item: T) -> None:
        line = self._lines.get(source)
        if line is None:
            line = self._lines[source] = deque()
        line.append(item)
        self.count += 1

    def take(self) -> T:
        """The next one. Raises StopIteration where there is none."""
        source = next(iter(self._lines))
        line = self._lines.pop(source)
        self.count -= 1
        item = line.popleft()
        if line:
            self._lines[source] = line
        return item


def source_of(ip: str) -> str | bytes:
    """Who takes turns: an IPv4 address, or the first 64 bits of an IPv6 address, of which one host has as many as it
    wants."""
    return socket.inet_pton(socket.AF_INET6, ip.partition("%")[0])[:8] if ":" in ip else ip
