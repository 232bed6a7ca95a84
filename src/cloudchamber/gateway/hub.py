"""The device sessions that are open in this process: where a request for a device finds its connection.

One session for each device id. A session is attached only after its device has proven its key, and then takes the place
of an older one.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.ports import Cancel, Done
from cloudchamber.wire.events import Disconnected, Outcome
from cloudchamber.wire.update.sending import Image


class LiveSession(Protocol):
    """One open connection to a device, whatever carries it."""

    @property
    def device(self) -> DeviceId: ...

    @property
    def public_key_der(self) -> bytes: ...

    @property
    def last_heard(self) -> Millis: ...

    async def call_function(self, name: str, argument: str, timeout_s: float) -> Outcome: ...

    async def read_variable(self, name: str, timeout_s: float) -> Outcome: ...

    def begin_function(self, name: str, argument: str, timeout_s: float, done: Done) -> Cancel: ...

    def begin_variable(self, name: str, timeout_s: float, done: Done) -> Cancel: ...

    async def ping(self, timeout_s: float) -> Outcome: ...

    async def read_vitals(self, timeout_s: float) -> Outcome: ...

    async def signal(self, *, on: bool, timeout_s: float) -> Outcome: ...

    async def update(self, image: Image, started: Callable[[int], None]) -> Outcome: ...

    def send_system_event(self, name: str, data: bytes | None) -> bool: ...

    def send_event(
        self, name: str, data: bytes | None, *, ttl_s: int, is_private: bool, is_own: bool, source: DeviceId | None
    ) -> bool: ...

    def replaced(self) -> None:
        """A newer connection of the same device has taken over: close, and tell nobody that the device is offline."""
        ...

    def close(self) -> None: ...


class Hub:
    """Answers what fleet and messaging ask of live connections (`LiveDevices` and `DeviceLink`)."""

    def __init__(self) -> None:
        self._sessions: dict[DeviceId, LiveSession] = {}
        self._wide: set[DeviceId] = set()

    # --- for the shells ---

    def attach(self, session: LiveSession) -> None:
        """Makes `session` the device's session. Telling an older one that it was replaced is the caller's matter."""
        self._sessions[session.device] = session
        self._wide.discard(session.device)

    def detach(self, session: LiveSession) -> None:
        """Does nothing when another session has taken the place already."""
        if self._sessions.get(session.device) is session:
            del self._sessions[session.device]
            self._wide.discard(session.device)

    def listens_widely(self, session: LiveSession) -> None:
        """The session's device subscribed to more than its owner's devices."""
        if self._sessions.get(session.device) is session:
            self._wide.add(session.device)

    def session(self, device: DeviceId) -> LiveSession | None:
        return self._sessions.get(device)

    # --- LiveDevices ---

    def devices(self) -> Collection[DeviceId]:
        """The devices that are connected now; a view, so copy it before awaiting."""
        return self._sessions.keys()

    def is_online(self, device: DeviceId) -> bool:
        return device in self._sessions

    def last_heard(self, device: DeviceId) -> Millis | None:
        session = self._sessions.get(device)
        return None if session is None else session.last_heard

    def presented_key(self, device: DeviceId) -> bytes | None:
        session = self._sessions.get(device)
        return None if session is None else session.public_key_der

    def disconnect(self, device: DeviceId) -> None:
        session = self._sessions.get(device)
        if session is not None:
            session.close()

    # --- DeviceLink ---

    async def call_function(self, device: DeviceId, name: str, argument: str, timeout_s: float) -> Outcome:
        session = self._sessions.get(device)
        return Disconnected() if session is None else await session.call_function(name, argument, timeout_s)

    async def read_variable(self, device: DeviceId, name: str, timeout_s: float) -> Outcome:
        session = self._sessions.get(device)
        return Disconnected() if session is None else await session.read_variable(name, timeout_s)

    def begin_function(self, device: DeviceId, name: str, argument: str, timeout_s: float, done: Done) -> Cancel:
        session = self._sessions.get(device)
        return _gone(done) if session is None else session.begin_function(name, argument, timeout_s, done)

    def begin_variable(self, device: DeviceId, name: str, timeout_s: float, done: Done) -> Cancel:
        session = self._sessions.get(device)
        return _gone(done) if session is None else session.begin_variable(name, timeout_s, done)

    async def ping(self, device: DeviceId, timeout_s: float) -> Outcome:
        session = self._sessions.get(device)
        return Disconnected() if session is None else await session.ping(timeout_s)

    async def read_vitals(self, device: DeviceId, timeout_s: float) -> Outcome:
        session = self._sessions.get(device)
        return Disconnected() if session is None else await session.read_vitals(timeout_s)

    async def signal(self, device: DeviceId, *, on: bool, timeout_s: float) -> Outcome:
        session = self._sessions.get(device)
        return Disconnected() if session is None else await session.signal(on=on, timeout_s=timeout_s)

    async def update(self, device: DeviceId, image: Image, started: Callable[[int], None]) -> Outcome:
        session = self._sessions.get(device)
        return Disconnected() if session is None else await session.update(image, started)

    def send_system_event(self, device: DeviceId, name: str, data: bytes | None) -> bool:
        session = self._sessions.get(device)
        return session is not None and session.send_system_event(name, data)

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
        session = self._sessions.get(device)
        return session is not None and session.send_event(
            name, data, ttl_s=ttl_s, is_private=is_private, is_own=is_own, source=source
        )

    def public_subscribers(self) -> Collection[DeviceId]:
        return self._wide


def _gone(done: Done) -> Cancel:
    done(Disconnected())
    return _nothing


def _nothing() -> None: ...
