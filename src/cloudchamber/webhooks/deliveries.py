"""From an event to its hooks: what is on record before anybody is told that the event was taken, and what became of it.

The database is the queue. An event that fires hooks is written down with one row a hook, and the publisher's answer
waits for that; the worker then takes it from memory, and after a restart from the table. A delivery is made at least
once: a crash between a host's answer and our record of it makes it again.

`HookIndex` holds what decides whether an event fires anything, in memory, because that is asked for every event.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Final

from cloudchamber.access.model import OwnedByUser
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import DAY, Clock, Millis, iso
from cloudchamber.errors import CloudError
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.products import PRODUCT_REMOVED
from cloudchamber.ids import ProductId, new_ordered_id
from cloudchamber.messaging.model import Event
from cloudchamber.messaging.recording import Recording
from cloudchamber.organizations.model import TEAM_CHANGED, TeamChanged
from cloudchamber.storage.batches import Batches, Ended
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import StorageBusy
from cloudchamber.tally import Figure, Tally
from cloudchamber.webhooks.errors import HookBehind, WebhookInvalid
from cloudchamber.webhooks.model import DayCount, Delivery, DeliveryState, LogEntry, Webhook
from cloudchamber.webhooks.requests import read_settings
from cloudchamber.webhooks.rules import WELL, Health, after_delivery, triggers
from cloudchamber.webhooks.store import KEPT_LOG_ENTRIES, DeliveryStore, WebhookStore

HOOK_CHANGED: Final = "webhooks.changed"
"""A Webhook that was made or replaced."""
HOOK_DELETED: Final = "webhooks.deleted"
"""The id of one that is gone."""

# What waits for one hook's host, some 6 MB. Past that its events are refused to who publishes them: a host slower
# than they come must not fill everybody's disk, and what was taken must not be lost. For one that fails nobody waits:
# its events are skipped and counted, as they are when it sleeps.
MAX_PENDING_PER_HOOK: Final = 10_000
KEPT_COUNTER_DAYS: Final = 30

OrganizationOf = Callable[[ProductId], str | None]


@dataclass(frozen=True, slots=True)
class Fires:
    """What a hook needs to know of an event."""

    hook: Webhook
    prefix: str
    device: str | None


class HookIndex:
    """Every hook, by whose events fire it."""

    def __init__(self, bus: InProcessBus, organization_of: OrganizationOf = lambda _: None) -> None:
        self._by_owner: dict[tuple[str, str], dict[str, Fires]] = {}
        self._by_id: dict[str, Webhook] = {}
        self._organization_of = organization_of
        self.changes = 0
        """Goes up with each."""
        bus.subscribe(HOOK_CHANGED, self.put)
        bus.subscribe(HOOK_DELETED, self.drop)
        bus.subscribe(PRODUCT_REMOVED, self._product_removed)
        bus.subscribe(TEAM_CHANGED, self._team_changed)

    def put(self, hook: Webhook) -> None:
        self.drop(hook.id)
        try:
            settings = read_settings(hook.settings)
        except WebhookInvalid:
            return  # made before settings were checked: it never fires, and its owner can edit it
        self._by_id[hook.id] = hook
        if not settings.disabled:
            fires = Fires(hook, hook.event, settings.deviceID.lower() if settings.deviceID else None)
            self._by_owner.setdefault((hook.owner_kind, hook.owner_id), {})[hook.id] = fires

    def drop(self, hook: str) -> None:
        self.changes += 1
        known = self._by_id.pop(hook, None)
        if known is not None:
            owner = (known.owner_kind, known.owner_id)
            theirs = self._by_owner.get(owner, {})
            theirs.pop(hook, None)
            if not theirs:
                self._by_owner.pop(owner, None)

    def get(self, hook: str) -> Webhook | None:
        return self._by_id.get(hook)

    def fired_by(self, event: Event) -> list[Webhook]:
        """A user's hooks hear the user's own devices, never a customer's; a product's and an organisation's hear every
        device of theirs, whoever owns it (http-api.md 3.2)."""
        if not self._by_owner:
            return []
        owners: list[tuple[str, str]] = []
        if isinstance(event.owner, OwnedByUser):
            owners.append(("user", event.owner.id))
        organization: str | None = event.organization
        if event.product is not None:
            owners.append(("product", str(event.product)))
            organization = organization or self._organization_of(event.product)
        if organization is not None:
            owners.append(("organization", organization))
        return [
            fires.hook
            for owner in owners
            for fires in self._by_owner.get(owner, {}).values()
            if triggers(fires.prefix, fires.device, event)
        ]

    def _product_removed(self, product: Product) -> None:
        self._drop_owner(("product", str(product.id)))

    def _team_changed(self, change: TeamChanged) -> None:
        if change.is_gone and change.organization is not None:
            self._drop_owner(("organization", change.organization))
        if change.is_gone and change.product is not None:
            self._drop_owner(("product", str(change.product)))

    def _drop_owner(self, owner: tuple[str, str]) -> None:
        for hook in tuple(self._by_owner.get(owner, {})):
            self.drop(hook)


class Deliveries:
    """The durable side: takes events, keeps the log and the counters. `due` is told of what is on record."""

    def __init__(
        self,
        db: Database,
        hooks: WebhookStore,
        store: DeliveryStore,
        index: HookIndex,
        clock: Clock,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._db = db
        self._hooks = hooks
        self._store = store
        self._index = index
        self._clock = clock
        self._health: dict[str, Health] = {}
        self._pending: Counter[str] = Counter()
        # Those of which the last attempt failed.
        self._failing: set[str] = set()
        self._counts: dict[tuple[str, str], DayCount] = {}
        # In memory first, as the counters are: of a hundred deliveries a second the log shows the last ten.
        self._shown = _last_ones()
        self.refused = 0
        """Events that could not be put on record, and were refused to who published them."""
        self._recording = Batches(self._insert)
        self._finishing = Batches(self._put_away)
        self.due: Callable[[Iterable[Delivery]], None] = lambda _: None

    # -- taking events (the EventSink of messaging) -------------------------------------------------------------------

    def offer(self, event: Event) -> Recording | None:
        """None where the event fires nothing; else what ends when its deliveries are on record, or with
        StorageUnavailable, StorageBusy, HookBehind: none of them is."""
        fired = self._index.fired_by(event)
        if not fired:
            return None
        now = self._clock.now()
        # Nobody waits for a host that fails again and again.
        awake = [hook for hook in fired if not self.health(hook.id).is_asleep(now)]
        if self._is_any_full(awake):
            full = [hook for hook in awake if self._pending[hook.id] >= MAX_PENDING_PER_HOOK]
            working = next((hook for hook in full if hook.id not in self._failing), None)
            if working is not None:
                self.refused += 1
                refused = Recording()
                refused.end(HookBehind(working.event))
                return refused
            awake = [hook for hook in awake if hook not in full]
        if len(awake) < len(fired):
            self._skip(hook for hook in fired if hook not in awake)
        if not awake:
            return None
        return self._record([Delivery(new_ordered_id(now), hook.id, event, 0, now) for hook in awake])

    def _is_any_full(self, hooks: Iterable[Webhook]) -> bool:
        return any(self._pending[hook.id] >= MAX_PENDING_PER_HOOK for hook in hooks)

    def _skip(self, hooks: Iterable[Webhook]) -> None:
        for hook in hooks:
            self._count(hook.id, skipped=1)
            self._tally.note(_product(hook), Figure.HOOKS_SKIPPED)

    def _record(self, deliveries: list[Delivery]) -> Recording:
        recording = Recording()
        for delivery in deliveries:
            self._pending[delivery.hook] += 1
        try:
            # Who published may be gone before it is on record, where it is nevertheless.
            self._recording.put_and_tell(deliveries, recording.end)
        except StorageBusy as error:
            self._not_recorded(deliveries)
            recording.end(error)
        return recording

    def _not_recorded(self, deliveries: list[Delivery]) -> None:
        self.refused += 1
        for delivery in deliveries:
            self._settled(delivery.hook)

    async def _insert(self, offered: Sequence[list[Delivery]]) -> None:
        deliveries = list(chain.from_iterable(offered))

        async def insert(tx: Transaction) -> set[str]:
            return await self._store.insert(tx, rows)

        try:
            rows = self._store.rows_of(deliveries)
            gone = await self._db.transaction(insert)
            if gone:
                # Another process may have removed it a moment ago: nothing more goes to where it pointed.
                for delivery in deliveries:
                    if delivery.hook in gone:
                        self._settled(delivery.hook)
                deliveries = [delivery for delivery in deliveries if delivery.hook not in gone]
            self.due(deliveries)
        except Exception:
            for each in offered:
                self._not_recorded(each)
            raise

    async def again(self, hook: str, delivery: str) -> bool:
        """A delivery that failed, as a new one, whether the hook sleeps or not; False where it is not known any more.

        Raises CloudError.
        """
        event = await self._store.failed_event(self._db, hook, delivery)
        if event is None:
            return False
        now = self._clock.now()
        await self._record([Delivery(new_ordered_id(now), hook, event, 0, now)])
        return True

    # -- what the worker asks and tells -------------------------------------------------------------------------------

    def hook(self, id_: str) -> Webhook | None:
        return self._index.get(id_)

    def health(self, hook: str) -> Health:
        return self._health.get(hook, WELL)

    async def load(self, hook: str, limit: int) -> list[Delivery]:
        """Those on record that wait, and are due first."""
        return await self._store.pending(self._db, hook, limit)

    async def start(self) -> list[str]:
        """Reads every hook; gives those for which something waits since before. Raises CloudError."""
        for hook in await self._hooks.all(self._db):
            self._index.put(hook)
        waiting = await self._store.waiting(self._db)
        self._pending.update(waiting)
        return list(waiting)

    async def changed_elsewhere(self, hook: str) -> None:
        """Another process made, changed or removed a hook. Raises CloudError."""
        found, changes = None, -1
        # What is changed here while we read is newer than what we read.
        while changes != self._index.changes:
            changes = self._index.changes
            found = await self._hooks.get(self._db, hook)
        if found is None:
            self._index.drop(hook)
        else:
            self._index.put(found)

    async def postpone(self, delivery: Delivery, at: Millis) -> Delivery:
        """Raises CloudError."""
        self._failing.add(delivery.hook)
        postponed = replace(delivery, attempts=delivery.attempts + 1, next_at=at)

        async def write(tx: Transaction) -> None:
            await self._store.postpone(tx, postponed)

        await self._db.transaction(write)
        return postponed

    def finish(self, delivery: Delivery, *, succeeded: bool, request: str, response: str, ended: Ended) -> None:
        """`ended` is called when that is on record and nobody makes this delivery again, or cannot be."""
        now = self._clock.now()
        health = after_delivery(self.health(delivery.hook), now, succeeded=succeeded)
        if health == WELL:
            self._health.pop(delivery.hook, None)
        else:
            self._health[delivery.hook] = health
        self._settled(delivery.hook)
        if succeeded:
            self._failing.discard(delivery.hook)
        else:
            self._failing.add(delivery.hook)
        state = DeliveryState.DELIVERED if succeeded else DeliveryState.FAILED
        entry = LogEntry(
            delivery.id, delivery.hook, delivery.event.name, state, delivery.attempts + 1, now, request, response
        )
        try:
            self._finishing.put_and_tell((entry, delivery.event), partial(self._finished, entry, ended))
        except StorageBusy as error:
            ended(error)

    def _finished(self, entry: LogEntry, ended: Ended, error: Exception | None) -> None:
        if error is None:
            succeeded = entry.state is DeliveryState.DELIVERED
            if succeeded:
                self._shown[entry.hook].append(entry)
            self._count(entry.hook, success=int(succeeded), error=int(not succeeded))
            hook = self._index.get(entry.hook)
            if hook is not None:
                self._tally.note(_product(hook), Figure.HOOKS_OK if succeeded else Figure.HOOKS_FAILED)
        ended(error)

    async def _put_away(self, ended: Sequence[tuple[LogEntry, Event]]) -> None:
        delivered = [entry.id for entry, _ in ended if entry.state is DeliveryState.DELIVERED]
        failed = [(entry, event) for entry, event in ended if entry.state is DeliveryState.FAILED]

        async def write(tx: Transaction) -> None:
            await self._store.forget(tx, delivered)
            await self._store.fail(tx, failed)

        await self._db.transaction(write)

    def forget(self, hook: str) -> None:
        """It is gone, and the rows of its deliveries with it."""
        self._pending.pop(hook, None)
        self._health.pop(hook, None)
        self._failing.discard(hook)

    def _settled(self, hook: str) -> None:
        left = self._pending[hook] - 1
        if left > 0:
            self._pending[hook] = left
        else:
            self._pending.pop(hook, None)

    # -- counters -----------------------------------------------------------------------------------------------------

    def _count(self, hook: str, *, success: int = 0, error: int = 0, skipped: int = 0) -> None:
        """In memory first: a hook that skips a thousand events a second must not write as often."""
        day = iso(self._clock.now())[:10]
        known = self._counts.get((hook, day), DayCount(day, 0, 0, 0))
        self._counts[(hook, day)] = DayCount(day, known.success + success, known.error + error, known.skipped + skipped)

    async def flush(self) -> None:
        """Puts the counters on record, and what was delivered since the last time, as far as its owner may look at it.
        Raises CloudError, and keeps both for the next time."""
        counts, self._counts = self._counts, {}
        shown, self._shown = self._shown, _last_ones()
        if not counts and not shown:
            return

        async def write(tx: Transaction) -> None:
            await self._store.show(tx, list(chain.from_iterable(shown.values())))
            await self._store.count(tx, [(hook, counted) for (hook, _), counted in counts.items()])

        try:
            await self._db.transaction(write)
        except CloudError:
            for (hook, _), counted in counts.items():
                self._count(hook, success=counted.success, error=counted.error, skipped=counted.skipped)
            for hook, entries in shown.items():
                newer = tuple(self._shown[hook])
                self._shown[hook].extend((*entries, *newer))
            raise

    async def purge(self) -> int:
        """Counters older than a month."""
        before = iso(self._clock.now() - KEPT_COUNTER_DAYS * DAY)[:10]

        async def write(tx: Transaction) -> int:
            return await self._store.forget_counters(tx, before)

        return await self._db.transaction(write)

    # -- what owners see ----------------------------------------------------------------------------------------------

    async def log(self, hook: str) -> list[LogEntry]:
        """The last successes and errors, newest first. Whoever calls has decided that the hook may be seen."""
        await self.flush()
        return await self._store.log(self._db, hook)

    async def counters(self, hook: str) -> list[DayCount]:
        """One a day, of the last month, oldest first."""
        await self.flush()
        return await self._store.counters(self._db, hook)

    async def settle(self) -> None:
        """What is being recorded gets its end; called when the cloud stops."""
        await self._recording.settle()
        await self._finishing.settle()
        await self.flush()


def _last_ones() -> defaultdict[str, deque[LogEntry]]:
    """By hook."""
    return defaultdict(lambda: deque(maxlen=KEPT_LOG_ENTRIES))


def _product(hook: Webhook) -> ProductId | None:
    """Whose team may hear how the hook fares."""
    return ProductId(int(hook.owner_id)) if hook.owner_kind == "product" else None
