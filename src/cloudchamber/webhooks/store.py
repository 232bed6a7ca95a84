"""SQL of webhooks and their deliveries.

A hook's URL and settings hold other services' passwords and tokens, and a delivery somebody's data: both are sealed.
"""

import base64
import json
import logging
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

import msgspec

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner
from cloudchamber.clock import Millis
from cloudchamber.ids import CustomerId, ProductId, UserId
from cloudchamber.messaging.model import Event
from cloudchamber.sealing import Sealer
from cloudchamber.storage.database import Reader, Row, Transaction, Value
from cloudchamber.storage.notices import put_notice
from cloudchamber.storage.sql import in_steps, places, rows_of_places
from cloudchamber.webhooks.model import DayCount, Delivery, DeliveryState, LogEntry, Webhook

_log = logging.getLogger(__name__)

DeliveryRow = tuple[Value, ...]
_EVENT_FIELDS: Final = Event.__struct_fields__

HOOK_NOTICE: Final = "webhook"
"""Subject of a notice (storage/notices.py), about the id of a webhook that was made, changed or removed."""

_WEBHOOK = "SELECT id, owner_kind, owner_id, event, settings, created_at, updated_at FROM webhooks"
# As many successes and as many errors of each hook are kept to be looked at.
KEPT_LOG_ENTRIES: Final = 10
_PENDING: Final = DeliveryState.PENDING.value


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
        await put_notice(tx, HOOK_NOTICE, hook.id, hook.created_at)

    async def replace(self, tx: Transaction, hook: Webhook) -> bool:
        """All but its id, its owner and when it was made."""
        await put_notice(tx, HOOK_NOTICE, hook.id, hook.updated_at)
        changed = await tx.execute(
            "UPDATE webhooks SET event = $4, settings = $5, updated_at = $6"
            " WHERE id = $1 AND owner_kind = $2 AND owner_id = $3",
            hook.id,
            hook.owner_kind,
            hook.owner_id,
            hook.event,
            self._seal(hook),
            hook.updated_at,
        )
        return changed == 1

    async def all(self, db: Reader) -> list[Webhook]:
        return self._readable(await db.fetch_all(_WEBHOOK))

    async def get(self, db: Reader, hook: str) -> Webhook | None:
        """Whoever's it is."""
        row = await db.fetch_one(f"{_WEBHOOK} WHERE id = $1", hook)
        return self._webhook(row) if row else None

    async def of_owner(self, db: Reader, kind: str, owner: str) -> list[Webhook]:
        return self._readable(
            await db.fetch_all(
                f"{_WEBHOOK} WHERE owner_kind = $1 AND owner_id = $2 ORDER BY created_at, id", kind, owner
            )
        )

    async def by_id(self, db: Reader, kind: str, owner: str, hook: str) -> Webhook | None:
        row = await db.fetch_one(f"{_WEBHOOK} WHERE id = $3 AND owner_kind = $1 AND owner_id = $2", kind, owner, hook)
        return self._webhook(row) if row else None

    async def count(self, db: Reader, kind: str, owner: str) -> int:
        row = await db.fetch_one("SELECT count(*) FROM webhooks WHERE owner_kind = $1 AND owner_id = $2", kind, owner)
        return int(row[0]) if row else 0

    async def delete(self, tx: Transaction, kind: str, owner: str, hook: str, now: Millis) -> bool:
        sql = "DELETE FROM webhooks WHERE id = $3 AND owner_kind = $1 AND owner_id = $2"
        if await tx.execute(sql, kind, owner, hook) == 0:
            return False
        await put_notice(tx, HOOK_NOTICE, hook, now)
        return True

    async def delete_of_owner(self, tx: Transaction, kind: str, owner: str, now: Millis) -> list[str]:
        """The ids of the hooks that were deleted."""
        rows = await tx.fetch_all(
            "DELETE FROM webhooks WHERE owner_kind = $1 AND owner_id = $2 RETURNING id", kind, owner
        )
        hooks = [row[0] for row in rows]
        for hook in hooks:
            await put_notice(tx, HOOK_NOTICE, hook, now)
        return hooks

    def _readable(self, rows: Iterable[Row]) -> list[Webhook]:
        return [hook for row in rows if (hook := self._webhook(row)) is not None]

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


