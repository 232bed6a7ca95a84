"""A device that is online and silent: its session as one small value, and somebody who can be asked for the device.

Most devices on a cellular network are silent for 23 minutes at a time, those on Wi-Fi for half a minute. A session that
something goes on in is some forty objects and twenty times as large. It is made again for the first request or event
for its device, and for the device's next datagram.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from cloudchamber.clock import Millis
from cloudchamber.gateway.hub import LiveSession
from cloudchamber.gateway.rules import is_wanted, reaches_beyond_owner
from cloudchamber.gateway.services import Services
from cloudchamber.gateway.session import last_heard, tell_offline
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.ports import Cancel, Done
from cloudchamber.wire.dtls.events import ByAddress, ByCid, ByDeviceId, SessionKey
from cloudchamber.wire.dtls.records import Address
from cloudchamber.wire.dtls.session import DtlsSession
from cloudchamber.wire.events import Outcome
from cloudchamber.wire.udp.packed import PackedSession
from cloudchamber.wire.update.sending import Image


class Bed(Protocol):
    """The gateway's side."""

    @property
    def services(self) -> Services: ...

    def wake(self, dozing: "Dozing") -> LiveSession:
        """The session, in the place of `dozing`, to be asked for something at once."""
        ...

    def risen(self, dozing: "Dozing") -> None:
        """Another session stands in its place."""
        ...


class Dozing:
    """A `LiveSession`. `channel` is of `Endpoint.pack`; `route` is what names the session in a datagram: its connection
    id, or the address where it is; `heard_at` is in the loop's time."""

    __slots__ = ("_bed", "channel", "device", "heard_at", "route", "session")

    def __init__(
        self,
        bed: Bed,
        device: DeviceId,
        session: PackedSession,
        channel: bytes,
        route: bytes | Address,
        heard_at: float,
    ) -> None:
        self._bed = bed
        self.device = device
        self.session = session
        self.channel = channel
        self.route = route
        self.heard_at = heard_at

    @property
    def platform_id(self) -> int:
        return self.session.alike.hello.platform_id

    def lie_down(self) -> None:
        """In the place of the session that it was made of."""
        hub = self._bed.services.hub
        hub.attach(self)
        if any(reaches_beyond_owner(subscription) for subscription in self.session.alike.subscriptions):
            hub.listens_widely(self)

    def leave(self) -> None:
        """The cloud stops."""
        services = self._bed.services
        services.hub.detach(self)
        services.mailboxes.post(self.device, self._tell_offline)

    async def _tell_offline(self) -> None:
        await tell_offline(self._bed.services, self.device, self.last_heard)

    # --- LiveSession ---

    @property
    def public_key_der(self) -> bytes:
        return DtlsSession.packed_key(self.channel)

    @property
    def last_heard(self) -> Millis:
        return last_heard(self._bed.services.clock, asyncio.get_running_loop().time() - self.heard_at)

    async def call_function(self, name: str, argument: str, timeout_s: float) -> Outcome:
        return await self._bed.wake(self).call_function(name, argument, timeout_s)

    async def read_variable(self, name: str, timeout_s: float) -> Outcome:
        return await self._bed.wake(self).read_variable(name, timeout_s)

    def begin_function(self, name: str, argument: str, timeout_s: float, done: Done) -> Cancel:
        return self._bed.wake(self).begin_function(name, argument, timeout_s, done)

    def begin_variable(self, name: str, timeout_s: float, done: Done) -> Cancel:
        return self._bed.wake(self).begin_variable(name, timeout_s, done)

    async def ping(self, timeout_s: float) -> Outcome:
        return await self._bed.wake(self).ping(timeout_s)

    async def read_vitals(self, timeout_s: float) -> Outcome:
        return await self._bed.wake(self).read_vitals(timeout_s)

    async def signal(self, *, on: bool, timeout_s: float) -> Outcome:
        return await self._bed.wake(self).signal(on=on, timeout_s=timeout_s)

    async def update(self, image: Image, started: Callable[[int], None]) -> Outcome:
        return await self._bed.wake(self).update(image, started)

    def send_system_event(self, name: str, data: bytes | None) -> bool:
        return self._bed.wake(self).send_system_event(name, data)

    def send_event(
        self, name: str, data: bytes | None, *, ttl_s: int, is_private: bool, is_own: bool, source: DeviceId | None
    ) -> bool:
        wanted = self.session.alike.subscriptions
        if not is_wanted(wanted, name, is_own=is_own, is_private=is_private, source=source):
            return False
        session = self._bed.wake(self)
        return session.send_event(name, data, ttl_s=ttl_s, is_private=is_private, is_own=is_own, source=source)

    def replaced(self) -> None:
        self._bed.risen(self)

    def close(self) -> None:
        self._bed.wake(self).close()


class Dormitory:
    """All of a gateway, by what a datagram may name. Those that lay down first come first."""

    def __init__(self) -> None:
        self._by_device: dict[DeviceId, Dozing] = {}
        self._by_route: dict[bytes | Address, Dozing] = {}

    def __len__(self) -> int:
        return len(self._by_device)

    def __contains__(self, dozing: Dozing) -> bool:
        return self._by_device.get(dozing.device) is dozing

    def __iter__(self) -> Iterator[Dozing]:
        return iter(self._by_device.values())

    def add(self, dozing: Dozing) -> None:
        self._by_device[dozing.device] = dozing
        # Who had the address before can only be reached by what its own records say.
        self._by_route[dozing.route] = dozing

    def remove(self, dozing: Dozing) -> None:
        """Does nothing when it has left already."""
        if self._by_device.get(dozing.device) is dozing:
            del self._by_device[dozing.device]
        if self._by_route.get(dozing.route) is dozing:
            del self._by_route[dozing.route]

    def find(self, key: SessionKey) -> Dozing | None:
        match key:
            case ByCid(cid):
                return self._by_route.get(cid)
            case ByDeviceId(device_id):
                return self._by_device.get(DeviceId(device_id.hex()))
            case ByAddress(address):
                return self._by_route.get(address)

    def clear(self) -> None:
        self._by_device.clear()
        self._by_route.clear()
