"""Webhooks of users and of products."""

from typing import Any, Final

from cloudchamber.access.model import Account, Action, ProductResource
from cloudchamber.access.requester import Requester, User
from cloudchamber.access.service import require
from cloudchamber.clock import Clock
from cloudchamber.ids import new_id
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.webhooks.errors import WebhookInvalid, WebhookNotFound
from cloudchamber.webhooks.model import Webhook
from cloudchamber.webhooks.store import WebhookStore

MAX_PER_OWNER: Final = 100
_MAX_EVENT_LENGTH: Final = 64
_MAX_URL_LENGTH: Final = 2_048


class Webhooks:
    def __init__(self, db: Database, store: WebhookStore, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._clock = clock

    async def create(
        self, requester: Requester, product: ProductResource | None, *, event: str, url: str, settings: dict[str, Any]
    ) -> Webhook:
        """Raises AccessRefused, WebhookInvalid."""
        require(requester, Action.INTEGRATIONS_CREATE, product or Account())
        _check(event, url)
        now = self._clock.now()
        kind, owner = _owner(requester, product)
        hook = Webhook(new_id(), kind, owner, event, url, settings, now, now)

        async def insert(tx: Transaction) -> None:
            # Counted here, so that many at once do not get past the limit together.
            if await self._store.count(tx, kind, owner) >= MAX_PER_OWNER:
                raise WebhookInvalid("Too many web hooks for this device")
            await self._store.insert(tx, hook)

        await self._db.transaction(insert)
        return hook

    async def all(self, requester: Requester, product: ProductResource | None) -> list[Webhook]:
        """Raises AccessRefused."""
        require(requester, Action.INTEGRATIONS_LIST, product or Account())
        return await self._store.of_owner(self._db, *_owner(requester, product))

    async def get(self, requester: Requester, product: ProductResource | None, hook: str) -> Webhook:
        """Raises AccessRefused, WebhookNotFound."""
        require(requester, Action.INTEGRATIONS_GET, product or Account())
        found = await self._store.by_id(self._db, *_owner(requester, product), hook)
        if found is None:
            raise WebhookNotFound("Webhook not found")
        return found

    async def delete(self, requester: Requester, product: ProductResource | None, hook: str) -> None:
        """Raises AccessRefused, WebhookNotFound."""
        require(requester, Action.INTEGRATIONS_REMOVE, product or Account())
        kind, owner = _owner(requester, product)

        async def write(tx: Transaction) -> bool:
            return await self._store.delete(tx, kind, owner, hook)

        if not await self._db.transaction(write):
            raise WebhookNotFound("Webhook not found")


def _owner(requester: Requester, product: ProductResource | None) -> tuple[Any, str]:
    if product is not None:
        return "product", str(product.id)
    assert isinstance(requester, User), "the rule lets only users have hooks of their own"
    return "user", requester.id


def _check(event: str, url: str) -> None:
    if not event:
        raise WebhookInvalid("no event name provided")
    if len(event) > _MAX_EVENT_LENGTH:
        raise WebhookInvalid(f"An event name has at most {_MAX_EVENT_LENGTH} characters")
    if not url:
        raise WebhookInvalid("no url provided")
    # A template may stand anywhere in the URL but in its scheme.
    if len(url) > _MAX_URL_LENGTH or not url.lower().startswith(("http://", "https://")):
        raise WebhookInvalid(f"A url begins with http:// or https:// and has at most {_MAX_URL_LENGTH} characters")
