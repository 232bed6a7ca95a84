"""What messaging asks of the gateway, and what the gateway tells the rest of the cloud."""

from collections.abc import Callable, Collection, Coroutine
from typing import Any, Protocol

import msgspec

from cloudchamber.ids import DeviceId
from cloudchamber.messaging.model import Event
from cloudchamber.messaging.recording import Kept, Recording
from cloudchamber.wire.describe import Describe
from cloudchamber.wire.events import EventPublished, Fact, Outcome
from cloudchamber.wire.messages import Hello
from cloudchamber.wire.update.sending import Image

Done = Callable[[Outcome], None]
"""Told the outcome, once; it must not raise."""
Cancel = Callable[[], None]
"""Nobody waits any more, and nothing is told from here on. After the end it does nothing."""


class DeviceLink(Protocol):
    """One awaitable for each request, wherever the device is connected. Never raises for what a device does: the
    outcome says it (`Disconnected` when it is not connected, `TimedOut` when it does not answer)."""

    async def call_function(self, device: DeviceId, name: str, argument: str, timeout_s: float) -> Outcome: ...

    async def read_variable(self, device: DeviceId, name: str, timeout_s: float) -> Outcome: ...

    def begin_function(self, device: DeviceId, name: str, argument: str, timeout_s: float, done: Done) -> Cancel:
        """As `call_function`, without a task that waits. `done` may be told before this returns."""
        ...

    def begin_variable(self, device: DeviceId, name: str, timeout_s: float, done: Done) -> Cancel:
        """As `read_variable`, in the same manner."""
        ...

    async def ping(self, device: DeviceId, timeout_s: float) -> Outcome: ...

    async def read_vitals(self, device: DeviceId, timeout_s: float) -> Outcome:
        """DescribeRead holds its binary metrics."""
        ...

    async def signal(self, device: DeviceId, *, on: bool, timeout_s: float) -> Outcome: ...

    async def update(self, device: DeviceId, image: Image, started: Callable[[int], None]) -> Outcome:
        """A file for the device. `started` is called, with the offset in the file, when the device has agreed; the
        outcome is `Updated` when it has it all. Minutes; cancelled, the device is told where its protocol can."""
        ...

    def send_system_event(self, device: DeviceId, name: str, data: bytes | None) -> bool:
        """Private, from the cloud itself, whatever the device subscribes to. False: it is not connected."""
        ...

    def send_event(
        self,
        device: DeviceId,
        name: str,
        data: bytes | None,
        *,
        ttl_s: int,
        is_private: bool,
        is_own: bool,
        source: DeviceId | None,
    ) -> bool:
        """One copy, where a subscription of the device wants it. `is_own`: publisher and device have the same owner.
        `source` is the publishing device, if it was one."""
        ...

    def public_subscribers(self) -> Collection[DeviceId]:
        """Connected devices with a subscription that reaches beyond their owner's devices: the only ones that a public
        event can concern, so that publishing one does not cost a walk over the whole fleet."""
        ...


class Admitted(msgspec.Struct, frozen=True):
    """`public_key_der` is the device's key: the one it brought, or the one on record when it brought none."""

    public_key_der: bytes


class NotAdmitted(msgspec.Struct, frozen=True):
    """`reason` is for the log; the device is told nothing."""

    reason: str


Admission = Admitted | NotAdmitted


class EventSink(Protocol):
    """Takes events that something outside waits for (webhooks)."""

    def offer(self, event: Event) -> Recording | None:
        """None where nothing waits for the event; else what ends when it is on record, or with a CloudError: then it
        is not, and its publisher may try again."""
        ...


class DeviceRefused(Exception):
    """The device is known by another key."""


class DeviceInbox(Protocol):
    """What the gateway tells. For one device the calls come one after the other, in the order of the wire."""

    async def admit(self, device: DeviceId, public_key_der: bytes | None) -> Admission:
        """Is this device known, and is this its key? Asked before anything of the device counts."""
        ...

    def admit_now(self, device: DeviceId, public_key_der: bytes | None) -> bytes | None:
        """As `admit`, from memory: the device's key, or None where only `admit` can tell."""
        ...

    def goes_by(self, device: DeviceId, public_key_der: bytes) -> bool:
        """Memory has this key for the device, so that `admit` will hardly refuse it. May be asked from any thread."""
        ...

    def unproven(self, device: DeviceId) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Who was admitted as this device was gone before they proved its key. None: that is noted. Otherwise call
        what is left to do."""
        ...

    async def online(self, device: DeviceId, hello: Hello, ip: str, public_key_der: bytes) -> None:
        """The device proved `public_key_der`, the key with which it was admitted, by an encrypted Hello. Told again, in
        the same connection, when the device says a Hello with other facts.

        Raises DeviceRefused when another key went on record in the meantime: close the connection.
        """
        ...

    async def described(self, device: DeviceId, describe: Describe) -> None: ...

    async def claim_code(self, device: DeviceId, code: str) -> bool:
        """True when the device belongs to the code's owner now; the device then forgets its code."""
        ...

    async def updates_enabled(self, device: DeviceId, *, enabled: bool) -> None: ...

    async def updates_forced(self, device: DeviceId, *, forced: bool) -> None: ...

    async def fact(self, device: DeviceId, fact: Fact, ip: str) -> bytes:
        """The answer to a device that asks for its name, its address or random bytes."""
        ...

    def published(
        self, device: DeviceId, event: EventPublished, *, is_next: bool
    ) -> Kept | Callable[[], Coroutine[Any, Any, bool]] | None:
        """None: all is done. Otherwise call what is left to do, whose answer is whether the event was taken. Not
        `is_next`: what is left of the device's former events has not been done yet, and comes first."""
        ...

    async def vitals(self, device: DeviceId, metrics: bytes) -> None:
        """Binary metrics that the device told without being asked."""
        ...

    async def safe_mode(self, device: DeviceId) -> None: ...

    async def offline(self, device: DeviceId, last_heard_ms: int) -> None:
        """Exactly once for each `online` whose connection was not replaced by a newer one of the same device."""
        ...
