"""What a connection tells its owner. Values only; a question is an event that names the method that answers it.

`Stranger`, `CloudConnection` and `CloudDatagramSession` emit what stands under "cloud side", `DeviceConnection` and
`DeviceDatagramConnection` what stands under "device side"; all end with exactly one `Closed`, after which nothing
follows.
"""

from dataclasses import dataclass, field
from enum import Enum

from msgspec import Struct

from cloudchamber.wire.describe import Describe
from cloudchamber.wire.messages import Goodbye, Hello, Subscription
from cloudchamber.wire.session.memory import SessionMemory

# --- both ends -------------------------------------------------------------------------------------------------------


class CloseReason(Enum):
    """Why a connection ended. The value is the word for logs and metrics."""

    # There is one object for each; Enum's own way is a call of Python for each look-up.
    __hash__ = object.__hash__

    LOCAL = "local"
    """Our own side called `close`."""
    PEER = "peer"
    """The peer ended the stream in an orderly way."""
    TRUNCATED = "truncated"
    """The peer ended the stream inside a handshake or a frame."""
    HANDSHAKE = "handshake"
    """Ciphertext, nonce, key or signature did not fit; one word for all, as to the peer."""
    REFUSED = "refused"
    """The owner called `refuse`."""
    FRAMING = "framing"
    """A length of 0, not a multiple of 16, or larger than any message."""
    DECRYPTION = "decryption"
    """Wrong padding: corrupt, replayed, or out of step."""
    MALFORMED = "malformed"
    """Decrypted, but not a message of this protocol, or a message out of its place."""
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    SILENCE = "silence"
    """Nothing arrived for longer than a living peer can be silent (device side: its ping was not answered)."""
    GOODBYE = "goodbye"
    """The device said Goodbye and did not close by itself."""
    KEY_CHANGE = "key_change"
    """Device side: the cloud told the device to start again with a full handshake."""
    MISSING_TOKEN = "missing_token"  # noqa: S105
    """Device side: a function or variable request without its one-byte token."""
    MESSAGE_TIMEOUT = "message_timeout"
    """Device side, datagrams: a message was not acknowledged in 60 to 90 s. A full handshake follows."""
    RESET = "reset"
    """Device side, datagrams: the cloud sent a reset. The session is discarded."""


class Closed(Struct, frozen=True):
    """The last event. Send what `data_to_send` still holds, then close the stream. `detail` is for the log only."""

    reason: CloseReason
    detail: str = ""


# --- cloud side: the handshake's questions ---------------------------------------------------------------------------


class DecryptHandshake(Struct, frozen=True):
    """256 bytes to decrypt with the server key (`handshake.open_handshake`, a third of a millisecond: off the loop).
    `nonce` is the one that must be in them.

    Answer with `decrypted(plaintext or None)`.
    """

    ciphertext: bytes
    nonce: bytes


class IdentifyDevice(Struct, frozen=True):
    """Is this device known, and is this its key? The device has proven only that it knows the server's key so far.

    Answer with `admit(credentials, now)` or `refuse()`. `public_key_der` is the 162-byte SubjectPublicKeyInfo, or None
    when (very old) firmware sent its id only: then use the stored key.

    Over datagrams the key was proven before, in the handshake, and the owner of the channel knows it: `public_key_der`
    is None, the id comes from Hello, and the question is whether that key is this device's. Answer with `accept(now)`
    or `refuse(now)`; until then the device gets nothing, not even an acknowledgement.
    """

    device_id: bytes
    public_key_der: bytes | None


class Spoke(Struct, frozen=True):
    """The device that was admitted says something: go on with `into_connection`."""


# --- cloud side: the session -----------------------------------------------------------------------------------------


class Online(Struct, frozen=True):
    """The device said Hello and the server's Hello is queued. Again on a repeated Hello: subscriptions start anew."""

    hello: Hello


class Resumed(Struct, frozen=True):
    """Datagrams: the device is back in a session in which it said Hello before, and says none now. Once after
    `resume`, and again after a Goodbye. What `memory` holds is still so: the device will not repeat it."""

    memory: SessionMemory


class MemoryChanged(Struct, frozen=True):
    """Datagrams: store this in place of what was stored before, for `resume`."""

    memory: SessionMemory


class Described(Struct, frozen=True):
    """System and application part are both known. Comes again when a part arrives anew and differs; a system part that
    does not differ is None then."""

    describe: Describe


class Subscribed(Struct, frozen=True):
    subscription: Subscription


@dataclass(frozen=True, slots=True)
class EventPublished:
    """`data` is None without a payload and b"" for an empty one (devices tell them apart). `ttl_s` defaults to 60.

    `content_format` is the CoAP number (None: text; 42 octets, 60 CBOR, 65001 JSON carried as CBOR).

    `waiting` are the id and the token of a message that the device waits to have acknowledged: call `confirm_event`
    when what follows from the event will not be lost any more. A device waits 20 s.
    """

    name: str
    data: bytes | None
    ttl_s: int
    is_private: bool
    content_format: int | None = None
    waiting: tuple[int, bytes] | None = field(default=None, compare=False)


class ClaimCodePresented(Struct, frozen=True):
    """The device holds this claim code. After a claim call `confirm_claim`: until then the device repeats it."""

    code: str


class SafeMode(Struct, frozen=True):
    """The device runs without its application."""


class UpdatesEnabled(Struct, frozen=True):
    enabled: bool


class UpdatesForced(Struct, frozen=True):
    forced: bool


class Fact(Enum):
    """What a device may ask the cloud about itself by publishing an empty event."""

    NAME = "name"
    IP = "ip"
    RANDOM = "random"


