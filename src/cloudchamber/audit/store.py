"""SQL of the audit log."""

from collections.abc import Iterable, Sequence

from cloudchamber.audit.model import Entry, Line, Outcome
from cloudchamber.audit.rules import chained
from cloudchamber.clock import Millis
from cloudchamber.storage.database import Reader, Row, Transaction

_LINE = "SELECT seq, at, event, outcome, actor, token, ip, subject, detail, chain FROM audit"


class AuditStore:
    async def append(self, tx: Transaction, entries: Iterable[Entry]) -> None:
        for line in chained(await self.last(tx), entries):
            entry = line.entry
            await tx.execute(
                "INSERT INTO audit (seq, at, event, outcome, actor, token, ip, subject, detail, chain)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                *(line.seq, entry.at, entry.event, entry.outcome.value, entry.actor),
                *(entry.token, entry.ip, entry.subject, entry.detail, line.chain),
            )

    async def last(self, db: Reader) -> Line | None:
        row = await db.fetch_one(f"{_LINE} ORDER BY seq DESC LIMIT 1")
        return _line(row) if row else None

    async def after(self, db: Reader, seq: int, limit: int) -> Sequence[Line]:
        return [_line(row) for row in await db.fetch_all(f"{_LINE} WHERE seq > $1 ORDER BY seq LIMIT $2", seq, limit)]

    async def newest_before(self, db: Reader, at: Millis) -> int | None:
        row = await db.fetch_one("SELECT max(seq) FROM audit WHERE at < $1", at)
        return int(row[0]) if row and row[0] is not None else None

    async def delete_before(self, tx: Transaction, seq: int) -> int:
        return await tx.execute("DELETE FROM audit WHERE seq < $1", seq)


def _line(row: Row) -> Line:
    entry = Entry(Millis(row[1]), row[2], Outcome(row[3]), row[4], row[5], row[6], row[7], row[8])
    return Line(int(row[0]), entry, bytes(row[9]))
