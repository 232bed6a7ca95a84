"""SQL of webhooks."""

import json

from cloudchamber.clock import Millis
from cloudchamber.storage.database import Reader, Row, Transaction
from cloudchamber.webhooks.model import Webhook

_WEBHOOK = "SELECT id, owner_kind, owner_id, event, url, settings, created_at, updated_at FROM webhooks"


class WebhookStore:
    async def insert(self, tx: Transaction, hook: Webhook) -> None:
        await tx.execute(
            "INSERT INTO webhooks (id, owner_kind, owner_id, event, url, settings, created_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            hook.id,
            hook.owner_kind,
            hook.owner_id,
            hook.event,
            hook.url,
            json.dumps(hook.settings),
            hook.created_at,
            hook.updated_at,
        )

    async def of_owner(self, db: Reader, kind: str, owner: str) -> list[Webhook]:
        rows = await db.fetch_all(
            f"{_WEBHOOK} WHERE owner_kind = $1 AND owner_id = $2 ORDER BY created_at, id", kind, owner
        )
        return [_webhook(row) for row in rows]

    async def by_id(self, db: Reader, kind: str, owner: str, hook: str) -> Webhook | None:
        row = await db.fetch_one(f"{_WEBHOOK} WHERE id = $3 AND owner_kind = $1 AND owner_id = $2", kind, owner, hook)
        return _webhook(row) if row else None

    async def count(self, db: Reader, kind: str, owner: str) -> int:
        row = await db.fetch_one("SELECT count(*) FROM webhooks WHERE owner_kind = $1 AND owner_id = $2", kind, owner)
        return int(row[0]) if row else 0

    async def delete(self, tx: Transaction, kind: str, owner: str, hook: str) -> bool:
        return (
            await tx.execute(
                "DELETE FROM webhooks WHERE id = $3 AND owner_kind = $1 AND owner_id = $2", kind, owner, hook
            )
            == 1
        )


def _webhook(row: Row) -> Webhook:
    return Webhook(row[0], row[1], row[2], row[3], row[4], json.loads(row[5]), Millis(row[6]), Millis(row[7]))