class FactAsked(Struct, frozen=True):
    """The device published `spark/device/<fact>` or `particle/device/<fact>`. Answer with
    `send_event(event_name, data, ...)`: the same name that it used."""

    fact: Fact
    event_name: str


class TimeAsked(Struct, frozen=True):
    """Answer at once with `tell_time(question, unix_time_s, now)`. Holds all that the answer needs."""

    message_id: int
    token: bytes


class Vitals(Struct, frozen=True):
    """Binary diagnostics as posted by the device; `describe.parse_metrics_untrusted` reads them."""

    metrics: bytes


class SaidGoodbye(Struct, frozen=True):
    """The device is about to disconnect, and says why. Over TCP `Closed` follows within seconds. Over datagrams the
    session stays for when the device comes back; until then commands are answered with Disconnected."""

    goodbye: Goodbye


class FunctionReturned(Struct, frozen=True):
    value: int


class VariableRead(Struct, frozen=True):
    """Raw bytes; `values.decode_untrusted` reads them with the type that the describe data tell."""

    data: bytes


class DescribeRead(Struct, frozen=True):
    """One part of the description as asked for with `ask_describe`: JSON, protobuf or binary metrics."""

    data: bytes


class Acknowledged(Struct, frozen=True):
    """A ping or a signal was answered."""


class NotFound(Struct, frozen=True):
    """The device has no such function or variable: it said so (4.04), or its description does."""


class Refused(Struct, frozen=True):
    """The device answered with this CoAP code (0: it sent a reset). `why` is its word for the log, where it has one.

    Of an update: it was not begun (5.03: the device takes none now).
    """

    code: int
    why: str = ""


class Updated(Struct, frozen=True):
    """The device has the whole file, and restarts with it: the connection ends soon. Whether it runs is known when the
    device says Hello again."""


class UpdateFailed(Struct, frozen=True):
    """The device did not take the file, or finds it bad. `why` is for people."""

    why: str


class Busy(Struct, frozen=True):
    """The request was not sent: an update of this device is under way, or all one-byte tokens of this device are in
    use, or (datagrams) all message ids were used within the last minutes."""


class TimedOut(Struct, frozen=True):
    """No answer in time. The device may have acted."""


class Disconnected(Struct, frozen=True):
    """The connection ended first, or was not open. The device may have acted. `had_all`, of an update: all of the file
    had left, and the question whether the device has it; its answer may be what got lost."""

    had_all: bool = False


class TooLarge(Struct, frozen=True):
    """Larger than this device can take: the request was not sent."""


Outcome = (
    FunctionReturned
    | VariableRead
    | DescribeRead
    | Acknowledged
    | NotFound
    | Refused
    | Updated
    | UpdateFailed
    | Busy
    | TimedOut
    | Disconnected
    | TooLarge
)


class UpdateStarted(Struct, frozen=True):
    """The device takes the file, from `offset` on; the rest it still had. Once for each update, before its Answered;
    none when the device refused."""

    request: int
    offset: int


class Answered(Struct, frozen=True):
    """The end of a request: exactly one for each handle that a command returned."""

    request: int
    outcome: Outcome


CloudEvent = (
    IdentifyDevice
    | Online
    | Resumed
    | MemoryChanged
    | Described
    | Subscribed
    | EventPublished
    | ClaimCodePresented
    | SafeMode
    | UpdatesEnabled
    | UpdatesForced
    | FactAsked
    | TimeAsked
    | Vitals
    | SaidGoodbye
    | UpdateStarted
    | Answered
    | Closed
)

# --- device side -----------------------------------------------------------------------------------------------------


class Connected(Struct, frozen=True):
    """The server said Hello (datagrams: it acknowledged ours, or answered in a resumed session); what the device says
    at a connect is queued."""


class FunctionCalled(Struct, frozen=True):
    """Answer with `return_value(request, value, now)`. Only functions of the application are asked for."""

    request: int
    name: str
    argument: str


class VariableAsked(Struct, frozen=True):
    """Answer with `answer_variable(request, value, now)`. Only variables of the application are asked for."""

    request: int
    name: str


class EventReceived(Struct, frozen=True):
    """One for each subscription whose prefix fits, as a device calls every such handler."""

    name: str
    data: bytes | None
    prefix: str


class SignalChanged(Struct, frozen=True):
    on: bool


class ClaimConfirmed(Struct, frozen=True):
    """The cloud claimed the device: forget the claim code."""


class ResetAsked(Struct, frozen=True):
    """`mode` is `safe mode`, `dfu`, `reboot` or `network`."""

    mode: str


class KeysRestored(Struct, frozen=True):
    """`spark/device/key/restore...` arrived: a real device would now hold its vendor's server key again."""


class TimeTold(Struct, frozen=True):
    unix_time_s: int


class PublishAnswered(Struct, frozen=True):
    """The end of a publish or subscribe with acknowledgement; `accepted` is False on refusal or time-out."""

    request: int
    accepted: bool


class UpdateBegun(Struct, frozen=True):
    """The cloud sends a file of `size` bytes, from `offset` on."""

    size: int
    offset: int


class UpdateProgressed(Struct, frozen=True):
    """So many bytes of the file are here."""

    received: int


class UpdateTaken(Struct, frozen=True):
    """The file is here, is whole, and the cloud knows: start again with it."""

    data: bytes


class UpdateRejected(Struct, frozen=True):
    """The file is here, and is none for this device."""

    why: str


DeviceEvent = (
    Connected
    | FunctionCalled
    | VariableAsked
    | EventReceived
    | SignalChanged
    | ClaimConfirmed
    | ResetAsked
    | KeysRestored
    | TimeTold
    | PublishAnswered
    | UpdateBegun
    | UpdateProgressed
    | UpdateTaken
    | UpdateRejected
    | Closed
)
