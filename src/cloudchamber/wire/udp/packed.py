"""A session over datagrams between two messages, as small as it gets: `CloudDatagramSession.pack` and `unpack`.

Of ten thousand devices that are online nearly all are silent at a time. What devices of one firmware say alike stands
here once; what is a session's own is a hundred bytes. It holds for one process, because it counts in that one's
monotonic time: what a store is given is a `SessionMemory`.
"""

import struct
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from cloudchamber.wire.describe import Application
from cloudchamber.wire.messages import Hello, Subscription
from cloudchamber.wire.session.limits import DeviceLimits


class Alike(msgspec.Struct, frozen=True):
    """`hello` is without its device id."""

    hello: Hello
    limits: DeviceLimits
    application: Application | None
    subscriptions: tuple[Subscription, ...]
    chunk_size: int


@lru_cache(1024)
def shared(alike: Alike) -> Alike:
    """An equal one that is there already."""
    return alike


class Own(NamedTuple):
    """The attributes of a session that is at rest, by their names in `CloudDatagramSession` and its parts."""

    device_id: bytes
    system_digest: bytes
    has_system_digest: bool
    is_quiet: bool
    asks: int
    next_token: int
    next_id: int
    ids_given: int
    reserved_id: int
    newest_id: int
    goodbye_id: int
    ids_begun_at: float
    newest_at: float
    goodbye_at: float
    heard_at: float
    lossy_until: float


_OWN: Final = struct.Struct(">12s8s??BB5H5d")


class PackedSession(msgspec.Struct, frozen=True, gc=False):
    alike: Alike
    _data: bytes

    @classmethod
    def of(cls, alike: Alike, own: Own, heard: bytes) -> "PackedSession":
        """`alike` is a `shared` one; `heard` is of `Reliability.pack`."""
        return cls(alike, _OWN.pack(*own) + heard)

    @property
    def own(self) -> Own:
        return Own(*_OWN.unpack_from(self._data))

    @property
    def heard(self) -> bytes:
        return self._data[_OWN.size :]
