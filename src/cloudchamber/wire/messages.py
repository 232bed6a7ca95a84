"""The device dialect: each message of the session, built and read.

Devices up to 5.x read requests **by fixed offset**, so builders for server-to-device requests keep to one-byte tokens,
a one-letter first path and exactly the options shown above each of them. Readers of device messages are tolerant.
`T` is a token byte, `id` the message id.
"""

from functools import lru_cache
from typing import Final

from msgspec import structs

from cloudchamber.wire.coap import Code, Message, Option, Type, encode, uint
from cloudchamber.wire.describe import Part
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.structs import Value

DEFAULT_TTL_S = 60
MAX_TTL_S = 0xFFFFFF

CLAIM_CODE_EVENT = "spark/device/claim/code"
CLAIM_PREFIX = "spark/device/claim/"
CLAIM_CONFIRMED_EVENT = "spark/device/claim/success"
SAFE_MODE_EVENT = "spark/device/safemode"
LAST_RESET_EVENT = "spark/device/last_reset"
RESET_EVENT = "spark/device/reset"
UPDATES_ENABLED_EVENT = "particle/device/updates/enabled"
UPDATES_FORCED_EVENT = "particle/device/updates/forced"
KEY_RESTORE_PREFIX = "spark/device/key/restore"
MAX_BINARY_EVENT = "spark/hardware/max_binary"
OTA_CHUNK_SIZE_EVENT = "spark/hardware/ota_chunk_size"

# --- Hello -----------------------------------------------------------------------------------------------------------


class HelloFlag:
    OTA_SUCCESSFUL: Final = 0x01
    DIAGNOSTICS: Final = 0x02
    IMMEDIATE_UPDATES: Final = 0x04
    GOODBYE: Final = 0x10
    DEVICE_INITIATED_DESCRIBE: Final = 0x20
    COMPRESSED_OTA: Final = 0x40
    OTA_V3: Final = 0x80


class Hello(Value, frozen=True):
    """The device's first message. Sizes in bytes; what a Device OS of that age does not tell is None.

    `platform_id` is 0 for the Core, which sends none. `device_id` is told over datagrams only. `system_version` is the
    module version of the system part (6200 for 6.2.0).
    """

    product_id: int
    product_version: int
    flags: int
    platform_id: int = 0
    device_id: bytes | None = None
    system_version: int | None = None
    max_message_size: int | None = None
    max_binary_size: int | None = None
    ota_chunk_size: int | None = None

    @property
    def describes_itself(self) -> bool:
        return bool(self.flags & HelloFlag.DEVICE_INITIATED_DESCRIBE)

    @property
    def steady(self) -> "Hello":
        """Without what is news for once, and no state: that an update succeeded."""
        news = self.flags & HelloFlag.OTA_SUCCESSFUL
        return structs.replace(self, flags=self.flags & ~HelloFlag.OTA_SUCCESSFUL) if news else self


# Payload, big-endian. 0: product id u16, 2: product version u16, 4: flags u16, [6: platform id u16],
# [8: length of the device id u16 (from 3.0: reserved byte 00, then one byte of length), then the device id],
# [system version u16] [max message size u16] [max binary size u32] [OTA chunk size u16]. Unknown bytes may follow.
_HELLO_CORE = 6
_HELLO_PLATFORM = 8
_HELLO_TAIL = 10
_HELLO_TAIL_SIZES = (2, 2, 4, 2)


def read_hello_untrusted(message: Message) -> Hello:
    data = message.payload or b""
    if len(data) < _HELLO_CORE:
        raise WireError("Hello too short")
    product_id, product_version, flags = (int.from_bytes(data[at : at + 2], "big") for at in (0, 2, 4))
    platform_id = int.from_bytes(data[_HELLO_CORE:_HELLO_PLATFORM], "big") if len(data) >= _HELLO_PLATFORM else 0
    device_id = None
    tail: list[int | None] = [None, None, None, None]
    if len(data) >= _HELLO_TAIL:
        at = _HELLO_TAIL + data[_HELLO_TAIL - 1]
        if at > len(data):
            raise WireError("Hello: device id cut off")
        device_id = data[_HELLO_TAIL:at] or None
        if device_id is not None and len(device_id) != 12:
            raise WireError("Hello: device id of other than 12 bytes")
        for field, size in enumerate(_HELLO_TAIL_SIZES):
            if at + size > len(data):
                break
            tail[field] = int.from_bytes(data[at : at + size], "big")
            at += size
    return Hello(product_id, product_version, flags, platform_id, device_id, *tail)


