"""What devices tell the cloud, brought to the part that it concerns."""

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.fleet.connections import Connections, KeyRefused
from cloudchamber.fleet.imports.rules import is_iccid, is_imei
from cloudchamber.fleet.model import Description, DeviceRecord, Handshake
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.audience import Audience, Member
from cloudchamber.messaging.calls import TYPE_NAMES
from cloudchamber.messaging.events import Errand, Events
from cloudchamber.messaging.model import DEFAULT_TTL_S, Event
from cloudchamber.messaging.ports import Admission, Admitted, DeviceRefused, NotAdmitted
from cloudchamber.messaging.recording import Kept
from cloudchamber.ownership.service import Ownership
from cloudchamber.tally import Figure, Tally
from cloudchamber.wire.describe import Describe
from cloudchamber.wire.events import EventPublished, Fact
from cloudchamber.wire.messages import Hello, HelloFlag

_CC3000_EVENT: Final = "spark/cc3000-patch-version"
_MAX_CC3000_LENGTH: Final = 32
_RANDOM_BYTES: Final = 30  # 40 characters of base64

DEVICE_ONLINE: Final = "device.online"
"""Bus subject; the message is the DeviceRecord, with what the device said in its Hello. Also when it says another Hello
within its session."""
DEVICE_DESCRIBED: Final = "device.described"
"""Bus subject; the message is a DescribedDevice."""
DEVICE_VITALS: Final = "device.vitals"
"""Bus subject; the message is a VitalsTold."""
DEVICE_LOCATED: Final = "device.located"
"""Bus subject; the message is a Located."""
_LOCATION_EVENT: Final = "loc"


class OnlineDevice(msgspec.Struct, frozen=True):
    """`says_updated`: by its Hello it has just been updated over the air, and started with that."""

    record: DeviceRecord
    says_updated: bool


@dataclass(frozen=True, slots=True)
class DescribedDevice:
    member: Member
    describe: Describe


class VitalsTold(msgspec.Struct, frozen=True):
    """Without being asked. `metrics` are as they came."""

    member: Member
    metrics: bytes


class Located(msgspec.Struct, frozen=True):
    """The data of a `loc` event, as it came."""

    member: Member
    data: str | None


