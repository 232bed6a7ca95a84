"""Devices get the firmware that they shall run, and what people flash.

Nothing is planned ahead: a device is looked at when something happened that may make an update due (it came online,
something was released, it is not busy any more, a rest is over), and `rules.plan` says what to do with it then. So a
restart of the cloud needs no more than the rows of the updates that were open, and comes to the same result.

    waiting --turn--> sending --the device has it all--> sent --the device is back--> done
       ^                 |                                 |
       +---- failed attempt, with a rest before the next --+----- ten of them -----> failed

One update for each device at a time, and so many in all; a flash that somebody waits for does not queue behind a fleet.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Action, DeviceResource
from cloudchamber.access.rules import Reason
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.errors import CloudError, Unavailable
from cloudchamber.firmware.binaries import Binaries, hash_of
from cloudchamber.firmware.errors import FlashRefused, UpdateRunning, firmware_not_found, flash_timed_out
from cloudchamber.firmware.model import NO_RELEASES, Releases, Update, UpdateState
from cloudchamber.firmware.rules import (
    NETWORK_FAILED,
    NOT_STARTED,
    REFUSED,
    Move,
    application_hash,
    check_platform,
    plan,
    released_version,
    retry_at,
    running_version,
    runs,
    takes_updates,
)
from cloudchamber.firmware.service import FIRMWARE_CHANGED, FIRMWARE_RELEASED, Release, file_name, read_module
from cloudchamber.firmware.store import FirmwareStore, UpdateStore
from cloudchamber.fleet.groups.service import GROUPS_CHANGED
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.fleet.service import DEVICE_CHANGED, Devices
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.messaging.audience import Audience, Member
from cloudchamber.messaging.events import Events
from cloudchamber.messaging.inbox import DEVICE_DESCRIBED, DEVICE_ONLINE, DescribedDevice, OnlineDevice
from cloudchamber.messaging.model import DEFAULT_TTL_S, Event
from cloudchamber.messaging.ports import DeviceLink
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.wire.coap import Code
from cloudchamber.wire.events import (
    Busy,
    Disconnected,
    Outcome,
    Refused,
    TimedOut,
    TooLarge,
    Updated,
    UpdateFailed,
)

log = logging.getLogger(__name__)

STATUS_EVENT: Final = "spark/flash/status"
HASH_EVENT: Final = "spark/device/app-hash"
PENDING_EVENT: Final = "particle/device/updates/pending"

RESTART_S: Final = 300.0
"""A device that took a file is back by then; a module of Device OS takes a minute to be put in its place."""
MAX_FLASHES: Final = 200
"""At once; each is a request that waits."""


UPDATES_DISABLED: Final = (
    "The device takes no updates now: its application has disabled them, or somebody has (firmware_updates_enabled);"
    " firmware_updates_forced overrules both"
)


class Pace(msgspec.Struct, frozen=True):
    """`max_running` updates at once. Seconds: `settle_s` after its connect a device is left alone, for it has to
    describe itself first; `start_timeout_s` is how long somebody waits who flashes; `restart_s`: see RESTART_S."""

    max_running: int = 50
    settle_s: float = 5.0
    start_timeout_s: float = 90.0
    restart_s: float = RESTART_S


class FirmwareUpdates:
    """Answers the fleet's `FirmwareTargets`, too."""

    def __init__(
        self,
        db: Database,
        store: UpdateStore,
        firmware: FirmwareStore,
        binaries: Binaries,
        devices: Devices,
        audience: Audience,
        events: Events,
        link: DeviceLink,
        live: LiveDevices,
        bus: InProcessBus,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._db = db
        self._store = store
        self._firmware = firmware
        self._binaries = binaries
        self._devices = devices
        self._audience = audience
        self._events = events
        self._link = link
        self._live = live
        self._clock = clock
        self._pace = pace
        self._products: set[ProductId] = set()
        self._releases: dict[ProductId, Releases] = {}
        self._release_changes = 0
        # Versions that are known to have run, so that a fleet's connects do not ask the database.
        self._have_run: set[tuple[ProductId, int]] = set()
        self._open: dict[DeviceId, UpdateState] = {}
        # Whose turn it is next; True: at once.
        self._due: OrderedDict[DeviceId, bool] = OrderedDict()
        self._running: dict[DeviceId, asyncio.Task[None]] = {}
        self._flashing: set[DeviceId] = set()
        self._timers: dict[DeviceId, asyncio.TimerHandle] = {}
        self._busy: set[DeviceId] = set()
        self._restarted: set[DeviceId] = set()
        # What such a device was flashed with, until it had its time to describe itself.
        self._flashed: dict[DeviceId, str | None] = {}
        # Whose connection ended between the last of a file and the device's word of it.
        self._had_all: set[DeviceId] = set()
        self._arriving: dict[DeviceId, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self.outcomes: Counter[str] = Counter()
        """Of attempts, since the start."""
        bus.subscribe(DEVICE_ONLINE, self._on_online)
        bus.subscribe(DEVICE_CHANGED, self._on_changed)
        bus.subscribe(DEVICE_DESCRIBED, self._on_described)
        bus.subscribe(FIRMWARE_CHANGED, self._on_firmware)
        bus.subscribe(FIRMWARE_RELEASED, self._on_released)
        bus.subscribe(GROUPS_CHANGED, self._on_groups)

    async def start(self) -> None:
        """Before any device can come online."""
        self._products = await self._firmware.products(self._db)
        self._open = {update.device: update.state for update in await self._store.open(self._db)}

    async def stop(self) -> None:
        """What is open stays on record, and is gone on with after the next start."""
        self._is_stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._due.clear()
        tasks = [*self._running.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- figures ------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Devices whose turn is not yet."""
        return len(self._due)

    # -- what the fleet asks ------------------------------------------------------------------------------------------

    async def check_version(self, product: ProductId, version: int) -> None:
        """Raises FirmwareNotFound."""
        if not await self._firmware.exists(self._db, product, version):
            raise firmware_not_found(version)

    async def target_changed(self, device: DeviceRecord, *, at_once: bool) -> None:
        """Its lock or its groups are others now; without `at_once` that waits for its next connect."""
        if at_once and self._live.is_online(device.id):
            self._look(device.id, at_once=True)

    async def released_version(self, device: DeviceRecord) -> int | None:
        """What the releases would give it, whatever it is locked to."""
        return released_version(device, await self._releases_of(device.product))

    async def _releases_of(self, product: ProductId | None) -> Releases:
        found = self.releases_now(product)
        if found is None:
            assert product is not None
            changes = self._release_changes
            found = await self._firmware.releases(self._db, product)
            # A change while we read would have dropped nothing: then this answer is for this caller alone.
            if changes == self._release_changes:
                self._releases[product] = found
        return found

    def releases_now(self, product: ProductId | None) -> Releases | None:
        """What is released in a product, from memory; None where only the database can tell."""
        if product is None or product not in self._products:
            return NO_RELEASES
        return self._releases.get(product)

    # -- flashing -----------------------------------------------------------------------------------------------------

    async def flash(self, record: DeviceRecord, name: str, data: bytes) -> None:
        """A file for a device that the registry gave for DEVICES_UPDATE. Returns when the device has begun to take it.

        From then on it is the cloud's matter, over lost connections and a restart of the cloud. A device that does not
        begin gets it never.

        Raises AccessRefused, FirmwareInvalid, UpdateRunning, FlashRefused, FlashTimedOut.
        """
        _check_may_take(record)
        check_platform(read_module(data), record)
        if not self._live.is_online(record.id):
            raise flash_timed_out("offline")
        if not takes_updates(record):
            raise FlashRefused(UPDATES_DISABLED)
        if record.id in self._running:
            raise UpdateRunning("The device is taking another update: try again when that is done")
        if len(self._flashing) >= MAX_FLASHES:
            raise Unavailable("Too many devices are being flashed: try again in a minute")
        now = self._clock.now()
        update = Update(
            device=record.id,
            product=record.product,
            owner=record.owner,
            version=None,
            hash=hash_of(data),
            name=file_name(name),
            state=UpdateState.SENDING,
            attempts=0,
            not_before=now,
            error=None,
            requested_at=now,
            updated_at=now,
        )
        began: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._flashing.add(record.id)
        # In its place before anything is awaited: whoever comes second is told so.
        task = self._run_as(record.id, self._flash(record, update, data, began))
        try:
            async with asyncio.timeout(self._pace.start_timeout_s):
                refusal = await asyncio.shield(began)
        except TimeoutError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._delete(record.id)
            raise flash_timed_out("the device did not begin") from None
        finally:
            self._flashing.discard(record.id)
        if refusal is not None:
            await self._delete(record.id)
            raise _flash_error(refusal)

    async def _flash(
        self, record: DeviceRecord, update: Update, data: bytes, began: "asyncio.Future[Outcome | None]"
    ) -> None:
        assert update.hash is not None
        hash_ = update.hash

        async def write(tx: Transaction) -> None:
            await self._binaries.keep(tx, hash_, data, update.requested_at)
            await self._store.put(tx, update)

        try:
            await self._db.transaction(write)
            self._open[record.id] = update.state
            await self._send(record, update, began)
        except CloudError as error:
            if not began.done():
                began.set_exception(error)

    # -- what happens -------------------------------------------------------------------------------------------------

    def _on_online(self, arrived: OnlineDevice) -> None:
        record = arrived.record
        device = record.id
        is_open = device in self._open
        if self._is_stopping or not (is_open or record.product in self._products):
            return
        if self._open.get(device) in {UpdateState.SENDING, UpdateState.SENT}:
            # One that is back before its last word was noted is judged, too, before this counts.
            self._restarted.add(device)
        version = running_version(record)
        is_new = (
            version is not None and record.product in self._products and (record.product, version) not in self._have_run
        )
        if is_open or is_new:
            before = [task for tasks in (self._running, self._arriving) if (task := tasks.get(device)) is not None]
            self._arriving[device] = self._spawn(self._arrived(arrived, self._open.get(device), before))
        self._later(device, self._pace.settle_s)

    def _on_changed(self, record: DeviceRecord) -> None:
        if record.id in self._busy and takes_updates(record):
            self._busy.discard(record.id)
            self._look(record.id)

    def _on_described(self, told: DescribedDevice) -> None:
        if told.member.id not in self._restarted:
            return
        hash_ = application_hash(told.describe.system)
        if hash_ is not None:
            self._spawn(self._told_hash(told.member, hash_))

    async def _told_hash(self, member: Member, hash_: str) -> None:
        arriving = self._arriving.get(member.id)
        if arriving is not None:
            await asyncio.wait([arriving])
        if member.id in self._restarted:
            self._restarted.discard(member.id)
            await self._announce(member, HASH_EVENT, hash_)

    def _on_firmware(self, product: ProductId) -> None:
        self._products.add(product)
        self._forget_releases(product)
        self._have_run = {pair for pair in self._have_run if pair[0] != product}

    def _forget_releases(self, product: ProductId) -> None:
        self._release_changes += 1
        self._releases.pop(product, None)

    def _on_groups(self, product: ProductId) -> None:
        self._forget_releases(product)

    def _on_released(self, release: Release) -> None:
        self._forget_releases(release.product)
        if release.is_intelligent:
            for device in tuple(self._audience.of_product(release.product)):
                self._look(device)

    async def _arrived(
        self, arrived: OnlineDevice, state: UpdateState | None, before: "Sequence[asyncio.Task[None]]"
    ) -> None:
        """What the device runs now tells what became of its update, which was in `state` when it came. What was under
        way `before` that has to end first: an attempt over the connection that is gone now."""
        record = arrived.record
        try:
            await asyncio.gather(*before, return_exceptions=True)
            was_sent = state in {UpdateState.SENDING, UpdateState.SENT}
            if record.id in self._had_all:
                self._had_all.discard(record.id)
                was_sent = arrived.says_updated and await self._has_taken(record)
            await self._judge(record, was_sent=was_sent)
        finally:
            if self._arriving.get(record.id) is asyncio.current_task():
                del self._arriving[record.id]

    async def _has_taken(self, record: DeviceRecord) -> bool:
        """Its word that it has the file got lost, and is in its Hello now."""
        update = await self._store.of_device(self._db, record.id)
        if update is None or update.state is not UpdateState.WAITING:
            return False
        await self._sent(record, update)
        self._restarted.add(record.id)
        self._later(record.id, self._pace.settle_s)
        return True

    async def _judge(self, record: DeviceRecord, *, was_sent: bool) -> None:
        version = running_version(record)
        if record.product is not None and version is not None:
            await self._mark_run(record.product, version)
        update = await self._store.of_device(self._db, record.id)
        if update is None or not update.is_open:
            return
        has_come_back = was_sent and update.state is UpdateState.SENT
        runs_it = not update.is_flash and (update.product, update.version) == (record.product, version)
        if not (has_come_back or runs_it):
            self._restarted.discard(record.id)
        if has_come_back and update.is_flash:
            self._flashed[record.id] = await self._hash_in(update)
            await self._put(replace(update, state=UpdateState.DONE, hash=None))
        elif runs_it:
            await self._put(replace(update, state=UpdateState.DONE))
        elif has_come_back:
            await self._failed(record, update, "the device came back without it", REFUSED)

    async def _mark_run(self, product: ProductId, version: int) -> None:
        if product not in self._products or (product, version) in self._have_run:
            return

        async def write(tx: Transaction) -> None:
            await self._firmware.mark_run(tx, product, version)

        await self._db.transaction(write)
        self._have_run.add((product, version))

    # -- whose turn it is ---------------------------------------------------------------------------------------------

    def _later(self, device: DeviceId, delay_s: float) -> None:
        """One timer for each device: the newest counts."""
        if self._is_stopping:
            return
        known = self._timers.pop(device, None)
        if known is not None:
            known.cancel()

        def ring() -> None:
            self._timers.pop(device, None)
            self._look(device)

        self._timers[device] = asyncio.get_running_loop().call_later(delay_s, ring)

    def _look(self, device: DeviceId, *, at_once: bool = False) -> None:
        if self._is_stopping or self._due.get(device):
            return
        self._due[device] = at_once
        if at_once:
            self._due.move_to_end(device, last=False)
        self._fill()

    def _fill(self) -> None:
        for device in list(self._due):
            if len(self._running) - len(self._flashing) >= self._pace.max_running:
                return
            if device not in self._running:
                self._run_as(device, self._attend(device, self._arriving.get(device), at_once=self._due.pop(device)))

    def _run_as(self, device: DeviceId, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._running[device] = task

        def done(task: "asyncio.Task[None]") -> None:
            del self._running[device]
            _look_at(task)
            if not self._is_stopping:
                self._fill()

        task.add_done_callback(done)
        return task

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_look_at)
        return task

    async def _attend(self, device: DeviceId, arriving: "asyncio.Task[None] | None", *, at_once: bool) -> None:
        if arriving is not None:
            await asyncio.gather(arriving, return_exceptions=True)
        flashed = self._flashed.pop(device, None)
        record = await self._devices.get(device)
        if record is None or not self._live.is_online(device):
            return
        if device in self._restarted and await self._tells(device, flashed):
            # It does not say again what it said before.
            self._restarted.discard(device)
            await self._announce(record, HASH_EVENT, str(flashed))
        update = await self._store.of_device(self._db, device)
        now = self._clock.now()
        planned = plan(record, await self._releases_of(record.product), update, now, at_once=at_once)
        match planned.move:
            case Move.GIVE_UP:
                await self._delete(device)
            case Move.WAIT:
                await self._wait_for(record)
            case Move.LATER:
                assert planned.at is not None
                self._later(device, (planned.at - now) / 1000)
            case Move.GO_ON:
                assert update is not None
                await self._send(record, update)
            case Move.MISSED:
                assert update is not None
                hash_ = await self._hash_in(update)
                if await self._tells(device, hash_):
                    # It ran the same before: within a session over datagrams nobody heard that it started anew.
                    await self._put(replace(update, state=UpdateState.DONE, hash=None))
                    await self._announce(record, HASH_EVENT, str(hash_))
                else:
                    await self._failed(record, update, "the device did not start with it", NOT_STARTED)
            case Move.SEND:
                await self._send_version(record, update, planned.version)
            case Move.NOTHING:
                pass

    async def _hash_in(self, update: Update) -> str | None:
        """Of the application in a file that somebody flashed, as devices tell it."""
        data = None if update.hash is None else await self._binaries.data(update.hash)
        module = None if data is None else read_module(data)
        return module.sha256.hex() if module is not None and module.is_application else None

    async def _tells(self, device: DeviceId, hash_: str | None) -> bool:
        """Whether this is the application that it described last."""
        return hash_ is not None and runs(await self._devices.system_of(device), hash_)

    async def _wait_for(self, record: DeviceRecord) -> None:
        """The device takes no updates now. It is told that there is one, and says when it is ready."""
        if record.id not in self._busy:
            self._busy.add(record.id)
            self._live.send_system_event(record.id, PENDING_EVENT, b"true")
            await self._announce(record, PENDING_EVENT, "true")

    async def _send_version(self, record: DeviceRecord, update: Update | None, version: int | None) -> None:
        if record.product is None or version is None:
            return
        firmware = await self._firmware.get(self._db, record.product, version)
        if firmware is None:
            return  # deleted since the device was locked to it
        now = self._clock.now()
        if update is None or (update.product, update.version) != (record.product, version):
            update = Update(
                device=record.id,
                product=record.product,
                owner=None,
                version=version,
                hash=None,
                name=firmware.name,
                state=UpdateState.WAITING,
                attempts=0,
                not_before=now,
                error=None,
                requested_at=now,
                updated_at=now,
            )
        await self._send(record, replace(update, hash=firmware.hash, name=firmware.name))

    async def _send(
        self, record: DeviceRecord, update: Update, began: "asyncio.Future[Outcome | None] | None" = None
    ) -> None:
        """One attempt. `began` hears None when the device has begun, or the outcome when it has not."""
        assert update.hash is not None
        image = await self._binaries.image(update.hash)
        if image is None:
            await self._delete(record.id)
            return
        self._busy.discard(record.id)
        self._had_all.discard(record.id)
        # What a person has on record is their file; a version's stands with its product.
        update = replace(update, state=UpdateState.SENDING, hash=update.hash if update.is_flash else None)
        await self._put(update)

        def started(offset: int) -> None:
            log.info("device %s takes %s, from byte %d on", record.id, update.name, offset)
            if began is not None and not began.done():
                began.set_result(None)
            self._spawn(self._announce(record, STATUS_EVENT, f"started {update.name}"))

        outcome = await self._link.update(record.id, image, started)
        self.outcomes[type(outcome).__name__] += 1
        if began is not None and not began.done():
            began.set_result(outcome)
            return
        if isinstance(outcome, Updated):
            await self._sent(record, update)
        else:
            weight = REFUSED if isinstance(outcome, Refused | UpdateFailed | TooLarge) else NETWORK_FAILED
            is_offline = isinstance(outcome, Disconnected)
            if isinstance(outcome, Disconnected) and outcome.had_all:
                self._had_all.add(record.id)
            await self._failed(record, update, _words(outcome), weight, is_offline=is_offline)

    async def _sent(self, record: DeviceRecord, update: Update) -> None:
        until = Millis(self._clock.now() + int(self._pace.restart_s * 1000))
        await self._put(replace(update, state=UpdateState.SENT, not_before=until, error=None))
        self._later(record.id, self._pace.restart_s)
        await self._announce(record, STATUS_EVENT, f"success {update.name}")

    async def _failed(
        self, record: DeviceRecord, update: Update, why: str, weight: int, *, is_offline: bool = False
    ) -> None:
        log.info("device %s did not take %s: %s", record.id, update.name, why)
        now = self._clock.now()
        attempts = update.attempts + weight
        state, not_before = retry_at(attempts, now)
        is_over = state is UpdateState.FAILED
        await self._put(
            replace(
                update,
                state=state,
                attempts=attempts,
                not_before=not_before,
                error=why,
                hash=None if is_over else update.hash,
            )
        )
        if not is_offline or is_over:
            # What goes on when the device is back has not failed yet.
            await self._announce(record, STATUS_EVENT, f"failed {update.name}")
        # Over datagrams a device may be back in the same session.
        if not is_over and self._live.is_online(record.id):
            self._later(record.id, max((not_before - now) / 1000, self._pace.settle_s))

    # -- the record ---------------------------------------------------------------------------------------------------

    async def _put(self, update: Update) -> None:
        changed = replace(update, updated_at=self._clock.now())

        async def write(tx: Transaction) -> None:
            await self._store.put(tx, changed)

        await self._db.transaction(write)
        if changed.is_open:
            self._open[update.device] = changed.state
        else:
            self._open.pop(update.device, None)

    async def _delete(self, device: DeviceId) -> None:
        async def write(tx: Transaction) -> None:
            await self._store.delete(tx, [device])

        self._open.pop(device, None)
        self._had_all.discard(device)
        await self._db.transaction(write)

    async def _announce(self, of: DeviceRecord | Member, name: str, data: str) -> None:
        await self._events.announce(
            Event(
                name,
                data,
                DEFAULT_TTL_S,
                self._clock.now(),
                of.id,
                is_public=False,
                owner=of.owner,
                product=of.product,
                version=of.firmware_version,
            )
        )


def _check_may_take(record: DeviceRecord) -> None:
    """What is shut out gets no firmware either. Raises AccessRefused."""
    resource = DeviceResource(record.id, record.owner, record.product, record.is_quarantined, record.is_denied)
    if record.is_denied:
        raise AccessRefused(Action.DEVICES_UPDATE, resource, Reason.DENIED)
    if record.is_quarantined:
        raise AccessRefused(Action.DEVICES_UPDATE, resource, Reason.QUARANTINED)


def _words(outcome: Outcome) -> str:
    match outcome:
        case UpdateFailed(why=why):
            return why
        case Refused(code=code, why=why):
            return why or f"it refuses to begin ({f'{code >> 5}.{code & 31:02}' if code else 'a reset'})"
        case TooLarge():
            return "the file is larger than the device can take"
        case TimedOut():
            return "the device does not answer"
        case Disconnected():
            return "the connection ended"
        case _:
            return type(outcome).__name__


def _flash_error(outcome: Outcome) -> CloudError:
    match outcome:
        case Refused(code=Code.UNAVAILABLE):
            return FlashRefused(UPDATES_DISABLED)
        case Refused() | UpdateFailed() | TooLarge():
            return FlashRefused(f"The device does not take the file: {_words(outcome)}")
        case Busy():
            return UpdateRunning("The device is taking another update: try again when that is done")
        case _:
            return flash_timed_out(_words(outcome))


def _look_at(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("an update could not be looked after", exc_info=task.exception())
