"""Saved sessions, encrypted at rest under the key that lies beside the database."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cloudchamber.clock import DAY, Clock, Millis
from cloudchamber.errors import CloudError
from cloudchamber.resumption.model import SavedSession
from cloudchamber.resumption.store import SealedSession, SessionStore
from cloudchamber.sealing import Sealer
from cloudchamber.storage.batches import Batches
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.sql import in_steps

# Devices sleep for months, on a shelf or in winter; a session costs half a kilobyte.
_KEPT_MS: Final = 400 * DAY

_log = logging.getLogger(__name__)


class SavedSessions:
    def __init__(self, db: Database, store: SessionStore, sealer: Sealer, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._saving = Batches(self._write)

    async def save(self, session: SavedSession) -> None:
        """Durable when it returns: record numbers may be used only below what is on disk. A session that knows its
        device takes the place of the device's older ones."""
        try:
            await self._saving.put(session)
        except CloudError:
            # It may have been another one's fault.
            await self._write((session,))

    async def save_all(self, sessions: Sequence[SavedSession]) -> None:
        """In one transaction, after whatever is being saved. See `save`."""
        await self._saving.settle()
        await self._write(sessions)

    async def _write(self, sessions: Sequence[SavedSession]) -> None:
        now = self._clock.now()
        newest: dict[bytes, SealedSession] = {}
        of_devices: dict[str, bytes] = {}
        for session in sessions:
            sealed = self._sealed(session)
            # Of one session, and of one device's, the last one counts.
            before = newest.pop(sealed.id, None)
            if before is not None and sealed.memory is None:
                sealed = replace(sealed, memory=before.memory)
            if sealed.device is not None:
                older = of_devices.get(sealed.device, sealed.id)
                newest.pop(older, None)
                of_devices[sealed.device] = sealed.id
            newest[sealed.id] = sealed

        async def write(tx: Transaction) -> None:
            for some in in_steps(tuple(newest.values())):
                await self._store.save(tx, some, now)

        await self._db.transaction(write)

    async def by_cid(self, cid: bytes) -> SavedSession | None:
        return self._opened(await self._store.by_cid(self._db, cid))

    async def by_device(self, device: str) -> SavedSession | None:
        return self._opened(await self._store.by_device(self._db, device))

    async def by_address(self, address: str) -> SavedSession | None:
        return self._opened(await self._store.by_address(self._db, address))

    async def forget(self, id_: bytes) -> None:
        async def write(tx: Transaction) -> None:
            await self._store.delete(tx, id_)

        await self._db.transaction(write)

    async def purge(self) -> int:
        """Removes sessions that nobody used for over a year; returns how many."""
        before = Millis(self._clock.now() - _KEPT_MS)

        async def write(tx: Transaction) -> int:
            return await self._store.delete_idle(tx, before)

        return await self._db.transaction(write)

    def _sealed(self, session: SavedSession) -> SealedSession:
        return SealedSession(
            session.id,
            session.cid,
            session.device,
            session.address,
            self._sealer.seal(session.state, session.id),
            session.memory,
        )

    def _opened(self, found: SealedSession | None) -> SavedSession | None:
        if found is None:
            return None
        state = self._sealer.open(found.sealed, found.id)
        if state is None:
            _log.warning("a saved session cannot be decrypted: the sealing key has changed; the device starts anew")
            return None
        return SavedSession(found.id, found.cid, found.device, found.address, state, found.memory)
