"""Clients, and what their products have set for tokens, kept in memory: each token that is issued or looked into asks
for both.

Whoever changes one in this process drops it before the change is answered. What another process changed (the command
line works beside a running cloud) is seen within `KEPT_MS`. A reader that began before a change does not keep what it
read.
"""

from typing import Any, Final

from cloudchamber.clock import Clock, Millis
from cloudchamber.ids import ClientId, ProductId
from cloudchamber.oauth.model import Client
from cloudchamber.oauth.store import ClientStore
from cloudchamber.storage.database import Database

KEPT_MS: Final = 1_000

# A kilobyte each at most. There is no order among them: they are read again every second anyway.
_MAX_KEPT: Final = 5_000


class KnownClients:
    def __init__(self, db: Database, store: ClientStore, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._clock = clock
        self._clients: dict[ClientId, tuple[Client, Millis]] = {}
        self._settings: dict[ProductId, tuple[dict[str, Any], Millis]] = {}
        self._changes = 0

    def now(self, client: ClientId) -> Client | None:
        """A client, enabled or not, from memory; None where only `get` can tell."""
        kept = self._clients.get(client)
        return kept[0] if kept is not None and self._counts(kept[1]) else None

    async def get(self, client: ClientId) -> Client | None:
        """A client, enabled or not; None where there is none."""
        known = self.now(client)
        if known is not None:
            return known
        changes, now = self._changes, self._clock.now()
        found = await self._store.by_id(self._db, client)
        # Only what is there is kept: who tries names fills nothing.
        if found is not None and changes == self._changes:
            if len(self._clients) >= _MAX_KEPT:
                self._clients.clear()
            self._clients[client] = (found, now)
        return found

    async def product_settings(self, product: ProductId) -> dict[str, Any]:
        """What a product's team has set. Not to be altered."""
        kept = self._settings.get(product)
        if kept is not None and self._counts(kept[1]):
            return kept[0]
        changes, now = self._changes, self._clock.now()
        found = await self._store.product_settings(self._db, product)
        if changes == self._changes:
            if len(self._settings) >= _MAX_KEPT:
                self._settings.clear()
            self._settings[product] = (found, now)
        return found

    def forget(self) -> None:
        """Something that is kept may have changed."""
        self._changes += 1
        self._clients.clear()
        self._settings.clear()

    def _counts(self, kept_at: Millis) -> bool:
        # A clock that was set back would keep it for as long as it was wrong.
        return 0 <= self._clock.now() - kept_at < KEPT_MS
