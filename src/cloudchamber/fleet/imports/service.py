"""Imports. A batch is one transaction: all of its ids or none. Batches keep other writers' waits short, and between
them everybody else gets their turn, so that a hundred thousand lines are felt by nobody but who sent them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import msgspec

from cloudchamber.access.model import Action, OwnedByUser
from cloudchamber.access.requester import Requester, describe
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock
from cloudchamber.errors import TooLarge
from cloudchamber.fleet.errors import ClaimantNotInTeam
from cloudchamber.fleet.imports.model import ImportReport, Misfit, Standing
from cloudchamber.fleet.imports.rules import CHANGES, Verdict, is_iccid, is_imei, misfit, serial_number_in, verdict
from cloudchamber.fleet.imports.store import ImportStore, Number
from cloudchamber.fleet.lists.service import MEMBERSHIP_CHANGED
from cloudchamber.fleet.model import Change, Custody, Product
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.fleet.service import Devices
from cloudchamber.fleet.store import IMPORT_NOTICE, KeyStore
from cloudchamber.identity.service import Users
from cloudchamber.ids import DeviceId, parse_device_id
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.notices import ORIGIN, put_notice

T = TypeVar("T")

MAX_IMPORT: Final = 100_000
_BATCH: Final = 250
# Lines that are read before others get their turn: two milliseconds of work.
_TURN: Final = 500
# Of a line that is no id, as much as tells which one it was.
_MAX_LINE: Final = 100


@dataclass(slots=True)
class _Lines:
    """What was asked for, each once and in order: an id as itself, another text in lower case, with the device that it
    turned out to name."""

    devices: dict[str, DeviceId | None] = field(default_factory=dict)

    def add(self, text: str) -> None:
        device = parse_device_id(text)
        self.devices.setdefault(device or text[:_MAX_LINE].lower(), device)

    def other(self) -> list[str]:
        return [text for text, device in self.devices.items() if device is None]

    def ids(self) -> list[DeviceId]:
        return list(dict.fromkeys(device for device in self.devices.values() if device is not None))


class _Done(msgspec.Struct, frozen=True):
    verdicts: Mapping[DeviceId, Verdict]
    misfits: Mapping[DeviceId, Misfit]
    created: Sequence[DeviceId]
    changed: Sequence[DeviceId]


class Imports:
    def __init__(
        self,
        db: Database,
        store: ImportStore,
        keys: KeyStore,
        devices: Devices,
        users: Users,
        live: LiveDevices,
        bus: InProcessBus,
        clock: Clock,
        *,
        accepts_unknown: bool,
    ) -> None:
        self._db = db
        self._store = store
        self._keys = keys
        self._devices = devices
        self._users = users
        self._live = live
        self._bus = bus
        self._clock = clock
        self._accepts_unknown = accepts_unknown

    async def import_(
        self,
        requester: Requester,
        product: Product,
        given: Iterable[str],
        *,
        claim_user: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ImportReport:
        """Adds devices to a product, named by id, serial number, IMEI or ICCID. A second run of the same import changes
        nothing. Those that have no owner become `claim_user`'s, who is in the product's team. `progress` is told how
        many of how many devices are done.

        Raises AccessRefused, TooLarge, ClaimantNotInTeam.
        """
        require(requester, Action.DEVICES_IMPORT, product.resource(requester))
        owner = await self._claimant(product, claim_user) if claim_user else None
        lines = await self._read(given)
        for kind, numbers in _numbers_in(lines.other()).items():
            for number, found in (await self._store.by_numbers(self._db, kind, list(numbers))).items():
                # Devices tell their numbers themselves, so two may tell the same: then it names neither.
                if len(found) == 1:
                    lines.devices[numbers[number]] = found[0]
        ids = lines.ids()
        verdicts: dict[DeviceId, Verdict] = {}
        misfits: dict[DeviceId, Misfit] = {}
        await asyncio.sleep(0)
        # Neighbours in the tables are written together, where a batch of a shuffled file would touch every page; and
        # two imports that met from both ends would lock each other out.
        in_order = sorted(ids)
        for start in range(0, len(ids), _BATCH):
            if progress is not None:
                progress(start, len(ids))
            done = await self._import_batch(requester, product, in_order[start : start + _BATCH], owner)
            verdicts |= done.verdicts
            misfits |= done.misfits
        return await _report(lines, ids, verdicts, misfits)

    async def _claimant(self, product: Product, name: str) -> OwnedByUser:
        user = await self._users.find(name)
        if user is None or user.id not in product.team:
            raise ClaimantNotInTeam("claim_user must be a member of the product's team")
        return OwnedByUser(user.id)

    async def _read(self, given: Iterable[str]) -> _Lines:
        """All of it, before anything is done: what is too long is refused whole."""
        lines = _Lines()
        async for number, text in _in_turns(given):
            if number >= MAX_IMPORT:
                raise TooLarge(f"One import takes at most {MAX_IMPORT} ids: split it")
            lines.add(text.strip())
        return lines

    async def _import_batch(
        self, requester: Requester, product: Product, ids: Sequence[DeviceId], owner: OwnedByUser | None
    ) -> _Done:
        now = self._clock.now()
        actor = describe(requester)
        arrivals = {device: arrival for device in ids if (arrival := self._devices.arrival(device)) is not None}
        presented = {device: self._live.presented_key(device) for device in ids}

        async def write(tx: Transaction) -> _Done:
            known = await self._store.standings(tx, ids)
            verdicts = {
                device: verdict(known.get(device), product, accepts_unknown=self._accepts_unknown) for device in ids
            }

            def those(*wanted: Verdict) -> list[DeviceId]:
                return [device for device, found in verdicts.items() if found in wanted]

            created, joined, approved = those(Verdict.CREATE), those(Verdict.ADD), those(Verdict.APPROVE)
            await self._store.create(tx, [device for device in created if device not in arrivals], product.id, now)
            for device in created:
                if device in arrivals:
                    await self._devices.register(tx, device, arrivals[device], now, product.id)
            await self._store.admit(tx, [*joined, *approved], product.id, now)
            await self._keys.confirm(tx, approved)
            for device in await self._keys.unsettled(tx, joined):
                await self._keys.settle(tx, device, presented[device])
            for change, these in ((Change.IMPORTED, [*created, *joined]), (Change.APPROVED, approved)):
                before = {device: _custody(known.get(device)) for device in these}
                moved = [(device, was, replace(was, product=product.id)) for device, was in before.items()]
                await self._store.append_custody(tx, moved, change, actor, now)
            claimed: list[DeviceId] = []
            if owner is not None:
                present = those(Verdict.CREATE, Verdict.ADD, Verdict.APPROVE, Verdict.PRESENT)
                claimed = await self._store.claim(tx, present, owner, now)
                free, owned = Custody.of(product.id, None), Custody.of(product.id, owner)
                await self._store.append_custody(
                    tx, [(device, free, owned) for device in claimed], Change.CLAIMED, actor, now
                )
            misfits = {device: misfit(known.get(device), product) for device in those(Verdict.INVALID)}
            changed = list(dict.fromkeys((*created, *joined, *approved, *claimed)))
            if changed:
                await put_notice(tx, IMPORT_NOTICE, f"{product.id} {ORIGIN}", now)
            return _Done(verdicts, misfits, created, changed)

        done = await self._db.transaction(write)
        created = set(done.created)
        for record in await self._store.records(self._db, done.changed):
            if record.id in created:
                self._devices.publish_registered(record, arrivals.get(record.id))
            else:
                self._devices.publish(record)
        if any(found in CHANGES for found in done.verdicts.values()):
            self._bus.publish(MEMBERSHIP_CHANGED, product.id)
        return done


def _custody(standing: Standing | None) -> Custody:
    return Custody.of(None, None) if standing is None else Custody.of(standing.product, standing.owner)


def _numbers_in(texts: Iterable[str]) -> dict[Number, dict[str, str]]:
    """What the texts that are no ids may be: for each kind, the number as it is kept -> the text."""
    found: dict[Number, dict[str, str]] = {"serial_number": {}, "imei": {}, "iccid": {}}
    for text in texts:
        serial = serial_number_in(text)
        if serial is not None:
            found["serial_number"][serial] = text
        if is_imei(text):
            found["imei"][text] = text
        if is_iccid(text.upper()):
            found["iccid"][text.upper()] = text
    return {kind: numbers for kind, numbers in found.items() if numbers}


async def _report(
    lines: _Lines,
    ids: Sequence[DeviceId],
    verdicts: Mapping[DeviceId, Verdict],
    misfits: Mapping[DeviceId, Misfit],
) -> ImportReport:
    found: dict[Verdict, list[DeviceId]] = {verdict: [] for verdict in Verdict}
    updated: list[DeviceId] = []
    async for _, device in _in_turns(ids):
        (updated if verdicts[device] in CHANGES else found[verdicts[device]]).append(device)
    invalid: list[str] = []
    why: dict[str, Misfit] = {}
    async for _, (text, named) in _in_turns(lines.devices.items()):
        if named is None or verdicts[named] is Verdict.INVALID:
            invalid.append(text)
            why[text] = Misfit.NO_DEVICE if named is None else misfits[named]
    return ImportReport(
        updated=tuple(updated),
        existing=tuple(found[Verdict.PRESENT]),
        nonmember=tuple(found[Verdict.NONMEMBER]),
        invalid=tuple(invalid),
        why=why,
    )


async def _in_turns(items: Iterable[T]) -> AsyncIterator[tuple[int, T]]:
    """With their numbers; everybody else gets a turn now and then."""
    for number, item in enumerate(items):
        if number % _TURN == 0:
            await asyncio.sleep(0)
        yield number, item
