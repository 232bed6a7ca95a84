"""SQL of webhooks. Their URLs and settings hold other services' passwords and tokens, so they are sealed."""

import base64
import json
import logging

from cloudchamber.clock import Millis
from cloudchamber.sealing import Sealer
from cloudchamber.storage.database import Reader, Row, Transaction
from cloudchamber.webhooks.model import Webhook

_log = logging.getLogger(__name__)

_WEBHOOK = "SELECT id, owner_kind, owner_id, event, settings, created_at, updated_at FROM webhooks"


class WebhookStore:
    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def insert(self, tx: Transaction, hook: Webhook) -> None:
        await tx.execute(
            "INSERT INTO webhooks (id, owner_kind, owner_id, event, url, settings, created_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            hook.id,
            hook.owner_kind,
            hook.owner_id,
            hook.event,
            "",  # sealed with the settings
            self._seal(hook),
            hook.created_at,
            hook.updated_at,
        )

    async def of_owner(self, db: Reader, kind: str, owner: str) -> list[Webhook]:
        rows = await db.fetch_all(
            f"{_WEBHOOK} WHERE owner_kind = $1 AND owner_id = $2 ORDER BY created_at, id", kind, owner
        )
        return [hook for row in rows if (hook := self._webhook(row)) is not None]

    async def by_id(self, db: Reader, kind: str, owner: str, hook: str) -> Webhook | None:
        row = await db.fetch_one(f"{_WEBHOOK} WHERE id = $3 AND owner_kind = $1 AND owner_id = $2", kind, owner, hook)
        return self._webhook(row) if row else None

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

    def _seal(self, hook: Webhook) -> str:
        secret = json.dumps({"url": hook.url, "settings": hook.settings}).encode()
        return base64.b64encode(self._sealer.seal(secret, hook.id.encode())).decode()

    def _webhook(self, row: Row) -> Webhook | None:
        """None when the sealing key is another one now: the hook has to be made anew."""
        opened = self._sealer.open(base64.b64decode(row[4]), row[0].encode())
        if opened is None:
            _log.warning("webhook %s cannot be decrypted: the sealing key has changed", row[0])
            return None
        secret = json.loads(opened)
        return Webhook(
            row[0], row[1], row[2], row[3], secret["url"], secret["settings"], Millis(row[5]), Millis(row[6])
        )
