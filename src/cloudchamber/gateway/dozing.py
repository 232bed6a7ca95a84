"""A device that counts as online while its session lies in the store alone.

Most devices on a cellular network are silent for 23 minutes at a time. Of such a session this alone stays in memory:
somebody who can be asked for the device. The first request or event for it, or its next datagram, brings the session
back.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from cloudchamber.clock import Millis
from cloudchamber.gateway.hub import LiveSession
from cloudchamber.gateway.rules import is_wanted, reaches_beyond_owner
from cloudchamber.gateway.session import Services, last_heard, tell_offline
from cloudchamber.ids import DeviceId
from cloudchamber.wire.events import Disconnected, Outcome
from cloudchamber.wire.messages import Subscription
from cloudchamber.wire.update.sending import Image


class Bed(Protocol):
    """The gateway's side."""

    async def wake(self, dozing: "Dozing") -> LiveSession | None:
        """The session in memory; None when it is not in the store any more."""
        ...

    def wake_for(self, dozing: "Dozing", act: Callable[[LiveSession], object]) -> None:
        """Soon, and without anybody who waits for it."""
        ...

    def risen(self, dozing: "Dozing") -> None:
        """Another session stands in its place, or the device is offline."""
        ...


class Dozing:
    """A `LiveSession`. `heard_at` is in the loop's time."""

    __slots__ = (
        "_bed",
        "_services",
        "_subscriptions",
        "device",
        "heard_at",
        "platform_id",
        "public_key_der",
        "session_id",
    )

    def __init__(
        self,
        bed: Bed,
        services: Services,
        *,
        session_id: bytes,
        device: DeviceId,
        public_key_der: bytes,
        platform_id: int,
        heard_at: float,
        subscriptions: tuple[Subscription, ...],
    ) -> None:
        self._bed = bed
        self._services = services
        self._subscriptions = subscriptions
        self.session_id = session_id
        self.device = device
        self.public_key_der = public_key_der
        self.platform_id = platform_id
        self.heard_at = heard_at

    def lie_down(self) -> None:
        """In the place of the session that it was made of."""
        self._services.hub.attach(self)
        if any(reaches_beyond_owner(subscription) for subscription in self._subscriptions):
            self._services.hub.listens_widely(self)

    def go_offline(self) -> None:
        self._services.hub.detach(self)
        self._services.mailboxes.post(self.device, self._tell_offline)

    async def _tell_offline(self) -> None:
        await tell_offline(self._services, self.device, self.last_heard)

    # --- LiveSession ---

    @property
    def last_heard(self) -> Millis:
        return last_heard(self._services.clock, asyncio.get_running_loop().time() - self.heard_at)

    async def call_function(self, name: str, argument: str, timeout_s: float) -> Outcome:
        session = await self._bed.wake(self)
        return Disconnected() if session is None else await session.call_function(name, argument, timeout_s)

    async def read_variable(self, name: str, timeout_s: float) -> Outcome:
        session = await self._bed.wake(self)
        return Disconnected() if session is None else await session.read_variable(name, timeout_s)

    async def ping(self, timeout_s: float) -> Outcome:
        session = await self._bed.wake(self)
        return Disconnected() if session is None else await session.ping(timeout_s)

    async def signal(self, *, on: bool, timeout_s: float) -> Outcome:
        session = await self._bed.wake(self)
        return Disconnected() if session is None else await session.signal(on=on, timeout_s=timeout_s)

    async def update(self, image: Image, started: Callable[[int], None]) -> Outcome:
        session = await self._bed.wake(self)
        return Disconnected() if session is None else await session.update(image, started)

    def send_system_event(self, name: str, data: bytes | None) -> bool:
        self._bed.wake_for(self, lambda session: session.send_system_event(name, data))
        return True

    def send_event(
        self, name: str, data: bytes | None, *, ttl_s: int, is_private: bool, is_own: bool, source: DeviceId | None
    ) -> bool:
        if not is_wanted(self._subscriptions, name, is_own=is_own, is_private=is_private, source=source):
            return False

        def send(session: LiveSession) -> None:
            session.send_event(name, data, ttl_s=ttl_s, is_private=is_private, is_own=is_own, source=source)

        self._bed.wake_for(self, send)
        return True

    def replaced(self) -> None:
        self._bed.risen(self)

    def close(self) -> None:
        self._bed.wake_for(self, lambda session: session.close())
