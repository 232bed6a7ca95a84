"""A flight's records in as few datagrams as they fit into."""

from collections.abc import Iterable
from typing import Final

MAX_DATAGRAM: Final = 1200
"""Passes every network that carries IPv6, tunnels included. A whole flight of either end is below 400 bytes."""


def pack(records: Iterable[bytes], max_size: int) -> list[bytes]:
    datagrams: list[bytes] = []
    for record in records:
        if datagrams and len(datagrams[-1]) + len(record) <= max_size:
            datagrams[-1] += record
        else:
            datagrams.append(record)
    return datagrams
