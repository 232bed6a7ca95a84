"""One device: what it is, what it can do, what it says, and whose it is."""

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cloudchamber.access.model import Action, OwnedByUser, OwnThings
from cloudchamber.access.rules import Allowed, decide, owner_of
from cloudchamber.api.waiting import WhileConnected
from cloudchamber.console.frame import REALM, Ask, Frame
from cloudchamber.console.home import PLATFORMS
from cloudchamber.console.section import PRODUCT, Section, form, live, page
from cloudchamber.errors import CloudError
from cloudchamber.fleet.groups.rules import check_names
from cloudchamber.fleet.model import UNCHANGED, DeviceRecord, RecordedKey
from cloudchamber.fleet.updates import DeviceChanges
from cloudchamber.messaging.errors import FunctionTimedOut, SignalTimedOut, VariableTimedOut
from cloudchamber.messaging.model import Event

DEVICE: Final = f"{PRODUCT}/devices/{{device}}"
_MAX_ARGUMENT: Final = 1_024
# Each is a request to the device, which tells a few apart at a time.
_AT_ONCE: Final = 4

ROUTES: Final = (
    page(DEVICE, Action.DEVICES_GET, "device.show", "Shows a device of a product."),
    live(f"{DEVICE}/events", Action.EVENTS_GET, "device.events", "Tells what a device says, as it says it."),
    form(f"{DEVICE}/edit", Action.DEVICES_UPDATE, "device.edit", "Changes a device's name, notes and groups."),
    form(f"{DEVICE}/call", Action.FUNCTION_CALL, "device.call", "Calls a function of a device."),
    form(f"{DEVICE}/read", Action.VARIABLE_GET, "device.read", "Reads variables of a device."),
    form(f"{DEVICE}/ping", Action.DEVICES_PING, "device.ping", "Asks whether a device is there."),
    form(f"{DEVICE}/signal", Action.DEVICES_SIGNAL, "device.signal", "Makes a device blink, or stops it."),
    # Whose it may become, and whose it is, the services decide: what the product allows does not matter.
    form(f"{DEVICE}/claim", Action.DEVICES_GET, "device.claim", "Makes a device one's own."),
    form(f"{DEVICE}/unclaim", Action.DEVICES_GET, "device.unclaim", "Gives one's device up."),
    form(f"{DEVICE}/release", Action.DEVICES_RELEASE, "device.release", "Takes a device from its owner."),
    form(f"{DEVICE}/approve", Action.DEVICES_UPDATE, "device.approve", "Lets a device in again."),
    form(f"{DEVICE}/deny", Action.DEVICES_REMOVE, "device.deny", "Puts a device on the deny list."),
    form(f"{DEVICE}/remove", Action.DEVICES_REMOVE, "device.remove", "Takes a device out of the product."),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a device answered, or why it did not."""

    text: str
    is_good: bool = True
    took_ms: int | None = None


class DevicePages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask, await self._record(ask, Action.DEVICES_GET))

    async def events(self, ask: Ask) -> Any:
        opened = await self._services.events.listen_product_device(
            ask.requester, ask.the_product, ask.params["device"], ""
        )
        return self._frame.live.stream(
            ask.session, self._frame.shell.session_secret(ask.visit, REALM), opened, self._event
        )

    def _event(self, event: Event) -> str:
        return self._frame.render("event_row.html", event=event)

    # -- asking the device --------------------------------------------------------------------------------------------

    async def call(self, ask: Ask) -> Any:
        record = await self._record(ask, Action.FUNCTION_CALL)
        name, argument = ask.form.get("name", ""), ask.form.get("argument", "")[:_MAX_ARGUMENT]
        started = time.perf_counter()
        try:
            with WhileConnected(ask.call.req, FunctionTimedOut):
                returned = await self._services.calls.call_function(record, name, argument)
            result = Result(str(returned), took_ms=_passed_ms(started))
        except CloudError as error:
            result = _failed(error)
        return await self._page(ask, record, called=(name, argument, result))

    async def read(self, ask: Ask) -> Any:
        """One variable, or without a name all of them."""
        record = await self._record(ask, Action.VARIABLE_GET)
        name = ask.form.get("name", "")
        names = [name] if name else list(record.variables or ())
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(variable: str) -> Result:
            async with turn:
                started = time.perf_counter()
                try:
                    _, value = await self._services.calls.read_variable(record, variable)
                except CloudError as error:
                    return _failed(error)
                return Result(_shown(value), took_ms=_passed_ms(started))

        with WhileConnected(ask.call.req, VariableTimedOut):
            results = await asyncio.gather(*(one(each) for each in names))
        return await self._page(ask, record, read=dict(zip(names, results, strict=True)))

    async def ping(self, ask: Ask) -> Any:
        record = await self._record(ask, Action.DEVICES_PING)
        started = time.perf_counter()
        is_there = await self._services.calls.ping(record)
        text = f"It answered after {_passed_ms(started)} ms." if is_there else "It did not answer."
        return await self._page(ask, record, reached=Result(text, is_there))

    async def signal(self, ask: Ask) -> Any:
        record = await self._record(ask, Action.DEVICES_SIGNAL)
        on = ask.form.get("on") == "1"
        try:
            with WhileConnected(ask.call.req, SignalTimedOut):
                await self._services.calls.signal(record, on=on)
            result = Result("Its light shows a rainbow now." if on else "Its light is as it was.")
        except CloudError as error:
            result = _failed(error)
        return await self._page(ask, record, reached=result)

    # -- changing the record ------------------------------------------------------------------------------------------

    async def edit(self, ask: Ask) -> Any:
        record = await self._record(ask, Action.DEVICES_UPDATE)
        given = ask.form
        name, notes = given.get("name", "").strip(), given.get("notes", "").strip()
        groups = [part for part in given.get("groups", "").replace(",", " ").split() if part]
        changes = DeviceChanges(
            name=UNCHANGED if name == (record.name or "") else name,
            notes=UNCHANGED if notes == (record.notes or "") else notes or None,
            is_development=UNCHANGED
            if (given.get("development") == "1") == record.is_development
            else not record.is_development,
        )
        try:
            if set(check_names(groups)) != set(record.groups):
                changes = DeviceChanges(
                    changes.name, changes.notes, is_development=changes.is_development, groups=tuple(groups)
                )
            if not changes.is_empty:
                await self._services.updates.update(ask.requester, record, changes, through="product")
        except CloudError as error:
            return await self._page(ask, record, error=error)
        return self._frame.redirect(ask, self._url(ask, record), "Saved.")

    async def approve(self, ask: Ask) -> Any:
        record = await self._record(ask, Action.DEVICES_UPDATE)
        changes = DeviceChanges(is_quarantined=False, is_denied=False)
        await self._services.updates.update(ask.requester, record, changes, through="product")
        return self._frame.redirect(ask, self._url(ask, record), "It may take part now.")

    async def deny(self, ask: Ask) -> Any:
        record = await self._services.updates.deny(ask.requester, ask.the_product, ask.params["device"])
        return self._frame.redirect(ask, self._url(ask, record), "It is denied, and cannot connect.")

    async def remove(self, ask: Ask) -> Any:
        record = await self._services.updates.remove(ask.requester, ask.the_product, ask.params["device"])
        done = f"{record.name or record.id} is in the product no more."
        return self._frame.redirect(ask, f"{ask.base}/devices", done)

    # -- whose it is --------------------------------------------------------------------------------------------------

    async def claim(self, ask: Ask) -> Any:
        record = await self._record(ask, Action.DEVICES_GET)
        try:
            await self._services.ownership.claim(ask.requester, record.id)
        except CloudError as error:
            return await self._page(ask, record, error=error)
        return self._frame.redirect(ask, self._url(ask, record), "It is yours now.")

    async def unclaim(self, ask: Ask) -> Any:
        record = await self._record(ask, Action.DEVICES_GET)
        await self._services.ownership.unclaim(ask.requester, record.id)
        return self._frame.redirect(ask, self._url(ask, record), "It is nobody's now, and stays in the product.")

    async def release(self, ask: Ask) -> Any:
        record = await self._record(ask, Action.DEVICES_RELEASE)
        await self._services.ownership.release(ask.requester, ask.the_product, record.id)
        return self._frame.redirect(ask, self._url(ask, record), "It is nobody's now, and stays in the product.")

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _record(self, ask: Ask, action: Action) -> DeviceRecord:
        return await self._services.devices.in_product(ask.requester, ask.the_product, ask.params["device"], action)

    def _url(self, ask: Ask, record: DeviceRecord) -> str:
        return f"{ask.base}/devices/{record.id}"

    async def _page(
        self,
        ask: Ask,
        record: DeviceRecord,
        *,
        called: tuple[str, str, Result] | None = None,
        read: dict[str, Result] | None = None,
        reached: Result | None = None,
        error: CloudError | None = None,
    ) -> Any:
        view = await self._services.devices.view(record)
        is_mine = record.owner is not None and record.owner == owner_of(ask.requester)
        may_claim = isinstance(decide(ask.requester, Action.DEVICES_CLAIM, OwnThings()), Allowed)
        return await self._frame.page(
            ask,
            "device.html",
            title=record.name or record.id,
            section="devices",
            back=(f"{ask.base}/devices", "Devices"),
            error=error,
            device=record,
            view=view,
            url=self._url(ask, record),
            key=_key(await self._services.devices.key(record)),
            hardware=dict(PLATFORMS).get(record.platform_id if record.platform_id is not None else -1),
            released=await self._services.firmware_updates.released_version(record),
            groups=await self._services.groups.of_product(ask.requester, ask.the_product),
            is_mine=is_mine,
            is_owned_by_user=isinstance(record.owner, OwnedByUser),
            may_claim=may_claim and record.owner is None and view.is_online and not record.is_shut_out,
            called=called,
            read=read or {},
            reached=reached,
        )


def _passed_ms(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _failed(error: CloudError) -> Result:
    """A time-out is told in the API's words, which say little."""
    timed_out = isinstance(error, FunctionTimedOut | VariableTimedOut | SignalTimedOut)
    return Result("It did not answer." if timed_out else error.message, is_good=False)


def _key(found: RecordedKey | None) -> dict[str, str] | None:
    if found is None:
        return None
    digest = hashlib.sha256(found.public_key).hexdigest()
    return {
        "kind": "P-256" if len(found.public_key) == 91 else "RSA",
        "origin": found.origin.replace("-", " "),
        "fingerprint": ":".join(digest[index : index + 2] for index in range(0, 32, 2)),
    }


SECTION: Final = Section("device", "Device", None, ROUTES, DevicePages)