def device_hello(message_id: int, hello: Hello, confirmable: bool) -> Message:
    data = b"".join(value.to_bytes(2, "big") for value in (hello.product_id, hello.product_version, hello.flags))
    if hello.platform_id:
        data += hello.platform_id.to_bytes(2, "big")
        if hello.device_id is not None or hello.system_version is not None:
            device_id = hello.device_id or b""
            data += len(device_id).to_bytes(2, "big") + device_id
        if hello.system_version is not None:
            tail = (hello.system_version, hello.max_message_size, hello.max_binary_size, hello.ota_chunk_size)
            data += b"".join(
                (value or 0).to_bytes(size, "big") for value, size in zip(tail, _HELLO_TAIL_SIZES, strict=True)
            )
    kind = Type.CON if confirmable else Type.NON
    return Message(kind, Code.POST, message_id, b"", ((Option.URI_PATH, b"h"),), data)


def server_hello(message_id: int) -> Message:
    """`50 02 id b1 68`: over TCP the device waits 4 s for it."""
    return Message(Type.NON, Code.POST, message_id, b"", ((Option.URI_PATH, b"h"),))


# --- requests of the cloud -------------------------------------------------------------------------------------------


def function_call(message_id: int, token: int, name: bytes, argument: bytes) -> Message:
    """`41 02 id T b1 66 0L name 4A argument`. The Uri-Query stands there even when empty: without it the device reads
    the memory behind the message as the argument."""
    options = ((Option.URI_PATH, b"f"), (Option.URI_PATH, name), (Option.URI_QUERY, argument))
    return Message(Type.CON, Code.POST, message_id, bytes((token,)), options)


def variable_request(message_id: int, token: int, name: bytes) -> Message:
    """`41 01 id T b1 76 0L name`."""
    return Message(Type.CON, Code.GET, message_id, bytes((token,)), ((Option.URI_PATH, b"v"), (Option.URI_PATH, name)))


def variable_request_bytes(message_id: int, token: int, name: bytes) -> bytes:
    """The same, encoded: what is asked most."""
    return bytes((0x41, Code.GET, message_id >> 8, message_id & 0xFF, token)) + _variable_options(name)


@lru_cache(1024)
def _variable_options(name: bytes) -> bytes:
    return encode(variable_request(0, 0, name))[5:]


def signal(message_id: int, token: int, on: bool) -> Message:
    """`41 03 id T b1 73 41 01|00`."""
    options = ((Option.URI_PATH, b"s"), (Option.URI_QUERY, b"\x01" if on else b"\x00"))
    return Message(Type.CON, Code.PUT, message_id, bytes((token,)), options)


def key_change(message_id: int, token: int) -> Message:
    """`41 03 id T b1 6b 41 01`: the device discards its session and comes back with a full handshake."""
    options = ((Option.URI_PATH, b"k"), (Option.URI_QUERY, b"\x01"))
    return Message(Type.CON, Code.PUT, message_id, bytes((token,)), options)


def describe_request(message_id: int, token: int, part: Part, block: int = 0, size_exponent: int = 0) -> Message:
    """`41 01 id T b1 64 41 flag` [+ Block2]: releases from 3.3 on demand the flag byte, older ones take it."""
    options: tuple[tuple[int, bytes], ...] = ((Option.URI_PATH, b"d"), (Option.URI_QUERY, bytes((part,))))
    if block:
        options += ((Option.BLOCK2, uint(block << 4 | size_exponent)),)
    return Message(Type.CON, Code.GET, message_id, bytes((token,)), options)


def time_answer(question_id: int, token: bytes, unix_time_s: int) -> Message:
    """`61 45 id T ff u32`, exactly: the device reads bytes 6 to 9 and does not look at the rest."""
    return Message(Type.ACK, Code.CONTENT, question_id, token, (), (unix_time_s & 0xFFFFFFFF).to_bytes(4, "big"))


def ping(message_id: int) -> Message:
    return Message(Type.CON, Code.EMPTY, message_id)


