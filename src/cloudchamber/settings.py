"""Every setting of a cloud, in one frozen object.

A setting has one name everywhere: the option `--public-url`, the variable `CLOUDCHAMBER_PUBLIC_URL`, the key
`public_url` of the TOML file. The command line wins over the environment, the environment over the file, the file over
the defaults below. Settings of a section are written with a dot in the file's table (`[compat] query_token = false`)
and with an underscore in the environment (`CLOUDCHAMBER_COMPAT_QUERY_TOKEN=false`).
"""
# ruff: noqa: RUF009 - _setting makes a dataclass field

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from math import isfinite
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints
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


Profile = Literal["vendor", "strict"]


@dataclass(frozen=True, slots=True)
class Compat:
    """What unmodified clients and firmware need although current practice forbids it. Each can be switched off; the
    profile `strict` switches off all that are not named."""

    query_token: bool = _setting(True, "Accept tokens in the query string (older scripts, iOS event streams).")
    body_token: bool = _setting(True, "Accept tokens in form bodies (older scripts).")
    password_grant: bool = _setting(True, "OAuth password grant (every client's log-in).")
    password_clients: bool = _setting(
        True, "New OAuth clients may use the password grant unless they say otherwise; off: only those that say so."
    )
    implicit_grant: bool = _setting(True, "Customer creation with a web client's id alone (simple-auth web apps).")
    unauthenticated_revoke: bool = _setting(True, "DELETE /v1/access_tokens/:token without credentials (SDK, CLI).")
    token_listing: bool = _setting(
        True, "GET /v1/access_tokens shows whole tokens, kept encrypted for it; off: only tokens' ends are shown."
    )
    claim_by_id: bool = _setting(
        True, "A user claims a connected device that is in no product by its id alone (CLI: device add)."
    )
    builtin_clients: bool = _setting(True, "The well-known public clients that CLI and SDKs log in with.")
    anonymous_registration: bool = _setting(
        True, "POST /v1/users makes accounts, where `registration` is open; off: only the command line does."
    )
    endless_tokens: bool = _setting(True, "Tokens that never expire (`expires_in=0`: scripts, two-legged servers).")
    lasting_tokens: bool = _setting(
        True, "A change of password or MFA ends other log-ins only when it asks for that; off: always."
    )
    mfa_by_token: bool = _setting(
        True, "A token alone sets up a second factor (clients send no password with it); off: the password as well."
    )
    reveals_accounts: bool = _setting(
        True, "Registration and the token list tell whether a user name exists (recorded answers)."
    )
    any_customer_password: bool = _setting(
        True, "Customers' passwords may be short and common, as products bring them; off: the rules for users."
    )
    vendor_statuses: bool = _setting(
        True, "400 for a wrong client, a missing token and a missing scope; off: 401, 401 and 403 (RFC 6749, 6750)."
    )

    @classmethod
    def of(cls, profile: Profile) -> "Compat":
        """Every switch as the profile has it."""
        return cls() if profile == "vendor" else cls(**{item.name: False for item in fields(cls)})


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
    invitations: Literal["", "by-name", "by-mail"] = _setting(
        "",
        "Who takes the place that somebody was invited to: the account of that name, or whoever shows the code that was"
        " mailed to it as well; empty: by-mail where everybody can register and not only this machine has access.",
    )
    profile: Profile = _setting(
        "vendor", "What unmodified clients need, or current practice alone (strict): sets every switch under `compat`."
    )
    rate_limits: Literal["", "on", "off"] = _setting(
        "",
        "Limits on requests and failures, per address and account, counted by each process for itself; empty: off while"
        " only this machine has access.",
    )
    trusted_proxies: str = _setting(
        "", "Addresses or networks of reverse proxies, with commas, whose X-Forwarded-For tells a client's address."
    )
    password_min_length: int = _setting(8, "The fewest characters of a user's password (64 at most).")
    common_passwords: Literal["refused", "taken"] = _setting(
        "refused", "Whether a user may have a password from the list of those that are guessed first."
    )
    query_token_before: str = _setting(
        "",
        "A date, like 2026-01-31: accounts made on it or later send no tokens in the query string, whatever"
        " compat.query_token says; empty: no such date.",
    )
    token_max_lifetime_s: int = _setting(0, "The longest life of an access token, however long was asked; 0: no cap.")
    refresh_idle_s: int = _setting(
        14 * 24 * 3600, "How long after its access token's end a refresh token can still be used."
    )
    refresh_max_age_s: int = _setting(
        365 * 24 * 3600, "How long a log-in can be refreshed at all, however often it was; 0: without end."
    )
    device_keys: Literal["trust-on-first-use", "registered"] = _setting(
        "trust-on-first-use", "Whether a known device id without a key on record may bring its key."
    )
    accept_unknown_devices: bool = _setting(True, "Ids never seen before can be imported into a product or claimed.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "What goes to standard error.")
    audit_days: int = _setting(365, "How long lines of the audit log are kept; 0: for ever.")
    access_log: bool = _setting(False, "One line for each HTTP request, without query strings.")
    workers_crypto: int = _setting(2, "Threads for RSA work of device handshakes; wherever there is one core, one.")
    workers_password: int = _setting(1, "Threads for password hashing; each takes 47 MiB while it works.")
    function_timeout_s: float = _setting(30.0, "How long a function call or variable read waits for the device.")
    signal_timeout_s: float = _setting(30.0, "How long a signal request waits for the device.")
    ping_timeout_s: float = _setting(2.0, "How long a ping waits for the device.")
    claim_code_lifetime_s: int = _setting(24 * 3600, "How long a claim code can be used.")
    refresh_grace_s: int = _setting(
        30, "How long a refresh whose answer was lost can be repeated for the same pair of tokens."
    )
    smtp: str = _setting(
        "",
        "Mail server, smtp://USER:PASSWORD@HOST:587 or smtps://...:465; empty: mail is written to the data folder.",
    )
    mail_from: str = _setting("", "Address that mail comes from; empty: cloudchamber@localhost.")
    webhook_private_targets: bool = _setting(
        False, "Webhooks may reach loopback and private addresses: for a cloud on a laptop or a closed network."
    )
    flash_timeout_s: float = _setting(90.0, "How long somebody who flashes a device waits for it to begin.")
    update_delay_s: float = _setting(5.0, "How long after its connect a device is left alone before an update.")
    update_restart_s: float = _setting(300.0, "How long a device may take to come back with firmware that it was sent.")
    max_updates: int = _setting(50, "Firmware updates of a product's devices that run at once.")
    apps: str = _setting(
        "", "Folder of known applications (tinker-6.bin: for platform 6); empty: apps in the data folder."
    )
    max_streams: int = _setting(1_000, "Event streams open at once.")
    max_devices: int = _setting(20_000, "Device connections open at once.")
    compat: Compat = _setting(None, "Compatibility switches; those not named are as the profile has them.")

    def __post_init__(self) -> None:
        if cast("Compat | None", self.compat) is None:
            object.__setattr__(self, "compat", Compat.of(self.profile))

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{(self.data / 'cloudchamber.db').absolute()}"

    @property
    def query_tokens_end_at(self) -> datetime | None:
        """`query_token_before`; midnight UTC where it says no time. Raises ValueError."""
        if not self.query_token_before:
            return None
        at = datetime.fromisoformat(self.query_token_before)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)

    @property
    def is_local(self) -> bool:
        """Does only this machine reach the API? Behind a proxy on this machine the listener is a loopback one, and the
        public URL tells that it is public."""
        host = urlsplit(self.public_url).hostname
        return self.http.is_loopback and (host is None or Address(host, 0).is_loopback)

    @property
    def apps_folder(self) -> Path:
        return Path(self.apps) if self.apps else self.data / "apps"

    @property
    def registration_is_open(self) -> bool:
        if not self.compat.anonymous_registration:
            return False
        return self.registration == "open" if self.registration else self.is_local

    @property
    def mails_invitations(self) -> bool:
        if self.invitations:
            return self.invitations == "by-mail"
        return self.registration_is_open and not self.is_local

    @property
    def limits_rates(self) -> bool:
        return self.rate_limits == "on" if self.rate_limits else not self.is_local


