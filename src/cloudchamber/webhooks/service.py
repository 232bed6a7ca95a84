"""Webhooks of users and of products."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from cloudchamber.access.model import Account, Action, OrganizationResource, OwnedByUser, ProductResource
from cloudchamber.access.requester import Requester, User
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.ids import UserId, new_id
from cloudchamber.messaging.model import DEFAULT_TTL_S, FROM_API, Event
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.webhooks.deliveries import HOOK_CHANGED, HOOK_DELETED, Deliveries
from cloudchamber.webhooks.errors import WebhookInvalid, WebhookNotFound
from cloudchamber.webhooks.model import DayCount, LogEntry, Webhook
from cloudchamber.webhooks.requests import check_templates
from cloudchamber.webhooks.store import WebhookStore
from cloudchamber.webhooks.worker import Worker

MAX_PER_OWNER: Final = 100
_MAX_EVENT_LENGTH: Final = 64
_MAX_URL_LENGTH: Final = 2_048


Place = ProductResource | OrganizationResource
"""What a hook can belong to, other than a user."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A hook with what became of its events: the last of them, and one count a day."""

    hook: Webhook
    log: list[LogEntry]
    counters: list[DayCount]


class Webhooks:
    def __init__(
        self,
        db: Database,
        store: WebhookStore,
        bus: InProcessBus,
        clock: Clock,
        deliveries: Deliveries,
        worker: Worker | None = None,
    ) -> None:
        self._db = db
        self._store = store
        self._bus = bus
        self._clock = clock
        self._deliveries = deliveries
        self._worker = worker

    async def create(
        self, requester: Requester, place: Place | None, *, event: str, url: str, settings: dict[str, Any]
    ) -> Webhook:
        """Raises AccessRefused, WebhookInvalid."""
        require(requester, Action.INTEGRATIONS_CREATE, place or Account())
        now = self._clock.now()
        kind, owner = _owner(requester, place)
        hook = Webhook(new_id(), kind, owner, event, url, settings, now, now)
        _check(hook)

        async def insert(tx: Transaction) -> None:
            # Counted here, so that many at once do not get past the limit together.
            if await self._store.count(tx, kind, owner) >= MAX_PER_OWNER:
                raise WebhookInvalid("Too many web hooks for this device")
            await self._store.insert(tx, hook)

        await self._db.transaction(insert)
        self._bus.publish(HOOK_CHANGED, hook)
        return hook

    async def replace(
        self,
        requester: Requester,
        place: Place | None,
        hook: str,
        *,
        event: str,
        url: str,
        settings: dict[str, Any],
    ) -> Webhook:
        """Everything but its id. Deliveries that wait go by the new settings.

        Raises AccessRefused, WebhookNotFound, WebhookInvalid.
        """
        require(requester, Action.INTEGRATIONS_UPDATE, place or Account())
        known = await self._known(requester, place, hook)
        new = replace(known, event=event, url=url, settings=settings, updated_at=self._clock.now())
        _check(new)

        async def write(tx: Transaction) -> bool:
            return await self._store.replace(tx, new)

        if not await self._db.transaction(write):
            raise WebhookNotFound("Webhook not found")
        self._bus.publish(HOOK_CHANGED, new)
        return new

    async def all(self, requester: Requester, place: Place | None) -> list[Webhook]:
        """Raises AccessRefused."""
        require(requester, Action.INTEGRATIONS_LIST, place or Account())
        return await self._store.of_owner(self._db, *_owner(requester, place))

    async def get(self, requester: Requester, place: Place | None, hook: str) -> Seen:
        """Raises AccessRefused, WebhookNotFound."""
        require(requester, Action.INTEGRATIONS_GET, place or Account())
        known = await self._known(requester, place, hook)
        # Counters first: what they count is in the log by then.
        counters = await self._deliveries.counters(hook)
        return Seen(known, await self._deliveries.log(hook), counters)

    async def test(self, requester: Requester, place: Place | None, hook: str) -> tuple[bool, str]:
        """Sends what an example event would cause, at once: whether it worked, and what a device would be told. The
        log and the counters do not hear of it.

        Raises AccessRefused, WebhookNotFound.
        """
        require(requester, Action.INTEGRATIONS_TEST, place or Account())
        known = await self._known(requester, place, hook)
        assert self._worker is not None, "a cloud without the worker's role has no test"
        owner = OwnedByUser(requester.id) if place is None and isinstance(requester, User) else None
        event = Event(
            known.event,
            "test-event",
            DEFAULT_TTL_S,
            self._clock.now(),
            FROM_API,
            False,
            owner,
            place.id if isinstance(place, ProductResource) else None,
        )
        return await self._worker.try_now(known, event)

    async def retry(self, requester: Requester, place: Place | None, hook: str, delivery: str) -> None:
        """Sends what failed once more, as the hook is now; the log tells what became of it.

        Raises AccessRefused, WebhookNotFound.
        """
        require(requester, Action.INTEGRATIONS_TEST, place or Account())
        known = await self._known(requester, place, hook)
        if not await self._deliveries.again(known.id, delivery):
            raise WebhookNotFound("This delivery is not known any more.")

    async def _known(self, requester: Requester, place: Place | None, hook: str) -> Webhook:
        found = await self._store.by_id(self._db, *_owner(requester, place), hook)
        if found is None:
            raise WebhookNotFound("Webhook not found")
        return found

    async def delete(self, requester: Requester, place: Place | None, hook: str) -> None:
        """Raises AccessRefused, WebhookNotFound."""
        require(requester, Action.INTEGRATIONS_REMOVE, place or Account())
        kind, owner = _owner(requester, place)
        now = self._clock.now()

        async def write(tx: Transaction) -> bool:
            return await self._store.delete(tx, kind, owner, hook, now)

        if not await self._db.transaction(write):
            raise WebhookNotFound("Webhook not found")
        self._bus.publish(HOOK_DELETED, hook)

    async def leave(self, tx: Transaction, user: UserId, now: Millis) -> Callable[[], None]:
        """The hooks of a user who goes."""
        hooks = await self._store.delete_of_owner(tx, "user", user, now)

        def tell() -> None:
            for hook in hooks:
                self._bus.publish(HOOK_DELETED, hook)

        return tell


def _owner(requester: Requester, place: Place | None) -> tuple[Any, str]:
    match place:
        case ProductResource(id=product):
            return "product", str(product)
        case OrganizationResource(id=organization):
            return "organization", organization
    assert isinstance(requester, User), "the rule lets only users have hooks of their own"
    return "user", requester.id


def _check(hook: Webhook) -> None:
    event, url = hook.event, hook.url
    if not event:
        raise WebhookInvalid("no event name provided")
    if len(event) > _MAX_EVENT_LENGTH:
        raise WebhookInvalid(f"An event name has at most {_MAX_EVENT_LENGTH} characters")
    if not url:
        raise WebhookInvalid("no url provided")
    # A template may stand anywhere in the URL but in its scheme.
    if len(url) > _MAX_URL_LENGTH or not url.lower().startswith(("http://", "https://")):
        raise WebhookInvalid(f"A url begins with http:// or https:// and has at most {_MAX_URL_LENGTH} characters")
    kind = hook.settings.get("integration_type", "Webhook")
    if kind != "Webhook":
        raise WebhookInvalid(
            f"This server delivers to webhooks alone, not to {str(kind)[:40]}: make a Webhook with the service's URL"
        )
    check_templates(hook)