# --- events ----------------------------------------------------------------------------------------------------------


def cloud_event(
    message_id: int, name: str, data: bytes | None, ttl_s: int, is_private: bool, confirmable: bool
) -> Message:
    """`50 02 id b1 e|E name [Max-Age] [ff data]` and no other option: up to 5.x one more loses the data.

    One option per segment, as every Device OS was seen to take it; a name with an empty segment goes as one option,
    since an empty option closes the connection. Max-Age only when it is not 60.
    """
    raw = name.encode()
    segments = raw.split(b"/")
    if not all(segments):
        segments = [raw]
    options = [(Option.URI_PATH, b"E" if is_private else b"e"), *((Option.URI_PATH, part) for part in segments)]
    if ttl_s != DEFAULT_TTL_S:
        options.append((Option.MAX_AGE, uint(min(ttl_s, MAX_TTL_S))))
    return Message(Type.CON if confirmable else Type.NON, Code.POST, message_id, b"", tuple(options), data)


def device_event(
    message_id: int,
    name: str,
    data: bytes | None,
    ttl_s: int = DEFAULT_TTL_S,
    is_private: bool = True,
    confirmable: bool = False,
    content_format: int | None = None,
) -> Message:
    """The whole name in one option, slashes inside. Max-Age has three bytes, as devices up to 5.x write it."""
    options: list[tuple[int, bytes]] = [
        (Option.URI_PATH, b"E" if is_private else b"e"),
        (Option.URI_PATH, name.encode()),
    ]
    if content_format is not None:
        options.append((Option.CONTENT_FORMAT, uint(content_format)))
    if ttl_s != DEFAULT_TTL_S:
        width = 3 if content_format is None else (ttl_s.bit_length() + 7) // 8
        options.append((Option.MAX_AGE, ttl_s.to_bytes(width, "big")))
    return Message(Type.CON if confirmable else Type.NON, Code.POST, message_id, b"", tuple(options), data)


class PublishedEvent(Value, frozen=True):
    name: str
    data: bytes | None
    ttl_s: int
    is_private: bool
    content_format: int | None


# The largest that any Device OS publishes (64 and 1,024 from 3.0 on); what is larger did not come from one.
MAX_EVENT_NAME = 64
MAX_EVENT_DATA = 1024


def read_event_untrusted(message: Message) -> PublishedEvent:
    """An event of a device: name in one or several options, joined with slashes."""
    scope, _, raw_name = message.path().partition(b"/")
    if not raw_name or len(raw_name) > MAX_EVENT_NAME:
        raise WireError("event name empty or too long")
    if len(message.payload or b"") > MAX_EVENT_DATA:
        raise WireError("event data too long")
    name = _text_untrusted(raw_name)
    max_age = message.option(Option.MAX_AGE)
    content_format = message.option(Option.CONTENT_FORMAT)
    return PublishedEvent(
        name,
        message.payload,
        DEFAULT_TTL_S if max_age is None else _uint_untrusted(max_age),
        scope == b"E",
        None if content_format is None else _uint_untrusted(content_format) or None,
    )


# --- subscriptions ---------------------------------------------------------------------------------------------------


class Subscription(Value, frozen=True):
    """Whose events a device wants, of those that begin with `prefix` (UTF-8 text, may be empty).

    `own_devices`: those of its owner. `device_id`: those of one device (24 lower-case hex digits). `encoding`: None for
    text, `b` for binary, `c` for CBOR (6.x).
    """

    prefix: str
    own_devices: bool = True
    device_id: str | None = None
    encoding: str | None = None

    def matches(self, name: str) -> bool:
        """By name only: whose events they are is the server's matter."""
        return name.startswith(self.prefix)


@lru_cache(1024)
def shared(subscription: Subscription) -> Subscription:
    """An equal one that is there already: devices of one firmware subscribe to the same."""
    return subscription


MAX_PREFIX = 64
_ENCODINGS = {b"b": "b", b"c": "c"}


