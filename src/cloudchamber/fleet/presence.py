"""Devices that come and go, written down many at a time.

On SQLite each statement lets go of the interpreter's lock and waits for it again while the loop works, which costs more
than what the statement does. So what comes while one transaction is at the disk waits, and makes up the next one, of
few statements for all; what comes alone goes at once. Of one device there is one thing in a transaction, and they go in
the order in which they came.

What was written is published as soon as it is on the disk, before whatever else was committed behind it: who routes a
device's events by what was published last must not end with an older owner. Who waits for it has its turn later, and
is given what was published meanwhile.

What has to be looked at more closely is written by whoever asks: a device whose key is not on record yet, and one that
nobody has named.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from msgspec import structs

from cloudchamber.clock import Millis
from cloudchamber.fleet.model import DeviceRecord, Handshake, RecordedKey
from cloudchamber.fleet.rules import Trust, is_nobodys
from cloudchamber.fleet.service import Devices
from cloudchamber.fleet.store import DeviceStore, KeyStore
from cloudchamber.ids import DeviceId
from cloudchamber.storage.database import MAX_WAITING, Database, Transaction
from cloudchamber.storage.errors import StorageBusy

MAX_AT_ONCE: Final = 64
"""In a transaction. All of them are told in one turn of the loop."""

_Judge = Callable[[DeviceRecord | None, RecordedKey | None, bytes | None], Trust]


@dataclass(frozen=True, slots=True)
class Came:
    """`key` was proved at `at`."""

    device: DeviceId
    key: bytes
    handshake: Handshake
    at: Millis


@dataclass(frozen=True, slots=True)
class Left:
    """It was last heard at `heard`."""

    device: DeviceId
    heard: Millis


@dataclass(frozen=True, slots=True)
class Written:
    """`record` is the device's as it is now; None where it has none, or where nothing was written of it."""

    record: DeviceRecord | None
    worth: Trust = Trust.KNOWN


NOT_WRITTEN: Final = Written(None)
"""Of a device that came: it is to be looked at more closely."""

_Event = Came | Left


class Presence:
    def __init__(self, db: Database, store: DeviceStore, keys: KeyStore, judge: _Judge, devices: Devices) -> None:
        """`judge` is pure: what a key is worth."""
        self._db = db
        self._store = store
        self._keys = keys
        self._judge = judge
        self._devices = devices
        self._settling: dict[DeviceId, Written] = {}
        """What is on the disk and published, and whoever waits for it has not had its turn yet."""
        self._waiting: deque[tuple[_Event, asyncio.Future[Written]]] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def put(self, event: _Event) -> Written:
        """Returns once it is on the disk. Raises StorageUnavailable, StorageBusy."""
        if len(self._waiting) >= MAX_WAITING:
            raise StorageBusy("Too many changes are waiting. Try again later.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Written] = loop.create_future()
        self._waiting.append((event, future))
        if self._writing is None:
            self._writing = loop.create_task(self._work())
        try:
            written = await future
        finally:
            settled = self._settling.pop(event.device, None)
        return settled or written

    def changed(self, record: DeviceRecord) -> None:
        """To be told of each record that is published."""
        settling = self._settling.get(record.id)
        if settling is not None:
            self._settling[record.id] = replace(settling, record=record)

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = self._next()
                if not batch:
                    continue
                try:
                    self._devices.will_write(event.device for event, _ in batch)
                    written = await self._write([event for event, _ in batch])
                except Exception as error:
                    for _, future in batch:
                        if not future.done():  # who waited is gone
                            future.set_exception(error)
                else:
                    for (event, future), each in zip(batch, written, strict=True):
                        if each.record is not None:
                            self._publish(event, each.record)
                        if not future.done():
                            if each.record is not None:
                                self._settling[event.device] = each
                            future.set_result(each)
        finally:
            self._writing = None

    def _publish(self, event: _Event, record: DeviceRecord) -> None:
        # Who left comes again, and is admitted out of memory then.
        if isinstance(event, Left):
            self._devices.publish_written(record)
        else:
            self._devices.publish(record, is_key_kept=True)

    def _next(self) -> list[tuple[_Event, "asyncio.Future[Written]"]]:
        batch: list[tuple[_Event, asyncio.Future[Written]]] = []
        devices: set[DeviceId] = set()
        while self._waiting and len(batch) < MAX_AT_ONCE:
            event, future = self._waiting[0]
            if event.device in devices:
                break
            self._waiting.popleft()
            if not future.done():
                devices.add(event.device)
                batch.append((event, future))
        return batch

    async def _write(self, events: Sequence[_Event]) -> list[Written]:
        devices = [event.device for event in events]
        came = [event.device for event in events if isinstance(event, Came)]

        async def write(tx: Transaction) -> list[Written]:
            records = await self._store.by_ids(tx, devices)
            keys = await self._keys.of_devices(tx, came)
            written: list[Written] = []
            online: list[Came] = []
            offline: list[Left] = []
            for event in events:
                record = records.get(event.device)
                if isinstance(event, Came):
                    written.append(_judged(event, record, self._judge(record, keys.get(event.device), event.key)))
                    if written[-1].record is not None:
                        online.append(event)
                else:
                    written.append(Written(None if record is None else _heard(record, event.heard)))
                    if record is not None:
                        offline.append(event)
            await self._store.set_handshakes(tx, [(each.device, each.handshake, each.at) for each in online])
            await self._store.set_last_heard(tx, [(each.device, each.heard) for each in offline])
            return written

        return await self._db.transaction(write)


def _judged(event: Came, record: DeviceRecord | None, worth: Trust) -> Written:
    if worth is Trust.REFUSED:
        return Written(None, worth)
    if worth is not Trust.KNOWN or record is None or is_nobodys(record):
        return NOT_WRITTEN
    said = event.handshake
    return Written(
        structs.replace(
            record,
            last_ip=said.ip,
            platform_id=record.platform_id if said.platform_id is None else said.platform_id,
            firmware_product_id=said.product_id,
            firmware_version=said.product_version,
            system_version=record.system_version if said.system_version is None else said.system_version,
            is_in_safe_mode=False,
            last_heard=event.at,
            last_handshake_at=event.at,
        )
    )


def _heard(record: DeviceRecord, at: Millis) -> DeviceRecord:
    return (
        record if record.last_heard is not None and record.last_heard >= at else structs.replace(record, last_heard=at)
    )
