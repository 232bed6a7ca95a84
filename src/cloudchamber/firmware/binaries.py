"""Firmware files, from the database to whoever sends them.

Fifty devices that take the same file at once share one copy of it.
"""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Final

from cloudchamber.clock import HOUR, Clock, Millis
from cloudchamber.firmware.model import BinaryHash
from cloudchamber.firmware.store import BinaryStore
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.wire.update.sending import Image

MAX_CACHED: Final = 32 * 1024 * 1024
"""Bytes. What is being sent is held by its sessions besides."""

UNUSED_AFTER_MS: Final = HOUR
"""A file that is just being brought belongs to nobody yet."""


def hash_of(data: bytes) -> BinaryHash:
    return BinaryHash(hashlib.sha256(data).digest())


class Binaries:
    def __init__(self, db: Database, store: BinaryStore, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._clock = clock
        self._cache: OrderedDict[BinaryHash, Image] = OrderedDict()
        self._cached = 0
        self._loading: dict[BinaryHash, asyncio.Task[Image | None]] = {}

    async def keep(self, tx: Transaction, hash_: BinaryHash, data: bytes, now: Millis) -> None:
        """Inside the transaction that says whose file it is."""
        await self._store.insert(tx, hash_, data, now)

    async def image(self, hash_: BinaryHash) -> Image | None:
        """None when the file is not kept any more."""
        found = self._cache.get(hash_)
        if found is not None:
            self._cache.move_to_end(hash_)
            return found
        loading = self._loading.get(hash_)
        if loading is None:
            loading = self._loading[hash_] = asyncio.get_running_loop().create_task(self._load(hash_))
            loading.add_done_callback(lambda _: self._loading.pop(hash_, None))
        # Whoever gives up leaves the others their file.
        return await asyncio.shield(loading)

    async def data(self, hash_: BinaryHash) -> bytes | None:
        """For a download, which must not push out what devices are being sent."""
        found = self._cache.get(hash_)
        return found.data if found is not None else await self._store.load(self._db, hash_)

    async def _load(self, hash_: BinaryHash) -> Image | None:
        data = await self._store.load(self._db, hash_)
        if data is None:
            return None
        image = Image(data, hash_)
        self._cache[hash_] = image
        self._cached += len(data)
        while self._cached > MAX_CACHED and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._cached -= len(oldest.data)
        return image

    async def purge(self) -> int:
        """Deletes what nobody needs any more."""
        before = Millis(self._clock.now() - UNUSED_AFTER_MS)

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_unused(tx, before)

        return await self._db.transaction(delete)
