"""Every setting of a cloud, in one frozen object.

A setting has one name everywhere: the option `--public-url`, the variable `CLOUDCHAMBER_PUBLIC_URL`, the key
`public_url` of the TOML file. The command line wins over the environment, the environment over the file, the file over
the defaults below. Settings of a section are written with a dot in the file's table (`[compat] query_token = false`)
and with an underscore in the environment (`CLOUDCHAMBER_COMPAT_QUERY_TOKEN=false`).
"""
# ruff: noqa: RUF009 - _setting makes a dataclass field

import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

ENVIRONMENT_PREFIX = "CLOUDCHAMBER_"


class SettingsError(Exception):
    """A setting that cannot be used; the message says which, where it came from and what it may be."""


def _setting(default: Any, help_: str) -> Any:
    return field(default=default, metadata={"help": help_})


@dataclass(frozen=True, slots=True)
class Address:
    """HOST:PORT; port 0 takes a free one. IPv6 hosts stand in brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 65_535:
            raise ValueError("write HOST:PORT, for example 127.0.0.1:8080")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class Compat:
    """What unmodified clients and firmware need although current practice forbids it. Each can be switched off."""

    query_token: bool = _setting(True, "Accept tokens in the query string (older scripts, iOS event streams).")
    body_token: bool = _setting(True, "Accept tokens in form bodies (older scripts).")
    password_grant: bool = _setting(True, "OAuth password grant (every client's log-in).")
    implicit_grant: bool = _setting(True, "Customer creation with a web client's id alone (simple-auth web apps).")
    unauthenticated_revoke: bool = _setting(True, "DELETE /v1/access_tokens/:token without credentials (SDK, CLI).")
    token_listing: bool = _setting(
        True, "GET /v1/access_tokens shows whole tokens, kept encrypted for it; off: only tokens' ends are shown."
    )
    claim_by_id: bool = _setting(
        True, "A user claims a connected device that is in no product by its id alone (CLI: device add)."
    )
    builtin_clients: bool = _setting(True, "The well-known public clients that CLI and SDKs log in with.")


@dataclass(frozen=True, slots=True)
class Settings:
    """What `cloudchamber serve` takes."""

    data: Path = _setting(Path("cloudchamber-data"), "Folder of the database and the server's keys.")
    http: Address = _setting(Address("127.0.0.1", 8080), "Listener of the HTTP API.")
    tcp: Address = _setting(Address("0.0.0.0", 5683), "Listener for devices over TCP (Photon, P1, Core).")  # noqa: S104
    udp: Address = _setting(
        Address("0.0.0.0", 5684),  # noqa: S104
        "Listener for devices over UDP (Electron, Boron, Argon); firmware knows no port but 5684.",
    )
    metrics: Address = _setting(Address("127.0.0.1", 9090), "Listener of Prometheus /metrics.")
    database: str = _setting("", "Database URL, postgresql://...; empty: SQLite in the data folder.")
    public_url: str = _setting("", "URL under which clients reach the API; empty: the HTTP listener's.")
    registration: Literal["", "open", "closed"] = _setting(
        "",
        "Who makes an account by POST /v1/users; empty: open while only this machine reaches the API.",
    )
    device_keys: Literal["trust-on-first-use", "registered"] = _setting(
        "trust-on-first-use", "Whether a known device id without a key on record may bring its key."
    )
    accept_unknown_devices: bool = _setting(True, "Ids never seen before can be imported into a product or claimed.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "What goes to standard error.")
    access_log: bool = _setting(False, "One line for each HTTP request, without query strings.")
    workers_crypto: int = _setting(2, "Threads for RSA work of device handshakes.")
    workers_password: int = _setting(1, "Threads for password hashing; each takes 47 MiB while it works.")
    function_timeout_s: float = _setting(30.0, "How long a function call or variable read waits for the device.")
    signal_timeout_s: float = _setting(30.0, "How long a signal request waits for the device.")
    ping_timeout_s: float = _setting(2.0, "How long a ping waits for the device.")
    claim_code_lifetime_s: int = _setting(24 * 3600, "How long a claim code can be used.")
    refresh_grace_s: int = _setting(
        30, "How long a refresh whose answer was lost can be repeated for the same pair of tokens."
    )
    max_streams: int = _setting(1_000, "Event streams open at once.")
    max_devices: int = _setting(20_000, "Device connections open at once.")
    compat: Compat = field(default_factory=Compat, metadata={"help": "Compatibility switches."})

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{(self.data / 'cloudchamber.db').absolute()}"

    @property
    def registration_is_open(self) -> bool:
        if self.registration:
            return self.registration == "open"
        # Behind a proxy on this machine the listener is a loopback one, and the public URL tells that it is public.
        host = urlsplit(self.public_url).hostname
        return self.http.is_loopback and (host is None or Address(host, 0).is_loopback)


def load_settings(options: Mapping[str, Any], environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """Settings from the three places. `options` holds only what the command line named.

    Raises SettingsError.
    """
    config = config or (Path(environment["CLOUDCHAMBER_CONFIG"]) if environment.get("CLOUDCHAMBER_CONFIG") else None)
    table: dict[str, Any] = {}
    if config is not None:
        try:
            table = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"cannot read the configuration file {config}: {error}") from error
    loaded: Settings = _load(Settings, table, environment, ENVIRONMENT_PREFIX, "", dict(options))
    return loaded


def _load(
    kind: Any, table: dict[str, Any], environment: Mapping[str, str], prefix: str, path: str, options: dict[str, Any]
) -> Any:
    hints = get_type_hints(kind)
    known = {item.name: item for item in fields(kind)}
    for key in table:
        if key not in known:
            raise SettingsError(f"the configuration file has an unknown key {path}{key}; known: {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, item in known.items():
        hint = hints[name]
        if is_dataclass(hint) and hint is not Address:
            inner = table.get(name, {})
            if not isinstance(inner, dict):
                raise SettingsError(f"{path}{name} is a table in the configuration file")
            values[name] = _load(hint, inner, environment, f"{prefix}{name.upper()}_", f"{path}{name}.", {})
            continue
        variable = prefix + name.upper()
        if name in options:
            values[name] = _convert(hint, options[name], f"--{name.replace('_', '-')}", item)
        elif variable in environment:
            values[name] = _convert(hint, environment[variable], variable, item)
        elif name in table:
            values[name] = _convert(hint, table[name], f"{path}{name} in the configuration file", item)
    return kind(**values)


def _convert(hint: Any, value: Any, where: str, item: "Field[Any]") -> Any:
    try:
        return _converted(hint, value)
    except ValueError as error:
        raise SettingsError(f"{where} cannot be {value!r}: {error}. ({item.metadata['help']})") from error


def _converted(hint: Any, value: Any) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError("it is one of " + ", ".join(repr(choice) for choice in get_args(hint)))
        return value
    if hint is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in {"1", "true", "yes", "on"}:
            return True
        if str(value).lower() in {"0", "false", "no", "off"}:
            return False
        raise ValueError("it is true or false")
    if hint is Address:
        return value if isinstance(value, Address) else Address.parse(str(value))
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    if hint is int:
        return _whole(value)
    if hint is float:
        return _number(value)
    if hint in {str, Path}:
        if not isinstance(value, str):
            raise ValueError("it is text, in quotation marks")
        return value
    raise AssertionError(f"no conversion for settings of type {hint}")


def _whole(value: Any) -> int:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        number = int(value)
        if number < 0:
            raise ValueError("it cannot be negative")
        return number
    raise ValueError("it is a whole number")


def _number(value: Any) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        number = float(value)
        if not isfinite(number) or number < 0:
            raise ValueError("it is a number that is not negative")
        return number
    raise ValueError("it is a number")
