"""SQL of saved sessions. What is in `sealed` is encrypted before it comes here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from cloudchamber.clock import Millis
from cloudchamber.storage.database import Reader, Row, Transaction
from cloudchamber.storage.sql import places, rows_of_places

_SESSION = "SELECT id, cid, device_id, address, sealed, memory FROM dtls_sessions"


@dataclass(frozen=True, slots=True)
class SealedSession:
    id: bytes
    cid: bytes | None
    device: str | None
    address: str
    sealed: bytes
    memory: bytes | None


class SessionStore:
    async def save(self, tx: Transaction, sessions: Sequence[SealedSession], now: Millis) -> None:
        """`memory` None leaves what is there. No two of one session, nor of one device, whose others go."""
        values = chain.from_iterable(
            (each.id, each.cid, each.device, each.address, each.sealed, each.memory, now) for each in sessions
        )
        await tx.execute(_save(len(sessions)), *values)
        devices = [each.device for each in sessions if each.device is not None]
        if devices:
            ids = [each.id for each in sessions]
            await tx.execute(
                f"DELETE FROM dtls_sessions WHERE device_id IN ({places(len(devices))})"
                f" AND id NOT IN ({places(len(ids), len(devices) + 1)})",
                *devices,
                *ids,
            )

    async def by_cid(self, db: Reader, cid: bytes) -> SealedSession | None:
        return _session(await db.fetch_one(f"{_SESSION} WHERE cid = $1", cid))

    async def by_device(self, db: Reader, device: str) -> SealedSession | None:
        return _session(await db.fetch_one(f"{_SESSION} WHERE device_id = $1 ORDER BY updated_at DESC", device))

    async def by_address(self, db: Reader, address: str) -> SealedSession | None:
        """Only sessions without a connection id are looked for where they were last."""
        return _session(
            await db.fetch_one(f"{_SESSION} WHERE address = $1 AND cid IS NULL ORDER BY updated_at DESC", address)
        )

    async def delete(self, tx: Transaction, id_: bytes) -> None:
        await tx.execute("DELETE FROM dtls_sessions WHERE id = $1", id_)

    async def delete_idle(self, tx: Transaction, before: Millis) -> int:
        return await tx.execute("DELETE FROM dtls_sessions WHERE updated_at < $1", before)


@lru_cache(maxsize=16)
def _save(rows: int) -> str:
    return (
        "INSERT INTO dtls_sessions (id, cid, device_id, address, sealed, memory, updated_at)"
        f" VALUES {rows_of_places(rows, 7)} ON CONFLICT (id) DO UPDATE SET device_id = excluded.device_id,"
        " address = excluded.address, sealed = excluded.sealed,"
        " memory = COALESCE(excluded.memory, dtls_sessions.memory), updated_at = excluded.updated_at"
    )


def _session(row: Row | None) -> SealedSession | None:
    if row is None:
        return None
    return SealedSession(
        bytes(row[0]),
        bytes(row[1]) if row[1] is not None else None,
        row[2],
        row[3],
        bytes(row[4]),
        bytes(row[5]) if row[5] is not None else None,
    )