class DeliveryStore:
    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def rows_of(self, deliveries: Iterable[Delivery]) -> list[DeliveryRow]:
        """For `insert`: what costs time is done before the transaction."""
        seal = self._sealer.seal
        return [
            (
                *(delivery.id, delivery.hook, _PENDING, delivery.attempts, delivery.next_at),
                seal(_event_json(delivery.event), delivery.id.encode()),
            )
            for delivery in deliveries
        ]

    async def insert(self, tx: Transaction, rows: Sequence[DeliveryRow]) -> set[str]:
        """Gives the hooks that are gone; what they fired is left out."""
        hooks = {str(row[1]) for row in rows}
        gone = hooks - await self._known(tx, hooks)
        for part in in_steps([row for row in rows if row[1] not in gone] if gone else rows):
            await tx.execute(_insert_deliveries(len(part)), *chain.from_iterable(part))
        return gone

    async def waiting(self, db: Reader) -> dict[str, int]:
        """How many deliveries wait, by hook; those without any are left out."""
        rows = await db.fetch_all(
            "SELECT hook_id, count(*) FROM webhook_deliveries WHERE state = 'pending' GROUP BY hook_id"
        )
        return {hook: int(count) for hook, count in rows}

    async def pending(self, db: Reader, hook: str, limit: int) -> list[Delivery]:
        """Those due first."""
        rows = await db.fetch_all(
            "SELECT id, hook_id, attempts, next_at, sealed FROM webhook_deliveries"
            " WHERE hook_id = $1 AND state = 'pending' ORDER BY next_at, id LIMIT $2",
            hook,
            limit,
        )
        found = []
        for id_, hook, attempts, next_at, sealed in rows:
            opened = self._sealer.open(sealed, id_.encode())
            if opened is not None:
                found.append(Delivery(id_, hook, _event_of(opened), attempts, Millis(next_at)))
        return found

    async def postpone(self, tx: Transaction, delivery: Delivery) -> None:
        await tx.execute(
            "UPDATE webhook_deliveries SET attempts = $2, next_at = $3 WHERE id = $1",
            delivery.id,
            delivery.attempts,
            delivery.next_at,
        )

    async def forget(self, tx: Transaction, deliveries: Sequence[str]) -> None:
        """Those that their hosts have taken."""
        for some in in_steps(deliveries):
            await tx.execute(f"DELETE FROM webhook_deliveries WHERE id IN ({places(len(some))})", *some)

    async def fail(self, tx: Transaction, ended: Sequence[tuple[LogEntry, Event]]) -> None:
        """In the order in which they ended. Of each hook the last ones stay, with their events, to be tried again."""
        by_hook: dict[str, list[tuple[LogEntry, Event]]] = {}
        for entry, event in ended:
            by_hook.setdefault(entry.hook, []).append((entry, event))
        for hook, entries in by_hook.items():
            await self.forget(tx, [entry.id for entry, _ in entries[:-KEPT_LOG_ENTRIES]])
            for entry, event in entries[-KEPT_LOG_ENTRIES:]:
                await tx.execute(
                    "UPDATE webhook_deliveries SET state = $2, attempts = $3, finished_at = $4, sealed = $5"
                    " WHERE id = $1",
                    entry.id,
                    entry.state.value,
                    entry.attempts,
                    entry.finished_at,
                    self._sealer.seal(_shown_json(entry, event), entry.id.encode()),
                )
            await self._forget_older(tx, hook, DeliveryState.FAILED)

    async def show(self, tx: Transaction, entries: Sequence[LogEntry]) -> None:
        """Puts successes on record that owners may look at; of each hook the last ones stay."""
        for hook in await self._known(tx, {entry.hook for entry in entries}):
            for entry in entries:
                if entry.hook == hook:
                    await tx.execute(
                        "INSERT INTO webhook_deliveries (id, hook_id, state, attempts, next_at, finished_at, sealed)"
                        " VALUES ($1, $2, $3, $4, $5, $5, $6)",
                        entry.id,
                        hook,
                        entry.state.value,
                        entry.attempts,
                        entry.finished_at,
                        self._sealer.seal(_shown_json(entry, None), entry.id.encode()),
                    )
            await self._forget_older(tx, hook, DeliveryState.DELIVERED)

    async def _forget_older(self, tx: Transaction, hook: str, state: DeliveryState) -> None:
        await tx.execute(
            "DELETE FROM webhook_deliveries WHERE hook_id = $1 AND state = $2 AND finished_at < ("
            " SELECT min(finished_at) FROM ("
            "  SELECT finished_at FROM webhook_deliveries WHERE hook_id = $1 AND state = $2"
            f"  ORDER BY finished_at DESC LIMIT {KEPT_LOG_ENTRIES}) AS kept)",
            hook,
            state.value,
        )

    async def _known(self, tx: Transaction, hooks: Collection[str]) -> set[str]:
        """Those that are not gone."""
        known: set[str] = set()
        for some in in_steps(list(hooks)):
            found = await tx.fetch_all(f"SELECT id FROM webhooks WHERE id IN ({places(len(some))})", *some)
            known.update(row[0] for row in found)
        return known

    async def log(self, db: Reader, hook: str) -> list[LogEntry]:
        """The last successes and errors, newest first."""
        rows = await db.fetch_all(
            "SELECT id, state, attempts, finished_at, sealed FROM webhook_deliveries"
            " WHERE hook_id = $1 AND state <> 'pending' ORDER BY finished_at DESC, id LIMIT $2",
            hook,
            4 * KEPT_LOG_ENTRIES,
        )
        entries = []
        for id_, state, attempts, finished_at, sealed in rows:
            opened = self._sealer.open(sealed, id_.encode())
            if opened is not None:
                shown = json.loads(opened)
                entries.append(
                    LogEntry(
                        id_,
                        hook,
                        shown["event"],
                        DeliveryState(state),
                        attempts,
                        Millis(finished_at),
                        shown["request"],
                        shown["response"],
                    )
                )
        return entries

    async def failed_event(self, db: Reader, hook: str, delivery: str) -> Event | None:
        """Of a delivery that failed; None once it is forgotten."""
        row = await db.fetch_one(
            "SELECT sealed FROM webhook_deliveries WHERE id = $1 AND hook_id = $2 AND state = 'failed'", delivery, hook
        )
        opened = None if row is None else self._sealer.open(row[0], delivery.encode())
        again = None if opened is None else json.loads(opened).get("again")
        return None if again is None else _event_of(again.encode())

    async def count(self, tx: Transaction, counts: Iterable[tuple[str, DayCount]]) -> None:
        for hook, counted in counts:
            await tx.execute(
                "INSERT INTO webhook_counters (hook_id, day, success, error, skipped)"
                " SELECT id, $2, CAST($3 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS BIGINT) FROM webhooks WHERE id = $1"
                " ON CONFLICT (hook_id, day) DO UPDATE SET success = webhook_counters.success + excluded.success,"
                " error = webhook_counters.error + excluded.error,"
                " skipped = webhook_counters.skipped + excluded.skipped",
                hook,
                counted.day,
                counted.success,
                counted.error,
                counted.skipped,
            )

    async def counters(self, db: Reader, hook: str) -> list[DayCount]:
        """Oldest first."""
        rows = await db.fetch_all(
            "SELECT day, success, error, skipped FROM webhook_counters WHERE hook_id = $1 ORDER BY day", hook
        )
        return [DayCount(*row) for row in rows]

    async def forget_counters(self, tx: Transaction, before_day: str) -> int:
        return await tx.execute("DELETE FROM webhook_counters WHERE day < $1", before_day)


@lru_cache(maxsize=16)
def _insert_deliveries(rows: int) -> str:
    return (
        "INSERT INTO webhook_deliveries (id, hook_id, state, attempts, next_at, sealed) VALUES"
        f" {rows_of_places(rows, 6)}"
    )


def _shown_json(entry: LogEntry, event: Event | None) -> bytes:
    shown = {"event": entry.event_name, "request": entry.request, "response": entry.response}
    if event is not None:
        shown["again"] = _event_json(event).decode()
    return msgspec.json.encode(shown)


def _event_json(event: Event) -> bytes:
    owner = event.owner
    known = {name: getattr(event, name) for name in _EVENT_FIELDS}
    known["owner"] = None if owner is None else ["user" if isinstance(owner, OwnedByUser) else "customer", owner.id]
    return msgspec.json.encode(known)


def _event_of(text: bytes) -> Event:
    known = json.loads(text)
    owner: Owner | None = None
    if known["owner"] is not None:
        kind, id_ = known["owner"]
        owner = OwnedByUser(UserId(id_)) if kind == "user" else OwnedByCustomer(CustomerId(id_))
    product = None if known["product"] is None else ProductId(known["product"])
    return Event(**{**known, "owner": owner, "product": product})