def read_subscription_untrusted(message: Message, always_own: bool) -> Subscription:
    """`always_own`: Device OS 6.2 and later send no `u`, and always mean their owner's devices.

    The firehose (all devices, no filter) is refused.
    """
    _, _, raw_prefix = message.path().partition(b"/")
    if len(raw_prefix) > MAX_PREFIX:
        raise WireError("subscription prefix too long")
    queries = [value for number, value in message.options if number == Option.URI_QUERY]
    own_devices = always_own or b"u" in queries
    device_id = _device_id_untrusted(message.payload) if message.payload else None
    if not (raw_prefix or own_devices or device_id):
        raise WireError("subscription to everything of everybody")
    encoding = next((_ENCODINGS[query] for query in queries if query in _ENCODINGS), None)
    return shared(Subscription(_text_untrusted(raw_prefix), own_devices, device_id, encoding))


def subscribe(message_id: int, subscription: Subscription, confirmable: bool, says_own: bool = True) -> Message:
    options: list[tuple[int, bytes]] = [(Option.URI_PATH, b"e")]
    if subscription.prefix:
        options.append((Option.URI_PATH, subscription.prefix.encode()))
    if says_own and subscription.own_devices and not subscription.device_id:
        options.append((Option.URI_QUERY, b"u"))
    if subscription.encoding:
        options.append((Option.URI_QUERY, subscription.encoding.encode()))
    payload = subscription.device_id.encode() if subscription.device_id else None
    return Message(Type.CON if confirmable else Type.NON, Code.GET, message_id, b"", tuple(options), payload)


# --- Goodbye ---------------------------------------------------------------------------------------------------------


class Goodbye(Value, frozen=True):
    """Why the device disconnects (Device OS 2.0 and later). `sleep_s` in seconds; what it does not tell is None.

    Cloud reasons: 1 error, 2 user, 3 network disconnect, 4 listening, 5 reset, 6 sleep, 7 unknown, 8 server moved.
    """

    cloud_reason: int | None = None
    reset_reason: int | None = None
    sleep_s: int | None = None
    network_reason: int | None = None


# Varint of bits 1 cloud, 2 reset, 4 sleep, 8 network; then one varint for each bit that is set, in that order.
def read_goodbye_untrusted(message: Message) -> Goodbye:
    data = message.payload or b""
    if not data:
        return Goodbye()
    present, position = _varint_untrusted(data, 0)
    values: list[int | None] = []
    for bit in (1, 2, 4, 8):
        if present & bit:
            value, position = _varint_untrusted(data, position)
            values.append(value)
        else:
            values.append(None)
    return Goodbye(*values)


def goodbye(message_id: int, said: Goodbye, confirmable: bool) -> Message:
    values = (said.cloud_reason, said.reset_reason, said.sleep_s, said.network_reason)
    present = sum(1 << at for at, value in enumerate(values) if value is not None)
    data = _varint(present) + b"".join(_varint(value) for value in values if value is not None)
    options: tuple[tuple[int, bytes], ...] = ((Option.URI_PATH, b"x"),)
    if not confirmable:
        options += ((Option.NO_RESPONSE, b""),)
    return Message(Type.CON if confirmable else Type.NON, Code.POST, message_id, b"", options, data)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint_untrusted(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise WireError("Goodbye: bad varint")


# --- blocks (RFC 7959) -----------------------------------------------------------------------------------------------


class Block(Value, frozen=True):
    number: int
    more: bool
    size_exponent: int
    """SZX: 6 is 1,024 bytes, 5 is 512."""


def read_block_untrusted(value: bytes) -> Block:
    raw = _uint_untrusted(value)
    return Block(raw >> 4, bool(raw & 8), raw & 7)


def block_option(block: Block) -> bytes:
    return uint(block.number << 4 | block.more << 3 | block.size_exponent)


# --- small readers ---------------------------------------------------------------------------------------------------


def _uint_untrusted(value: bytes) -> int:
    if len(value) > 4:
        raise WireError("option number too long")
    return int.from_bytes(value, "big")


def _text_untrusted(raw: bytes) -> str:
    # No database and no log takes a NUL, and no firmware sends one in a name.
    if b"\0" in raw:
        raise WireError("NUL in text")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise WireError("text is not UTF-8") from None


_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


def _device_id_untrusted(raw: bytes) -> str:
    if len(raw) != 24 or not _HEX_DIGITS.issuperset(raw):
        raise WireError("device id is not 24 hex digits")
    return raw.decode().lower()
