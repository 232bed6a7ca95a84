"""What the cloud must still know of a session when the device comes back to it without a word.

A device keeps a datagram session over sleep and reset. It says Hello again only when something changed, and describes
itself and subscribes again only as far as that changed: what the cloud acknowledged once, it must hold as long as the
session's keys. This is that state as one value, and as bytes for a store.
"""

import json
from typing import Any

import msgspec

from cloudchamber.wire.describe import DIGEST_SIZE, Known, application
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.messages import Hello, Subscription, shared
from cloudchamber.wire.values import VariableType

_VERSION = 2


class SessionMemory(msgspec.Struct, frozen=True):
    """`hello` names the device (12 bytes). `known` is None until both parts of the description were told.

    `next_message_id`: the first id that no message of the session before can have used, some hundreds ahead of those
    that it did use, so that the memory need not be stored for each.
    """

    hello: Hello
    known: Known | None
    subscriptions: tuple[Subscription, ...]
    next_message_id: int

    def to_bytes(self) -> bytes:
        """JSON, UTF-8. Nothing in it is secret."""
        known = self.known
        return json.dumps(
            {
                "version": _VERSION,
                "hello": _hello_row(self.hello),
                "describe": None if known is None else _describe_row(known),
                "subscriptions": [_subscription_row(subscription) for subscription in self.subscriptions],
                "next_message_id": self.next_message_id,
            },
            separators=(",", ":"),
        ).encode()

    @staticmethod
    def from_bytes_untrusted(data: bytes) -> "SessionMemory":
        """Raises WireError for anything that `to_bytes` did not write: then the device must start anew."""
        try:
            found = json.loads(data)
            if found["version"] != _VERSION:
                raise WireError("session memory of another version")
            memory = SessionMemory(
                _hello(found["hello"]),
                None if found["describe"] is None else _known(found["describe"]),
                tuple(_subscription(*row) for row in _list(found["subscriptions"])),
                _int(found["next_message_id"], 0xFFFF),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise WireError("session memory cannot be read") from None
        return memory


def _hello_row(hello: Hello) -> list[Any]:
    assert hello.device_id is not None
    facts = (hello.product_id, hello.product_version, hello.flags, hello.platform_id)
    sizes = (hello.system_version, hello.max_message_size, hello.max_binary_size, hello.ota_chunk_size)
    return [*facts, hello.device_id.hex(), *sizes]


def _subscription_row(said: Subscription) -> list[Any]:
    return [said.prefix, said.own_devices, said.device_id, said.encoding]


def _hello(row: Any) -> Hello:
    product_id, product_version, flags, platform_id, device_id, *tail = _list(row)
    if len(tail) != 4:
        raise ValueError
    raw_id = bytes.fromhex(device_id)
    if len(raw_id) != 12:
        raise ValueError
    facts = [_int(value, 0xFFFF) for value in (product_id, product_version, flags, platform_id)]
    sizes = [None if value is None else _int(value, 0xFFFFFFFF) for value in tail]
    return Hello(facts[0], facts[1], facts[2], facts[3], raw_id, *sizes)


def _describe_row(known: Known) -> list[Any]:
    return [known.application.functions, dict(known.application.variables), known.system_digest.hex()]


def _known(row: Any) -> Known:
    functions, variables, digest = _list(row)
    kinds = {name: VariableType(_int(number, 0xFF)) for name, number in variables.items()}
    system_digest = bytes.fromhex(digest)
    if len(system_digest) != DIGEST_SIZE:
        raise ValueError
    return Known(application(tuple(_text(name) for name in _list(functions)), kinds), system_digest)


def _subscription(prefix: Any, own_devices: Any, device_id: Any, encoding: Any) -> Subscription:
    if not isinstance(own_devices, bool):
        raise TypeError
    return shared(
        Subscription(
            _text(prefix),
            own_devices,
            None if device_id is None else _text(device_id),
            None if encoding is None else _text(encoding),
        )
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _int(value: Any, limit: int) -> int:
    if type(value) is not int or not 0 <= value <= limit:
        raise ValueError
    return value
