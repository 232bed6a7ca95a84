"""Devices kept in memory, so that a request whose token is known needs no database.

What is kept is right because every change of a device is published on the bus once it is committed and before its
caller is answered, and the publication drops what it touches: the device's record, the list that held it, and the list
of the owner that it has now. A reader says at which `version` it began to read: what it brings is kept only if nothing
was dropped since, because its read may have been older than the change.

Keys of devices are kept in the same manner, apart: a device's record changes whenever it comes or goes, and its key
hardly ever.
"""

from collections.abc import Callable, Iterable
from typing import Final

from cloudchamber.access.model import Owner
from cloudchamber.fleet.model import DeviceRecord, RecordedKey
from cloudchamber.ids import DeviceId

# About half a kilobyte each; what fell out is read from the database at its next use.
MAX_CACHED: Final = 20_000


class DeviceCache:
    def __init__(self, limit: int = MAX_CACHED) -> None:
        """`limit` bounds the records, the lists, and the devices that stand in lists."""
        self._limit = limit
        self._records: dict[str, DeviceRecord] = {}
        self._lists: dict[Owner, tuple[DeviceRecord, ...]] = {}
        self._listed: dict[DeviceId, Owner] = {}
        self._being_written: set[DeviceId] = set()
        self.record: Callable[[str], DeviceRecord | None] = self._records.get
        """By id; whatever is no id has none."""
        self.version = 0
        """Goes up with each change."""

    def of_owner(self, owner: Owner) -> tuple[DeviceRecord, ...] | None:
        """An owner's whole list; None when only the database knows it."""
        return self._lists.get(owner)

    def keep(self, record: DeviceRecord, version: int) -> None:
        if version != self.version:
            return
        self._records[record.id] = record
        if len(self._records) > self._limit:
            del self._records[next(iter(self._records))]

    def will_write(self, devices: Iterable[DeviceId]) -> None:
        """A transaction begins that writes these; the one that was named before is over."""
        self._being_written = set(devices)

    def is_unchanged(self, device: DeviceId) -> bool:
        """No change of the device was published since it was named to `will_write`."""
        return device in self._being_written

    def keep_listed(self, record: DeviceRecord, version: int) -> None:
        """As `keep`, of what a page of a large fleet shows: it must not push out what is asked for time and again."""
        if len(self._records) < self._limit // 2:
            self.keep(record, version)

    def keep_list(self, owner: Owner, records: tuple[DeviceRecord, ...], version: int) -> None:
        if version != self.version:
            return
        # A device can stand in the list of its last owner, too, read just before a change that is not published yet.
        for holder in {owner, *(self._listed.get(record.id, owner) for record in records)}:
            self._drop_list(holder)
        self._lists[owner] = records
        self._listed.update((record.id, owner) for record in records)
        while len(self._lists) > self._limit or len(self._listed) > self._limit:
            self._drop_list(next(iter(self._lists)))

    def changed(self, record: DeviceRecord) -> None:
        """Forgets what a device's change made untrue; `record` is the device as it is now."""
        self.version += 1
        self._being_written.discard(record.id)
        self._records.pop(record.id, None)
        for owner in (self._listed.get(record.id), record.owner):
            if owner is not None:
                self._drop_list(owner)

    def clear(self) -> None:
        self.version += 1
        self._being_written.clear()
        self._records.clear()
        self._lists.clear()
        self._listed.clear()

    def _drop_list(self, owner: Owner) -> None:
        for record in self._lists.pop(owner, ()):
            del self._listed[record.id]


class KeyCache:
    """Keys on record. That a device has none is not kept, for anybody can ask for any id."""

    def __init__(self, limit: int = MAX_CACHED) -> None:
        self._limit = limit
        self._keys: dict[DeviceId, RecordedKey] = {}
        self.key: Callable[[DeviceId], RecordedKey | None] = self._keys.get
        """May be asked from any thread."""
        self.version = 0
        """Goes up with each change."""

    def keep(self, device: DeviceId, key: RecordedKey, version: int) -> None:
        if version != self.version:
            return
        self._keys[device] = key
        if len(self._keys) > self._limit:
            del self._keys[next(iter(self._keys))]

    def forget(self, device: DeviceId) -> None:
        self.version += 1
        self._keys.pop(device, None)
