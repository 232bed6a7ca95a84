"""Two ends of a connection joined by a wire that loses nothing, and a clock that jumps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.wire.coap import Message, decode_untrusted, encode
from cloudchamber.wire.describe import Application
from cloudchamber.wire.events import (
    Answered,
    CloudEvent,
    DecryptHandshake,
    DeviceEvent,
    EventPublished,
    FunctionCalled,
    IdentifyDevice,
    Outcome,
    Spoke,
    TimeAsked,
    VariableAsked,
)
from cloudchamber.wire.messages import Subscription
from cloudchamber.wire.session.profile import PROFILES, DeviceSetup
from cloudchamber.wire.tcp.channel import Opener, Sealer
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.tcp.device import DeviceConnection
from cloudchamber.wire.tcp.handshake import open_handshake, seal_to_device, sign_digest
from cloudchamber.wire.tcp.stranger import Stranger
from cloudchamber.wire.values import Value, VariableType

T = TypeVar("T")

NONCE = bytes(range(100, 140))
CREDENTIALS = bytes(range(40))
DEVICE_ID = bytes.fromhex("54e1c888f6d9492bebee1ee9")
UNIX_TIME = 1_700_000_000

APPLICATION = Application(
    functions=("brew", "fail"),
    variables={
        "temperature": VariableType.INT,
        "ratio": VariableType.DOUBLE,
        "motd": VariableType.STRING,
        "on": VariableType.BOOL,
    },
)
VALUES: dict[str, Value] = {"temperature": -98765, "ratio": 21.5, "motd": "", "on": True}


@cache
def server_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@cache
def device_key() -> RSAPrivateKey:
    return generate_private_key(65537, 1024)


def device_public_der() -> bytes:
    return device_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def seal_credentials(server: RSAPrivateKey, device_public: bytes, credentials: bytes) -> bytes:
    """The 384 bytes of the reply."""
    sealed, digest = seal_to_device(device_public, credentials)
    return sealed + sign_digest(server, digest)


def setup(release: str = "2.3.1", **changes: object) -> DeviceSetup:
    given: dict[str, object] = {
        "application": APPLICATION,
        "subscriptions": (Subscription("weather"),),
        "platform_id": 0 if release == "core" else 6,
    }
    return DeviceSetup(DEVICE_ID, PROFILES[release], **(given | changes))  # type: ignore[arg-type]


class CloudEnd:
    """The cloud's whole end, its two parts joined as the gateway joins them: what they find is among the events."""

    def __init__(self, *, nonce: bytes = NONCE, now: float = 0.0, first_message_id: int = 0x4001) -> None:
        self.machine: Stranger | CloudConnection = Stranger(nonce, now)
        self._first_message_id = first_message_id
        self._events: list[Any] = []
        self._ready = nonce

    def __getattr__(self, name: str) -> Any:
        """Commands, and whether it is online: of the session alone."""
        return getattr(self.machine, name)

    @property
    def is_online(self) -> bool:
        return isinstance(self.machine, CloudConnection) and self.machine.is_online

    def _found(self, event: object, now: float) -> None:
        if isinstance(event, Spoke):
            assert isinstance(self.machine, Stranger)
            self.machine = self.machine.into_connection(self._first_message_id, now)
        elif event is not None:
            self._events.append(event)

    def receive(self, data: bytes, now: float) -> None:
        self._found(self.machine.receive(data, now), now)

    def receive_eof(self, now: float) -> None:
        if isinstance(self.machine, Stranger):
            self._found(self.machine.receive_eof(), now)
        else:
            self.machine.receive_eof(now)

    def handshake_decrypted(self, plaintext: bytes | None, now: float) -> None:
        self._found(self.machine.decrypted(plaintext), now)

    def admit(self, reply: bytes, credentials: bytes, now: float) -> None:
        assert isinstance(self.machine, Stranger)
        if self.machine.admit(credentials, now):
            self._ready += reply
            if self.machine.has_spoken:
                self._found(Spoke(), now)

    def refuse(self, now: float) -> None:
        self._found(self.machine.refuse(), now)

    def close(self, now: float) -> None:
        if isinstance(self.machine, Stranger):
            self._found(self.machine.close(), now)
        else:
            self.machine.close(now)

    def handle_deadline(self, now: float) -> None:
        self._found(self.machine.handle_deadline(now), now)

    def events(self) -> list[Any]:
        events, self._events = self._events, []
        return events + (self.machine.events() if isinstance(self.machine, CloudConnection) else [])

    def data_to_send(self, now: float) -> bytes:
        ready, self._ready = self._ready, b""
        return ready + (self.machine.data_to_send(now) if isinstance(self.machine, CloudConnection) else b"")


