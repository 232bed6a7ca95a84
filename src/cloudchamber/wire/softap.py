"""SoftAP set-up: how an app gives a Photon its Wi-Fi and its claim code (device-protocol.md 10). Both ends, pure.

The device opens an access point of its own and answers commands, over HTTP or over plain TCP:

    <command> LF <length of body> LF LF <body>        ->        LF LF <json>, and the device hangs up

The HTTP form is `GET /<command>` or `POST /<command>` with the same body and the same JSON for an answer. Passwords are
encrypted with the device's public key, which anybody in reach can ask for: it hides them from listeners, and proves
nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final

import msgspec

from cloudchamber.wire.errors import WireError

VERSION: Final = 2
DEFAULT_TCP_PORT: Final = 5609
MAX_COMMAND_LENGTH: Final = 29
# An enterprise network's two certificates and encrypted key have some 6 KB.
MAX_BODY_LENGTH: Final = 32 * 1024
CLAIM_CODE_KEY: Final = "cc"
MAX_KEY_LENGTH: Final = 2
MAX_VALUE_LENGTH: Final = 63
MAX_SSID_BYTES: Final = 32
# The field has room for a 2048-bit key; what the 1024-bit key leaves over is filler.
PUBLIC_KEY_FIELD_BYTES: Final = 294
PUBLIC_KEY_BYTES: Final = 162


class Security(IntFlag):
    """The values that apps and devices exchange; the low bits are the cipher, the high ones the kind."""

    OPEN = 0
    WEP_PSK = 0x0000_0001
    WEP_SHARED = 0x0000_8001
    WPA_TKIP = 0x0020_0002
    WPA_AES = 0x0020_0004
    WPA2_TKIP = 0x0040_0002
    WPA2_AES = 0x0040_0004
    WPA2_MIXED = 0x0040_0006
    WPA_ENTERPRISE_TKIP = 0x0220_0002
    WPA_ENTERPRISE_AES = 0x0220_0004
    WPA2_ENTERPRISE_TKIP = 0x0240_0002
    WPA2_ENTERPRISE_AES = 0x0240_0004
    WPA2_ENTERPRISE_MIXED = 0x0240_0006
    ENTERPRISE = 0x0200_0000


class Eap(IntEnum):
    TLS = 13
    PEAP = 25


class Request(msgspec.Struct, frozen=True):
    """One command; `body` is as it came, JSON or nothing."""

    command: str
    body: bytes = b""


class RequestReader:
    """The device's end of the TCP form. One connection carries one request."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._request: Request | None = None

    def receive_untrusted(self, data: bytes) -> Request | None:
        """The request, once it is whole. Raises WireError for what can never become one."""
        self._received += data
        if self._request is not None:
            return self._request
        end = self._received.find(b"\n\n")
        if end < 0:
            if len(self._received) > MAX_COMMAND_LENGTH + 12:
                raise WireError("no command and length at the beginning")
            return None
        command, newline, length = bytes(self._received[:end]).partition(b"\n")
        if not newline or not length.isdigit() or len(length) > 6 or int(length) > MAX_BODY_LENGTH:
            raise WireError("the length of the body is no number, or too large")
        if not 0 < len(command) <= MAX_COMMAND_LENGTH or not command.isascii():
            raise WireError("the command's name is empty or too long")
        body = self._received[end + 2 :]
        if len(body) < int(length):
            return None
        self._request = Request(command.decode(), bytes(body[: int(length)]))
        return self._request


def encode_request(command: str, body: Mapping[str, Any] | None = None) -> bytes:
    """The app's end of the TCP form. The length counts bytes; the vendor's client counts UTF-16 units."""
    content = b"" if body is None else encode_json(body)
    return f"{command}\n{len(content)}\n\n".encode() + content


def encode_reply(content: bytes) -> bytes:
    return b"\n\n" + content


def encode_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def parse_json_untrusted(body: bytes) -> dict[str, Any]:
    """A JSON object; nothing at all is an empty one. Raises WireError."""
    if not body:
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise WireError("the body is no JSON object")
    return value


# -- what commands carry ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credentials:
    """What `configure-ap` carries. Passwords and keys are as they came, encrypted."""

    ssid: str
    security: Security
    channel: int = 0
    password: bytes | None = None
    eap: Eap | None = None
    outer_identity: str | None = None
    inner_identity: str | None = None
    client_certificate: str | None = None
    encrypted_key: bytes | None = None
    key_envelope: bytes | None = None
    root_certificate: str | None = None