class Inbox:
    """The gateway's DeviceInbox. For one device the calls come one after the other."""

    def __init__(
        self,
        connections: Connections,
        ownership: Ownership,
        events: Events,
        audience: Audience,
        bus: InProcessBus,
        clock: Clock,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._bus = bus
        self._connections = connections
        self._ownership = ownership
        self._events = events
        self._audience = audience
        self._clock = clock
        # Asked in each handshake: a call less.
        self.admit_now = connections.admit_now
        self.goes_by = connections.goes_by
        self.unproven = connections.unproven

    async def admit(self, device: DeviceId, public_key_der: bytes | None) -> Admission:
        key = await self._connections.admit(device, public_key_der)
        return NotAdmitted("unknown, or known by another key") if key is None else Admitted(key)

    async def online(self, device: DeviceId, hello: Hello, ip: str, public_key_der: bytes) -> None:
        handshake = Handshake(
            ip=ip,
            platform_id=hello.platform_id,
            product_id=hello.product_id,
            product_version=hello.product_version,
            system_version=_version(hello.system_version),
        )
        try:
            record = await self._connections.online(device, public_key_der, handshake)
        except KeyRefused as error:
            raise DeviceRefused(str(device)) from error
        was_there = self._audience.member(device) is not None
        self._audience.enter(device, record)
        if record is not None and not was_there:
            if not record.is_shut_out:
                self._tally.note(record.product, Figure.CONNECTED)
            await self._announce(record, "spark/status", "online")
        if record is not None:
            self._bus.publish(DEVICE_ONLINE, OnlineDevice(record, bool(hello.flags & HelloFlag.OTA_SUCCESSFUL)))

    async def described(self, device: DeviceId, describe: Describe) -> None:
        await self._connections.described(
            device,
            Description(
                functions=describe.functions,
                variables={name: TYPE_NAMES[kind] for name, kind in describe.variables.items()},
                system=None if describe.system is None else msgspec.json.encode(dict(describe.system)).decode(),
                imei=_number(describe.system, "imei", is_imei),
                iccid=_number(describe.system, "iccid", is_iccid),
            ),
        )
        member = self._audience.member(device)
        if member is not None:
            self._bus.publish(DEVICE_DESCRIBED, DescribedDevice(member, describe))

    async def claim_code(self, device: DeviceId, code: str) -> bool:
        return await self._ownership.present_code(device, code) is not None

    async def updates_enabled(self, device: DeviceId, *, enabled: bool) -> None:
        await self._connections.set_flag(device, "reports_updates_enabled", value=enabled)
        await self._announce_flag(device, "particle/device/updates/enabled", value=enabled)

    async def updates_forced(self, device: DeviceId, *, forced: bool) -> None:
        await self._connections.forced_updates(device, reported=forced)
        await self._announce_flag(device, "particle/device/updates/forced", value=forced)

    async def fact(self, device: DeviceId, fact: Fact, ip: str) -> bytes:
        match fact:
            case Fact.IP:
                return ip.encode()
            case Fact.RANDOM:
                return base64.b64encode(os.urandom(_RANDOM_BYTES))
            case Fact.NAME:
                member = self._audience.member(device)
                return (member.name if member and member.name else device).encode()

    def published(self, device: DeviceId, event: EventPublished, *, is_next: bool) -> Kept | Errand | None:
        member, name, data = self._audience.member(device), event.name, event.data
        # Nobody can hear a device that is on no record, and nobody shall hear one that is shut out.
        if member is None or member.is_shut_out or "\n" in name or "\r" in name:
            return None
        text = None if data is None else data.decode("utf-8", "replace")
        if name == _LOCATION_EVENT:
            self._bus.publish(DEVICE_LOCATED, Located(member, text))
        is_public = not event.is_private
        said = _event(member, name, text, event.ttl_s, self._clock.now(), is_public=is_public)
        waits = event.waiting is not None
        if name == _CC3000_EVENT and text and len(text) <= _MAX_CC3000_LENGTH and text.isprintable():
            return partial(self._patched, device, text, said, waits)
        return self._events.publish_from(said, device, may_refuse=waits, is_next=is_next)

    async def _patched(self, device: DeviceId, version: str, said: Event, waits: bool) -> bool:
        await self._connections.set_cc3000_patch_version(device, version)
        rest = self._events.publish_from(said, device, may_refuse=waits, is_next=True)
        return True if rest is None else await rest()

    async def vitals(self, device: DeviceId, metrics: bytes) -> None:
        member = self._audience.member(device)
        if member is not None:
            self._bus.publish(DEVICE_VITALS, VitalsTold(member, metrics))

    async def safe_mode(self, device: DeviceId) -> None:
        await self._connections.set_flag(device, "is_in_safe_mode", value=True)
        member = self._audience.member(device)
        if member is not None:
            await self._announce(member, "spark/status/safe-mode", None)

    async def offline(self, device: DeviceId, last_heard_ms: int) -> None:
        self._audience.leave(device)
        record = await self._connections.offline(device, Millis(last_heard_ms))
        if record is not None:
            await self._announce(record, "spark/status", "offline")

    async def _announce_flag(self, device: DeviceId, name: str, *, value: bool) -> None:
        member = self._audience.member(device)
        if member is not None:
            await self._announce(member, name, "true" if value else "false")

    async def _announce(self, of: DeviceRecord | Member, name: str, data: str | None) -> None:
        if of.is_shut_out:
            return
        await self._events.announce(_event(of, name, data, DEFAULT_TTL_S, self._clock.now(), is_public=False))


def _event(of: DeviceRecord | Member, name: str, data: str | None, ttl_s: int, at: Millis, *, is_public: bool) -> Event:
    return Event(name, data, ttl_s, at, of.id, is_public, of.owner, of.product, version=of.firmware_version)


def _number(system: Mapping[str, Any] | None, name: str, is_one: Callable[[str], bool]) -> str | None:
    """Of the modem or its SIM, when a device tells one that can be."""
    value = system.get(name) if system is not None else None
    return value if isinstance(value, str) and is_one(value) else None


def _version(number: int | None) -> str | None:
    """Major and minor of Device OS, the decimal digits of its system module's number: 6200 is 6.2. The last two digits
    count builds and not releases (4.0.2 says 4006), so nothing is told of them."""
    return None if number is None or not 1000 <= number < 0xFFFF else f"{number // 1000}.{number // 100 % 10}"
