"""The arithmetic of statistics.

**An hour** of a product is a grid of numbers: a row for each figure, a column for each minute; 4 bytes a cell, 3.4 KB
whatever happens. All figures but one are counts, so adding cells sums up any time; devices online are a level, which is
set once a minute, and their sum over a time divided by the minutes in which somebody looked is their average.

**Which minutes** somebody looked in is one number for the whole server and each hour: bit n is minute n. A product in
which nothing happens has no grid and costs nothing, and yet zero (the server ran) and unknown (it did not) stay apart.
"""

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from cloudchamber.clock import DAY, HOUR, MINUTE, Millis
from cloudchamber.statistics.errors import WindowInvalid
from cloudchamber.statistics.model import HOURS_KEPT_MS, MINUTES_KEPT_MS, Bucket, Window
from cloudchamber.tally import FIGURES, Figure

MINUTES: Final = 60
_MOST: Final = 2**32 - 1
# By the bytes that the largest number of a row takes.
_ROWS: Final = {1: struct.Struct("<60B"), 2: struct.Struct("<60H"), 4: struct.Struct("<60I")}

DEFAULT_BUCKET_S: Final = 900


def hour_of(at: int) -> Millis:
    """The hour's beginning."""
    return Millis(at - at % HOUR)


class Hour:
    """One product's figures for each minute of an hour."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells = array("I", bytes(4 * FIGURES * MINUTES))

    def add(self, minute: int, counts: Sequence[int]) -> None:
        """`counts` by Figure; ONLINE is not counted, and so 0."""
        cells, place = self._cells, minute
        for count in counts:
            if count:
                cells[place] = min(cells[place] + count, _MOST)
            place += MINUTES

    def set_online(self, minute: int, devices: int) -> None:
        self._cells[Figure.ONLINE * MINUTES + minute] = devices

    def row(self, figure: int) -> Sequence[int]:
        """For each minute."""
        return self._cells[figure * MINUTES : (figure + 1) * MINUTES]

    def total(self) -> list[int]:
        """By Figure."""
        return [sum(self.row(figure)) for figure in range(FIGURES)]

    def pack(self) -> bytes:
        """For each row the bytes that one of its numbers takes (0: all are zero), and the numbers. Most rows are empty
        or small: a lively product's hour takes 200 bytes."""
        parts = []
        for figure in range(FIGURES):
            row = self.row(figure)
            most = max(row)
            width = 0 if most == 0 else 1 if most < 1 << 8 else 2 if most < 1 << 16 else 4
            parts.append(bytes((width,)))
            if width:
                parts.append(_ROWS[width].pack(*row))
        return b"".join(parts)

    @classmethod
    def unpack(cls, packed: bytes) -> "Hour":
        """Of a version that knew fewer figures, or of one that knew more. Raises ValueError."""
        hour, offset = cls(), 0
        for figure in range(FIGURES):
            if offset == len(packed):
                break
            width = packed[offset]
            offset += 1
            if width:
                layout = _ROWS.get(width)
                if layout is None or offset + layout.size > len(packed):
                    raise ValueError("no hour of statistics")
                hour._cells[figure * MINUTES : (figure + 1) * MINUTES] = array("I", layout.unpack_from(packed, offset))
                offset += layout.size
        return hour


def pack_total(total: Sequence[int]) -> bytes:
    """8 bytes a figure."""
    return struct.pack(f"<{len(total)}Q", *total)


def unpack_total(packed: bytes) -> list[int]:
    """By Figure, whether the version that wrote it knew fewer or more. Raises ValueError."""
    if len(packed) % 8:
        raise ValueError("no total of statistics")
    known = struct.unpack(f"<{len(packed) // 8}Q", packed)
    return [*known[:FIGURES], *[0] * (FIGURES - len(known))]


class Kept(msgspec.Struct, frozen=True):
    """An hour as it is on record: by the minute, or as a total."""

    at: Millis
    grid: Hour | None
    total: Sequence[int]


def window(now: Millis, since: Millis | None, until: Millis | None, bucket_s: int | None) -> Window:
    """What is asked for, as it can be answered: without `since` the day before `until`, without `until` up to now,
    nothing that is not kept any more, buckets of whole minutes, and of whole hours where minutes are not kept. So these
    are never more than 1,500.

    Raises WindowInvalid.
    """
    end = now if until is None else min(until, now)
    begin = Millis(end - DAY) if since is None else since
    if begin >= end:
        raise WindowInvalid("start_date must be before end_date, and before now")
    begin = Millis(max(begin, now - HOURS_KEPT_MS))
    end = max(begin, end)
    size = DEFAULT_BUCKET_S * 1000 if bucket_s is None else bucket_s * 1000
    unit = HOUR if begin < now - MINUTES_KEPT_MS else MINUTE
    size = max(-(-size // unit), 1) * unit
    begin = Millis(begin - begin % size)
    end = Millis(-(-end // size) * size)
    return Window(begin, end, size)


def buckets(window: Window, kept: Iterable[Kept], looked: Mapping[Millis, int]) -> Iterator[Bucket]:
    """Sums up hours, in any order. `looked`: for each hour the minutes, as bits, in which the server looked."""
    size = window.size_ms
    minutes: dict[int, int] = {}
    for hour, mask in looked.items():
        for at, count in _looked_in(window, hour, mask):
            minutes[at] = minutes.get(at, 0) + count
    sums: dict[int, list[int]] = {at: [0] * FIGURES for at in minutes}
    for each in kept:
        if window.is_by_hours:
            sum_ = sums.get(each.at - each.at % size)
            if sum_ is not None and each.at in looked:
                for figure, count in enumerate(each.total):
                    sum_[figure] += count
        elif each.grid is not None:
            _add_minutes(sums, each.grid, each.at, looked.get(each.at, 0), size)
    for at in sorted(minutes):
        yield Bucket(Millis(at), minutes[at], sums[at])


def _looked_in(window: Window, hour: Millis, mask: int) -> Iterator[tuple[int, int]]:
    if window.is_by_hours:
        if window.since <= hour < window.until and mask:
            yield hour - hour % window.size_ms, mask.bit_count()
        return
    for minute in range(MINUTES):
        at = hour + minute * MINUTE
        if mask >> minute & 1 and window.since <= at < window.until:
            yield at - at % window.size_ms, 1


def _add_minutes(sums: dict[int, list[int]], grid: Hour, hour: Millis, mask: int, size: int) -> None:
    for figure, total in enumerate(grid.total()):
        if total == 0:
            continue
        for minute, count in enumerate(grid.row(figure)):
            if count and mask >> minute & 1:
                at = hour + minute * MINUTE
                sum_ = sums.get(at - at % size)
                if sum_ is not None:
                    sum_[figure] += count