_CREDENTIAL_KEYS: Final = frozenset({"idx", "ssid", "sec", "ch", "pwd", "eap", "oi", "ii", "crt", "ek", "key", "ca"})


def credentials_untrusted(body: bytes) -> Credentials:
    """Raises WireError for an unknown key, a wrong type, or what no network can have."""
    given = parse_json_untrusted(body)
    if unknown := given.keys() - _CREDENTIAL_KEYS:
        raise WireError(f"configure-ap has no key {min(unknown)!r}")
    ssid = _text(given, "ssid")
    if not ssid or len(ssid.encode("utf-8", "surrogatepass")) > MAX_SSID_BYTES:
        raise WireError("ssid has 1 to 32 bytes")
    _whole(given, "idx")
    eap = _whole(given, "eap")
    if eap is not None and eap not in list(Eap):
        raise WireError("eap is 13 (TLS) or 25 (PEAP)")
    return Credentials(
        ssid=ssid,
        security=Security(_whole(given, "sec") or 0),
        channel=_whole(given, "ch") or 0,  # null, when the app does not know it
        password=_hex(given, "pwd"),
        eap=None if eap is None else Eap(eap),
        outer_identity=_text(given, "oi"),
        inner_identity=_text(given, "ii"),
        client_certificate=_text(given, "crt"),
        encrypted_key=_hex(given, "key"),
        key_envelope=_hex(given, "ek"),
        root_certificate=_text(given, "ca"),
    )


def setting_untrusted(body: bytes) -> tuple[str, str]:
    """Key and value of `set`; the value is cut at what the device's field holds. Raises WireError."""
    given = parse_json_untrusted(body)
    if unknown := given.keys() - {"k", "v"}:
        raise WireError(f"set has no key {min(unknown)!r}")
    key, value = _text(given, "k") or "", _text(given, "v") or ""
    if len(key) > MAX_KEY_LENGTH:
        raise WireError("the setting's name is too long")
    return key, value[:MAX_VALUE_LENGTH]


class AccessPoint(msgspec.Struct, frozen=True):
    """What `scan-ap` tells of a network. `rssi` in dBm, `rate` in kbit/s."""

    ssid: str
    security: Security
    rssi: int = -50
    channel: int = 6
    rate: int = 130_000


def encode_scan(found: list[AccessPoint]) -> bytes:
    return encode_json(
        {
            "scans": [
                {"ssid": ap.ssid, "rssi": ap.rssi, "sec": int(ap.security), "ch": ap.channel, "mdr": ap.rate}
                for ap in found
            ]
        }
    )


def scan_untrusted(body: bytes) -> list[AccessPoint]:
    """What an app reads. Raises WireError."""
    scans = parse_json_untrusted(body).get("scans")
    if not isinstance(scans, list) or not all(isinstance(scan, dict) for scan in scans):
        raise WireError("the answer to scan-ap has no list of networks")
    found = []
    for scan in scans:
        ssid = _text(scan, "ssid")
        if ssid:
            found.append(
                AccessPoint(
                    ssid,
                    Security(_whole(scan, "sec") or 0),
                    _whole(scan, "rssi") or 0,
                    _whole(scan, "ch") or 0,
                    _whole(scan, "mdr") or 0,
                )
            )
    return found


def result_untrusted(body: bytes) -> int:
    """`r`: 0 is success. Raises WireError."""
    result = _whole(parse_json_untrusted(body), "r")
    if result is None:
        raise WireError("the answer has no result")
    return result


def encode_public_key(der: bytes) -> bytes:
    assert len(der) == PUBLIC_KEY_BYTES, "a device's key has 1024 bits"
    return encode_json({"b": der.ljust(PUBLIC_KEY_FIELD_BYTES, b"\0").hex(), "r": 0})


def public_key_untrusted(body: bytes) -> bytes:
    """The DER of the device's public key. Raises WireError."""
    field = _hex(parse_json_untrusted(body), "b")
    if field is None or len(field) < PUBLIC_KEY_BYTES:
        raise WireError("the answer to public-key has no key")
    return field[:PUBLIC_KEY_BYTES]


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise WireError(f"{name} is text")
    return value


def _whole(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or abs(value) > 0xFFFF_FFFF):
        raise WireError(f"{name} is a whole number")
    return value


def _hex(given: Mapping[str, Any], name: str) -> bytes | None:
    text = _text(given, name)
    try:
        return None if text is None else bytes.fromhex(text)
    except ValueError as error:
        raise WireError(f"{name} is hex") from error
