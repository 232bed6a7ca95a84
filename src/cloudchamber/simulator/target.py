"""Where virtual devices connect to: named on the command line, or found in a local cloud's data folder."""

import json
from dataclasses import dataclass
from pathlib import Path

from cloudchamber.simulator.keys import PublicKey, server_key
from cloudchamber.wire.keys import DEFAULT_PORTS
from cloudchamber.wire.transport import Transport

LISTENERS_FILE = "listeners.json"
"""Written by a running cloud into its data folder: `{"http": "...", "tcp": "HOST:PORT", "udp": "HOST:PORT"}`."""

SERVER_KEY_FILES = {Transport.TCP: "server-tcp.pem", Transport.UDP: "server-udp.pem"}

# A listener on every address is reached on this machine by the loopback.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class NoTarget(Exception):
    """It is not known where to connect; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    server_key: PublicKey
    """RSA over TCP, P-256 over UDP."""


def find_target(
    *, data: Path, server: str | None, server_key_file: Path | None, transport: Transport = Transport.TCP
) -> Target:
    """`server` is HOST[:PORT], or None: then the address comes from the key file, or else from the folder of a cloud
    that runs on this machine. `server_key_file` None: that folder's key.

    Raises NoTarget, KeyUnusable.
    """
    path = server_key_file or data / SERVER_KEY_FILES[transport]
    if server_key_file is None and not path.exists():
        raise NoTarget(
            f"{data} is no cloud's data folder: name it with --data, or give --server and --server-key. "
            "(`cloudchamber serve` makes the folder.)"
        )
    key = server_key(path, transport)
    if server is not None:
        return Target(*parse_server(server, transport), key.key)
    if key.address is not None:
        return Target(key.address.host, key.address.port or DEFAULT_PORTS[transport], key.key)
    return Target(*_local_listener(data, transport), key.key)


def parse_server(text: str, transport: Transport = Transport.TCP) -> tuple[str, int]:
    """HOST, HOST:PORT or [IPv6]:PORT. Raises NoTarget."""
    default = DEFAULT_PORTS[transport]
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65_535:
        raise NoTarget(f"{text!r} is no address: write HOST:PORT, for example 127.0.0.1:{default}")
    return host, int(port)


def _local_listener(data: Path, transport: Transport) -> tuple[str, int]:
    path = data / LISTENERS_FILE
    try:
        host, port = parse_server(json.loads(path.read_text(encoding="utf-8"))[transport.value])
    except FileNotFoundError:
        raise NoTarget(f"no cloud runs on {data} now: start it with `cloudchamber serve`, or give --server") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise NoTarget(f"{path} cannot be read ({error!r}); give --server HOST:PORT") from error
    return _EVERYWHERE.get(host, host), port
