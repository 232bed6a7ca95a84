"""Both ends of a TCP connection (signatures first; bodies follow)."""

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from cloudchamber.wire.describe import Part
from cloudchamber.wire.events import CloudEvent, DeviceEvent, TimeAsked
from cloudchamber.wire.messages import Goodbye, Subscription
from cloudchamber.wire.session.profile import DeviceSetup
from cloudchamber.wire.values import Value


class CloudConnection:
    """The server's end. `now` is always monotonic, in float seconds."""

    def __init__(self, *, nonce: bytes, now: float, first_message_id: int = 0) -> None:
        """`nonce`: 40 random bytes, sent at once."""
        raise NotImplementedError

    @property
    def is_online(self) -> bool:
        """Between `Online` and `Closed`: commands reach the device."""
        raise NotImplementedError

    @property
    def is_closed(self) -> bool: raise NotImplementedError

    def receive(self, data: bytes, now: float) -> None: raise NotImplementedError
    def receive_eof(self, now: float) -> None: raise NotImplementedError
    def events(self) -> list[CloudEvent]: raise NotImplementedError
    def data_to_send(self, now: float) -> bytes: raise NotImplementedError
    def next_deadline(self) -> float | None: raise NotImplementedError
    def handle_deadline(self, now: float) -> None: raise NotImplementedError

    def handshake_decrypted(self, plaintext: bytes | None, now: float) -> None: raise NotImplementedError
    def admit(self, reply: bytes, credentials: bytes, now: float) -> None: raise NotImplementedError
    def refuse(self, now: float) -> None: raise NotImplementedError
    def tell_time(self, question: TimeAsked, unix_time_s: int, now: float) -> None: raise NotImplementedError

    def call_function(self, name: str, argument: str, now: float, timeout_s: float) -> int: raise NotImplementedError
    def read_variable(self, name: str, now: float, timeout_s: float) -> int: raise NotImplementedError
    def ping(self, now: float, timeout_s: float) -> int: raise NotImplementedError
    def signal(self, on: bool, now: float, timeout_s: float) -> int: raise NotImplementedError
    def ask_describe(self, part: Part, now: float, timeout_s: float) -> int: raise NotImplementedError

    def send_event(self, name: str, data: bytes | None, ttl_s: int, is_private: bool, now: float) -> bool:
        """True when queued: a subscription of the device matches by name, and the message fits. One copy."""
        raise NotImplementedError

    def send_system_event(self, name: str, data: bytes | None, now: float) -> bool:
        """Private, and without looking at subscriptions: firmware handles `spark/` and `particle/` from the start."""
        raise NotImplementedError

    def confirm_claim(self, now: float) -> None:
        """The device forgets its claim code."""
        raise NotImplementedError

    def close(self, now: float) -> None: raise NotImplementedError


class DeviceConnection:
    """The device's end."""

    def __init__(
        self, *, setup: DeviceSetup, device_key: RSAPrivateKey, server_key: RSAPublicKey, now: float, first_token: int = 0
    ) -> None:
        raise NotImplementedError

    @property
    def is_connected(self) -> bool: raise NotImplementedError
    @property
    def is_closed(self) -> bool: raise NotImplementedError

    def receive(self, data: bytes, now: float) -> None: raise NotImplementedError
    def receive_eof(self, now: float) -> None: raise NotImplementedError
    def events(self) -> list[DeviceEvent]: raise NotImplementedError
    def data_to_send(self, now: float) -> bytes: raise NotImplementedError
    def next_deadline(self) -> float | None: raise NotImplementedError
    def handle_deadline(self, now: float) -> None: raise NotImplementedError

    def return_value(self, request: int, value: int, now: float) -> None: raise NotImplementedError
    def answer_variable(self, request: int, value: Value | None, now: float) -> None: raise NotImplementedError

    def publish(
        self, name: str, data: bytes | None, now: float, *, is_private: bool = True, ttl_s: int = 60, with_ack: bool = False
    ) -> int:
        """A handle; with `with_ack` it is answered by one PublishAnswered."""
        raise NotImplementedError

    def subscribe(self, subscription: Subscription, now: float) -> int: raise NotImplementedError
    def ask_time(self, now: float) -> None: raise NotImplementedError
    def post_metrics(self, now: float) -> None: raise NotImplementedError
    def goodbye(self, reason: Goodbye, now: float) -> None: raise NotImplementedError
    def close(self, now: float) -> None: raise NotImplementedError