def load_settings(options: Mapping[str, Any], environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """Settings from the three places. `options` holds only what the command line named.

    Raises SettingsError.
    """
    config = config or (Path(environment["CLOUDCHAMBER_CONFIG"]) if environment.get("CLOUDCHAMBER_CONFIG") else None)
    table: dict[str, Any] = {}
    if config is not None:
        import tomllib  # only here: most servers have no such file

        try:
            table = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"cannot read the configuration file {config}: {error}") from error
    values = _values(Settings, table, environment, ENVIRONMENT_PREFIX, "", dict(options))
    switches = values.pop("compat")
    settings = Settings(**values)
    return _checked(replace(settings, compat=replace(settings.compat, **switches)))


def _checked(settings: Settings) -> Settings:
    """What a single value cannot show. Raises SettingsError."""
    if settings.registration == "open" and not settings.compat.anonymous_registration:
        raise SettingsError("registration = open needs compat.anonymous_registration, which the profile switches off")
    if settings.password_min_length > 64:
        raise SettingsError("password_min_length cannot be above 64: passwords of that length must be possible")
    try:
        _ = settings.query_tokens_end_at
    except ValueError as error:
        text = f"query_token_before cannot be {settings.query_token_before!r}: write a date like 2026-01-31"
        raise SettingsError(text) from error
    try:
        networks(settings.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"trusted_proxies cannot be {settings.trusted_proxies!r}: {error}") from error
    return settings


def networks(text: str) -> list[IPv4Network | IPv6Network]:
    """`127.0.0.1, 10.0.0.0/8`. Raises ValueError."""
    return [ip_network(part.strip()) for part in text.split(",") if part.strip()]


def _values(
    kind: Any, table: dict[str, Any], environment: Mapping[str, str], prefix: str, path: str, options: dict[str, Any]
) -> dict[str, Any]:
    """What was named, converted; a section's as a dictionary in it."""
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
            values[name] = _values(hint, inner, environment, f"{prefix}{name.upper()}_", f"{path}{name}.", {})
            continue
        variable = prefix + name.upper()
        if name in options:
            values[name] = _convert(hint, options[name], f"--{name.replace('_', '-')}", item)
        elif variable in environment:
            values[name] = _convert(hint, environment[variable], variable, item)
        elif name in table:
            values[name] = _convert(hint, table[name], f"{path}{name} in the configuration file", item)
    return values


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
