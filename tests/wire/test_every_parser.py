"""Every function of `wire/` that reads what a peer or a store gives: whatever that is, only WireError comes out.

The functions are found by their name's ending, and their arguments by their annotations, so that a new one is among
them without a word here. It fails when one takes something that is not described yet: then describe it in `GIVEN`.
"""

import contextlib
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cloudchamber.wire
from cloudchamber.wire import coap
from cloudchamber.wire.coap import Message
from cloudchamber.wire.dtls.raw_keys import spki_of
from cloudchamber.wire.dtls.state import SessionState
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.values import VariableType
from tests.captures import load
from tests.wire.dtls.net import Pair, key
from tests.wire.link import device_key, server_key
from tests.wire.udp.net import cloud_with_wire

TOKENS = st.binary(max_size=8)
OPTIONS = st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=20)), max_size=6)
MESSAGES = st.builds(
    lambda kind, code, id_, token, options, payload: Message(kind, code, id_, token, tuple(sorted(options)), payload),
    st.integers(0, 3), st.integers(0, 255), st.integers(0, 0xFFFF), TOKENS, OPTIONS,
    st.none() | st.binary(max_size=100),
)  # fmt: skip


@cache
def samples() -> list[bytes]:
    """Good input of many kinds: datagrams, handshake messages, states, keys, recorded messages."""
    pair = Pair()
    session = pair.connect()
    found = [*pair.to_cloud, *pair.to_device]
    found += [datagram[13:] for datagram in found if len(datagram) > 25]
    found += [datagram[25:] for datagram in found if len(datagram) > 40]
    found += [session.state().to_bytes(), spki_of(key("device").public_key())]
    found += [cloud_with_wire()[0].memory().to_bytes(), b'{"f":["brew"],"v":{"x":2},"p":6,"m":[]}', b'{"a":[]}']
    for name in ("frames.json", "handshakes.json", "messages.json"):
        found += _hexadecimal(load(name))
    return found


def _hexadecimal(recorded: Any) -> Iterator[bytes]:
    if isinstance(recorded, str):
        with contextlib.suppress(ValueError):
            yield bytes.fromhex(recorded)
    elif isinstance(recorded, dict | list):
        for inner in recorded.values() if isinstance(recorded, dict) else recorded:
            yield from _hexadecimal(inner)


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A sample with a few bytes changed, lost or added."""
    data = bytearray(draw(st.sampled_from(samples())))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at : at + 1] = bytes((draw(st.integers(0, 255)),))
            case 1:
                del data[at:]
            case 2:
                del data[at : at + draw(st.integers(1, 8))]
            case _:
                data[at:at] = draw(st.binary(max_size=20))
    return bytes(data)


BYTES = st.binary(max_size=300) | changed()
GIVEN: dict[Any, st.SearchStrategy[Any]] = {
    bytes: BYTES,
    bool: st.booleans(),
    int: st.integers(0, 400),
    Message: MESSAGES | BYTES.map(lambda data: _message(data)),
    Transport: st.sampled_from(Transport),
    Transport | None: st.none() | st.sampled_from(Transport),
    VariableType: st.sampled_from(VariableType),
    EllipticCurvePublicKey: st.builds(lambda: key("device").public_key()),
    RSAPrivateKey: st.builds(device_key),
    RSAPublicKey: st.builds(lambda: server_key().public_key()),
}

OURS = {("verify_hash_untrusted", "digest"): st.binary(min_size=32, max_size=32)}
"""Arguments that no peer has a hand in."""


def _message(data: bytes) -> Message:
    try:
        return coap.decode_untrusted(data)
    except WireError:
        return Message(0, 1, 1)


def _found() -> Iterator[tuple[str, Callable[..., Any]]]:
    for info in pkgutil.walk_packages(cloudchamber.wire.__path__, "cloudchamber.wire."):
        module = importlib.import_module(info.name)
        where = info.name.removeprefix("cloudchamber.wire.")
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) != info.name:
                continue
            if inspect.isfunction(value) and _reads(name):
                yield f"{where}.{name}", value
            elif inspect.isclass(value):
                for inner, method in vars(value).items():
                    # Methods of machines are fed by what drives these: they are not parsers by themselves.
                    if isinstance(method, classmethod | staticmethod) and _reads(inner):
                        yield f"{where}.{name}.{inner}", getattr(value, inner)


def _reads(name: str) -> bool:
    return name.endswith("_untrusted") and not name.startswith("_")


PARSERS = dict(_found())


def test_all_are_found() -> None:
    assert len(PARSERS) > 40
    for name in ("coap.decode_untrusted", "dtls.records.read_record_untrusted", "session.memory.SessionMemory"):
        assert any(found.startswith(name) for found in PARSERS)
    assert PARSERS["dtls.state.SessionState.from_bytes_untrusted"] == SessionState.from_bytes_untrusted


def _arguments(parser: Callable[..., Any]) -> dict[str, st.SearchStrategy[Any]]:
    kinds = typing.get_type_hints(parser)
    kinds.pop("return", None)
    ours = {name: strategy for (function, name), strategy in OURS.items() if function == parser.__name__}
    return {name: ours[name] if name in ours else GIVEN[kind] for name, kind in kinds.items()}


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_only_wire_error_comes_out(name: str, data: st.DataObject) -> None:
    parser = PARSERS[name]
    arguments = {argument: data.draw(strategy, argument) for argument, strategy in _arguments(parser).items()}
    try:
        parser(**arguments)
    except WireError:
        return