@dataclass
class Link:
    """`pump` carries bytes both ways, and answers the questions of both ends, until nothing moves."""

    cloud: CloudEnd
    device: DeviceConnection
    now: float = 0.0
    piece: int = 1 << 20
    """Bytes for one `receive`."""
    device_is_gone: bool = False
    """Its bytes get lost."""
    cloud_events: list[CloudEvent] = field(default_factory=list)
    device_events: list[DeviceEvent] = field(default_factory=list)
    function: Callable[[str, str], int | None] = lambda name, argument: 456

    def pump(self) -> None:
        moved = True
        while moved:
            to_device = self.cloud.data_to_send(self.now)
            to_cloud = b"" if self.device_is_gone else self.device.data_to_send(self.now)
            for piece in pieces(to_device, self.piece):
                self.device.receive(piece, self.now)
            for piece in pieces(to_cloud, self.piece):
                self.cloud.receive(piece, self.now)
            heard = self._answer_cloud() + self._answer_device()
            moved = bool(to_device or to_cloud or heard)

    def _answer_cloud(self) -> int:
        events = self.cloud.events()
        for event in events:
            if isinstance(event, DecryptHandshake):
                self.cloud.handshake_decrypted(open_handshake(server_key(), event.ciphertext), self.now)
            elif isinstance(event, IdentifyDevice):
                assert event.public_key_der is not None
                reply = seal_credentials(server_key(), event.public_key_der, CREDENTIALS)
                self.cloud.admit(reply, CREDENTIALS, self.now)
            elif isinstance(event, TimeAsked):
                self.cloud.tell_time(event, UNIX_TIME, self.now)
            elif isinstance(event, EventPublished):
                self.cloud.confirm_event(event)
        self.cloud_events += events
        return len(events)

    def _answer_device(self) -> int:
        events = self.device.events()
        for event in events:
            if isinstance(event, FunctionCalled):
                value = self.function(event.name, event.argument)
                if value is not None:
                    self.device.return_value(event.request, value, self.now)
            elif isinstance(event, VariableAsked):
                self.device.answer_variable(event.request, VALUES[event.name], self.now)
        self.device_events += events
        return len(events)

    def run_until(self, end: float) -> None:
        """Jumps from deadline to deadline."""
        self.pump()
        for _ in range(10_000):
            deadlines = [at for at in (self.cloud.next_deadline(), self.device.next_deadline()) if at is not None]
            if not deadlines or min(deadlines) > end:
                self.now = end
                return
            assert min(deadlines) >= self.now, "a deadline lies in the past"
            self.now = min(deadlines)
            self.cloud.handle_deadline(self.now)
            self.device.handle_deadline(self.now)
            self.pump()
        raise AssertionError("a deadline that is handled and stays: a shell would spin")

    def outcome(self, request: int) -> Outcome:
        self.pump()
        (found,) = [e.outcome for e in self.cloud_events if isinstance(e, Answered) and e.request == request]
        return found

    def cloud_heard(self, kind: type[T]) -> list[T]:
        return [event for event in self.cloud_events if isinstance(event, kind)]

    def device_heard(self, kind: type[T]) -> list[T]:
        return [event for event in self.device_events if isinstance(event, kind)]


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def link(release: str = "2.3.1", *, piece: int = 1 << 20, **changes: object) -> Link:
    cloud = CloudEnd()
    device = DeviceConnection(
        setup=setup(release, **changes),
        device_key=device_key(),
        server_key=server_key().public_key(),
        now=0.0,
        first_token=0xF5,
    )
    return Link(cloud, device, piece=piece)


def online(release: str = "2.3.1", **changes: object) -> Link:
    joined = link(release, **changes)
    joined.pump()
    assert joined.cloud.is_online
    assert joined.device.is_connected
    return joined


class Peer:
    """The other end in a test that writes each message by hand: a channel with the credentials, and nothing else."""

    def __init__(self, end: CloudConnection | DeviceConnection) -> None:
        self.end = end
        self.now = 0.0
        self.introduction: list[str] = []
        """What a device said of itself after the server's Hello."""
        self._sealer = Sealer(CREDENTIALS[:16], CREDENTIALS[16:32])
        self._opener = Opener(CREDENTIALS[:16], CREDENTIALS[16:32])

    def frame(self, message: Message | str) -> bytes:
        return self._sealer.seal(bytes.fromhex(message) if isinstance(message, str) else encode(message))

    def say(self, *said: Message | str) -> list[str]:
        """Sends messages (values or hex) and gives what came back, in hex."""
        for message in said:
            self.end.receive(self.frame(message), self.now)
        return self.hear()

    def hear(self) -> list[str]:
        self._opener.feed(self.end.data_to_send(self.now))
        heard = []
        while (message := self._opener.next_message_untrusted()) is not None:
            heard.append(message.hex())
        return heard

    def wait(self, seconds: float) -> list[str]:
        self.now += seconds
        self.end.handle_deadline(self.now)
        return self.hear()


def cloud_with_peer(hello: str | None = "50022121b168ff188f000100360006") -> tuple[CloudConnection, Peer]:
    """A cloud's end past its handshake, and (unless None) past this Hello; its events so far are taken out."""
    cloud = CloudConnection(CREDENTIALS, hello_until=10.0, now=0.0, first_message_id=0x4001)
    peer = Peer(cloud)
    if hello is not None:
        peer.say(hello)
    cloud.events()
    return cloud, peer


def device_with_peer(release: str = "2.3.1", *, hello: bool = True, **changes: object) -> tuple[DeviceConnection, Peer]:
    """A device's end past its handshake, and past the server's Hello; its events so far are taken out."""
    device = DeviceConnection(
        setup=setup(release, **changes),
        device_key=device_key(),
        server_key=server_key().public_key(),
        now=0.0,
        first_token=0xF5,
    )
    device.receive(NONCE, 0.0)
    device.data_to_send(0.0)
    device.receive(seal_credentials(server_key(), device_public_der(), CREDENTIALS), 0.0)
    peer = Peer(device)
    if hello:
        peer.introduction = peer.say("50024001b168")
    device.events()
    return device, peer


def decoded(raw: str) -> Message:
    return decode_untrusted(bytes.fromhex(raw))
