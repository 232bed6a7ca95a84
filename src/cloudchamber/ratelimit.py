"""Limits on how often something may be tried. Pure: `now` comes in, what is refused comes out.

**Allowance** is a token bucket, kept as one number a key (the "generic cell rate algorithm"): the time at which the
bucket will be full again. A key may do `times` things at once and then one each `per_ms / times`; the bucket fills by
itself, so nothing has to run.

**Lockouts** counts failures in a row, and refuses everything for a while once there were too many.

Keys come from strangers, so the tables are bounded: when one is full, entries that mean nothing any more go first, and
then the oldest. A wall clock that was set back would refuse for as long as it was wrong, so an entry that lies further
in the future than the rules can put it counts as none.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from math import ceil
from typing import Final, Generic, TypeVar

from cloudchamber.clock import Millis

Key = TypeVar("Key", bound=Hashable)

# About 150 bytes each.
MAX_KEYS: Final = 50_000
# What is thrown away at a time when everything in a full table still counts: so much that the next sweep is far.
_SHARE: Final = 8
# A sum of floats must not refuse the last of a burst.
_TOLERANCE_MS: Final = 0.5


class Allowance(Generic[Key]):
    """At most `times` in a row, refilled evenly over `per_ms`."""

    def __init__(self, times: int, per_ms: int, *, max_keys: int = MAX_KEYS) -> None:
        assert times > 0
        self.times = times
        self._interval_ms = per_ms / times
        self._per_ms = per_ms
        self._max_keys = max_keys
        self._full_at: dict[Key, float] = {}

    def take(self, key: Key, now: Millis) -> int:
        """0 when it may be done, and then it counts; else in how many milliseconds it may."""
        full_at = self._full_at.get(key, 0.0)
        if full_at <= now or full_at > now + self._per_ms:
            if len(self._full_at) >= self._max_keys and key not in self._full_at:
                self._make_room(now)
            self._full_at[key] = now + self._interval_ms
            return 0
        full_at += self._interval_ms
        late = full_at - self._per_ms - now
        if late > _TOLERANCE_MS:
            return ceil(late - _TOLERANCE_MS)
        self._full_at[key] = full_at
        return 0

    def wait_ms(self, key: Key, now: Millis) -> int:
        """What `take` would answer, without counting."""
        full_at = self._full_at.get(key, 0.0)
        if full_at > now + self._per_ms:
            return 0
        return max(0, ceil(full_at + self._interval_ms - self._per_ms - now - _TOLERANCE_MS))

    def __len__(self) -> int:
        return len(self._full_at)

    def _make_room(self, now: Millis) -> None:
        table = self._full_at
        for key in [key for key, full_at in table.items() if full_at <= now or full_at > now + self._per_ms]:
            del table[key]
        excess = len(table) - self._max_keys + self._max_keys // _SHARE
        if excess > 0:
            for key in list(table)[:excess]:
                del table[key]


@dataclass(slots=True)
class _Failures:
    count: int
    last_at: Millis


class Lockouts(Generic[Key]):
    """After `max_failures` without a success in between, nothing for `block_ms`. Failures older than that are
    forgotten."""

    def __init__(self, max_failures: int, block_ms: int, *, max_keys: int = MAX_KEYS) -> None:
        self._max_failures = max_failures
        self._block_ms = block_ms
        self._max_keys = max_keys
        self._failures: dict[Key, _Failures] = {}

    def wait_ms(self, key: Key, now: Millis) -> int:
        """0 when it may be tried; else in how many milliseconds."""
        found = self._failures.get(key)
        if found is None or found.count < self._max_failures or not self._counts(found, now):
            return 0
        return found.last_at + self._block_ms - now

    def failed(self, key: Key, now: Millis) -> bool:
        """True when this failure is the one that begins a block."""
        found = self._failures.get(key)
        if found is None or not self._counts(found, now):
            if found is None and len(self._failures) >= self._max_keys:
                self._make_room(now)
            found = self._failures[key] = _Failures(0, now)
        found.count += 1
        # Tries that were under way when the block began do not make it longer.
        if found.count <= self._max_failures:
            found.last_at = now
        return found.count == self._max_failures

    def succeeded(self, key: Key) -> None:
        """A success forgets the failures before it; what is blocked stays so (it could not have succeeded)."""
        found = self._failures.get(key)
        if found is not None and found.count < self._max_failures:
            del self._failures[key]

    def blocked(self, now: Millis) -> int:
        """How many keys are blocked."""
        return sum(found.count >= self._max_failures and self._counts(found, now) for found in self._failures.values())

    def __len__(self) -> int:
        return len(self._failures)

    def _counts(self, found: _Failures, now: Millis) -> bool:
        return 0 <= now - found.last_at < self._block_ms

    def _make_room(self, now: Millis) -> None:
        table = self._failures
        for key in [key for key, found in table.items() if not self._counts(found, now)]:
            del table[key]
        # Of those that count, whoever is furthest from a block goes first: a block is not lifted by filling the table.
        excess = len(table) - self._max_keys + self._max_keys // _SHARE
        if excess > 0:
            for key in sorted(table, key=lambda key: table[key].count)[:excess]:
                del table[key]
