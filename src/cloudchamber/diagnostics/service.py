"""Vitals and locations of devices: asked for, told, kept for a month, shown."""

import asyncio
import json
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import msgspec

from cloudchamber.access.model import Action, Owner
from cloudchamber.access.requester import Requester
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import DAY, Clock, Millis
from cloudchamber.diagnostics.errors import DeviceAway, NoLocation, NoVitals
from cloudchamber.diagnostics.model import KEPT_DAYS, Box, Stop, Vitals
from cloudchamber.diagnostics.rules import device_part, parse_location_untrusted, service_part
from cloudchamber.diagnostics.store import ReportStore
from cloudchamber.errors import CloudError
from cloudchamber.fleet.model import DeviceRecord, Product
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.audience import Audience, Member
from cloudchamber.messaging.events import Events
from cloudchamber.messaging.inbox import DEVICE_LOCATED, DEVICE_VITALS, Located, VitalsTold
from cloudchamber.messaging.model import DEFAULT_TTL_S, Event
from cloudchamber.messaging.ports import DeviceLink
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.wire.describe import parse_metrics_untrusted
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import DescribeRead

_log: Final = logging.getLogger(__name__)

VITALS_EVENT: Final = "spark/device/diagnostics/update"
MAX_SHOWN: Final = 1_000
"""Of one device's vitals, or of its stops, in one answer."""
_MAX_TASKS: Final = 500
"""Reports that are being written: more are dropped, as devices send others."""


class Path(msgspec.Struct, frozen=True):
    """Where a device was, the newest stop first."""

    device: DeviceRecord
    stops: Sequence[Stop]


class Diagnostics:
    def __init__(
        self,
        db: Database,
        store: ReportStore,
        link: DeviceLink,
        live: LiveDevices,
        audience: Audience,
        events: Events,
        bus: InProcessBus,
        clock: Clock,
        *,
        timeout_s: float,
    ) -> None:
        self._db = db
        self._store = store
        self._link = link
        self._live = live
        self._audience = audience
        self._events = events
        self._clock = clock
        self._timeout_s = timeout_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: dict[DeviceId, asyncio.Task[None]] = {}
        bus.subscribe(DEVICE_VITALS, self._on_vitals)
        bus.subscribe(DEVICE_LOCATED, self._on_located)

    # -- vitals. For devices that the registry gave for DIAGNOSTICS_UPDATE or DIAGNOSTICS_GET. ------------------------

    def refresh(self, device: DeviceRecord) -> None:
        """Asks the device; what it answers is kept and published. Asked twice meanwhile, it is asked once. Raises
        DeviceAway."""
        if not self._live.is_online(device.id):
            raise DeviceAway("The device is not connected: its vitals can be asked for when it is")
        if device.id not in self._asking and len(self._tasks) < _MAX_TASKS:
            self._asking[device.id] = self._spawn(self._ask(device.id))

    async def last(self, device: DeviceRecord, *, owner: Owner | None) -> Vitals:
        """Raises NoVitals."""
        found = await self._store.vitals(
            self._db, device.id, owner=owner, since=Millis(0), until=self._clock.now(), limit=1
        )
        if not found:
            raise NoVitals("The device has told no vitals yet: ask for them with POST to the path that ends in /update")
        return found[0]

    async def history(
        self, device: DeviceRecord, *, owner: Owner | None, since: Millis | None, until: Millis | None
    ) -> Sequence[Vitals]:
        """The newest first. `owner`: what it told while it was this one's; None, all (for its product's team)."""
        return await self._store.vitals(
            self._db,
            device.id,
            owner=owner,
            since=since or Millis(0),
            until=until or self._clock.now(),
            limit=MAX_SHOWN,
        )

    # -- locations. `path` is for devices that the registry gave for LOCATIONS_GET. -----------------------------------

    def check_locations(self, requester: Requester, product: Product) -> None:
        """Asked before anything of the request is looked at: what is wrong with it must not tell that the product is
        there. Raises AccessRefused."""
        require(requester, Action.LOCATIONS_GET, product.resource(requester))

    async def devices_at(
        self,
        requester: Requester,
        product: Product,
        among: Sequence[DeviceId] | None,
        *,
        since: Millis | None,
        until: Millis | None,
        box: Box | None,
        page: int,
        per_page: int,
    ) -> tuple[Sequence[DeviceId], int]:
        """A page of the devices that were in the area in that time, and how many there are in all.

        Raises AccessRefused.
        """
        self.check_locations(requester, product)
        return await self._store.devices_at(
            self._db,
            product.id,
            among,
            since=since or Millis(0),
            until=until or self._clock.now(),
            box=box,
            offset=(page - 1) * per_page,
            limit=per_page,
        )

    async def path(self, device: DeviceRecord, *, since: Millis | None, until: Millis | None, box: Box | None) -> Path:
        """The last place, or with `since` all places since. Raises NoLocation."""
        if device.product is None:
            raise NoLocation("The device has told no location there and then")
        stops = await self._store.stops(
            self._db,
            device.product,
            device.id,
            since=since or Millis(0),
            until=until or self._clock.now(),
            box=box,
            limit=1 if since is None else MAX_SHOWN,
        )
        if not stops:
            raise NoLocation("The device has told no location there and then")
        return Path(device, stops)

    # -- told ---------------------------------------------------------------------------------------------------------

    def _on_vitals(self, told: VitalsTold) -> None:
        if len(self._tasks) < _MAX_TASKS:
            self._spawn(self._keep(told.member, told.metrics, None))

    def _on_located(self, told: Located) -> None:
        location = parse_location_untrusted(told.data)
        if location is not None and told.member.product is not None and len(self._tasks) < _MAX_TASKS:
            product, stop = told.member.product, Stop(self._clock.now(), location)

            async def write(tx: Transaction) -> None:
                await self._store.put_stop(tx, told.member.id, product, stop)

            self._spawn(self._write(write))

    async def _ask(self, device: DeviceId) -> None:
        before = self._clock.now()
        try:
            outcome = await self._link.read_vitals(device, self._timeout_s)
        finally:
            del self._asking[device]
        member = self._audience.member(device)
        if isinstance(outcome, DescribeRead) and member is not None:
            await self._keep(member, outcome.data, self._clock.now() - before)

    async def _keep(self, member: Member, metrics: bytes, round_trip_ms: int | None) -> None:
        if member.is_shut_out:
            return
        try:
            said = device_part(parse_metrics_untrusted(metrics))
        except WireError as error:
            _log.info("device %s: unreadable vitals: %s", member.id, error)
            return
        payload = {"device": said, "service": service_part(round_trip_ms=round_trip_ms)}
        vitals = Vitals(member.id, self._clock.now(), member.owner, payload)

        async def write(tx: Transaction) -> None:
            await self._store.put_vitals(tx, vitals)

        await self._write(write)
        text = json.dumps(payload, separators=(",", ":"))
        await self._events.announce(
            Event(
                VITALS_EVENT, text, DEFAULT_TTL_S, vitals.at, member.id, False, member.owner, member.product,
                version=member.firmware_version,
            )
        )  # fmt: skip

    async def _write(self, body: Any) -> None:
        try:
            await self._db.transaction(body)
        except CloudError:
            _log.warning("a report of a device could not be kept", exc_info=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- the end ------------------------------------------------------------------------------------------------------

    async def purge(self) -> int:
        before = Millis(self._clock.now() - KEPT_DAYS * DAY)

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_older(tx, before)

        return await self._db.transaction(delete)

    async def close(self) -> None:
        """What is being written is written; no device is waited for."""
        for task in tuple(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
