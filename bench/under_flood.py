"""What a flood of log-ins does to everybody else.

64 connections try wrong passwords as fast as they are answered, each of them an argon2 hash of 47 MiB and some 23 ms
for the server, while others ask for what costs it a hundred microseconds.
"""

import base64
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from bench import tcp
from bench.events import hooks_reach_this_machine
from bench.load import LoadFailed, cpu_time
from bench.paced import Order, Paced, Tally, quantiles_ms
from bench.report import OURS, Row, Section
from bench.run import Run
from bench.scene import Scene, bearer, scene, with_devices
from bench.tcp_devices import TcpDevices
from bench.tcp_events import TcpPublishers
from bench.udp_devices import FIRST_ID, FUNCTION, PAUSE_S, VARIABLE, Devices
from bench.udp_devices import Order as DeviceOrder
from bench.udp_devices import Tally as DeviceTally

NAMES: Final = ("under-flood",)

CALM: Final = "calm"
CALM_LIMITED: Final = "calm, limits on"
FLOOD: Final = "log-ins flooded"
LIMITED: Final = "log-ins flooded, limits on"

_FLOODERS: Final = 64
_VICTIM: Final = "victim@example.com"
_LISTENER: Final = "listener@example.com"
_PASSWORD: Final = "the listener's own password"
_ITSELF: Final = {"grant_type": "client_credentials"}
_LISTED: Final = 25
_ELECTRON: Final = 1
_PHOTON: Final = 100_000
"""Numbers of devices: those over UDP count from 1, each handshake one further. Behind the Photon come those that shake
hands alone."""
_HANDSHAKE_S: Final = 0.02
"""For one that is calm, at the most: how many fit into a slice."""
_CONNECTIONS: Final = 4
_PAUSE_S: Final = 0.01
_LIMITED_PAUSE_S: Final = 0.03
"""An address has a hundred tokens within five minutes."""
_SETTLE_S: Final = 0.3
_IDLE_SHARE: Final = 0.03
_MAX_WAITS: Final = 100


@dataclass(frozen=True, slots=True)
class _Work:
    """`request` is empty for what devices do by themselves, which is `of_devices` then."""

    what: str
    request: bytes = b""
    stream: bytes = b""
    hook_port: int = 0
    of_devices: Callable[["_Place", float], dict[str, float]] | None = None

    @property
    def connections(self) -> int:
        return 1 if self.stream or self.hook_port else _CONNECTIONS


@dataclass(frozen=True, slots=True)
class _Place:
    here: Scene
    works: list[_Work]
    flood: bytes
    publishers: tuple[Devices, Devices]
    """A Photon and an Electron that are online."""
    photons: TcpDevices
    electrons: Devices
    """Those that shake hands."""
    orders: tuple[DeviceOrder, DeviceOrder]
    """For the publishers to come online."""


def measure(name: str, run: Run) -> Section:
    """See `suites.Suite`."""
    rows: dict[tuple[str, str], Row] = {}
    flooded: dict[str, list[Tally]] = {FLOOD: [], LIMITED: []}
    addresses = itertools.count(step=200)
    run.steps.begin("starting two clouds and their devices")
    folders = [run.folder / name for name in ("unlimited", "limited")]
    for folder in folders:
        folder.mkdir()
    with (
        hooks_reach_this_machine(),
        _place(folders[0], run.seconds, "--rate-limits", "off") as free,
        _place(folders[1], run.seconds, "--rate-limits", "on") as limited,
        Paced() as asking,
        Paced() as flooding,
    ):
        settings = (
            (CALM, free, _PAUSE_S),
            (FLOOD, free, _PAUSE_S),
            (CALM_LIMITED, limited, _LIMITED_PAUSE_S),
            (LIMITED, limited, _LIMITED_PAUSE_S),
        )
        run.steps.expect(run.rounds * len(settings) * len(free.works))

        def order(
            place: _Place, request: bytes, connections: int, pause_s: float, stream: bytes = b"", hook_port: int = 0
        ) -> Order:
            parts = urlsplit(place.here.url)
            return Order(
                parts.hostname or "",
                parts.port or 0,
                request,
                connections,
                run.seconds,
                pause_s,
                place.here.pid,
                next(addresses),
                stream,
                hook_port,
            )

        for place in (free, limited):
            for work in place.works:
                if work.of_devices is not None:
                    work.of_devices(place, run.seconds)
                else:
                    asked = order(place, work.request, 1, _PAUSE_S, work.stream, work.hook_port)
                    asking.run(msgspec.structs.replace(asked, seconds=_SETTLE_S))
        for _ in range(run.rounds):
            for setting, place, pause_s in settings:
                if setting in flooded:
                    guesses = order(place, place.flood, _FLOODERS, 0.0)
                    flooding.begin(msgspec.structs.replace(guesses, until_closed=True))
                    time.sleep(_SETTLE_S)
                for work in place.works:
                    run.steps.begin(f"{work.what}, {setting}")
                    row = rows.setdefault((work.what, setting), Row(work.what, setting, OURS, []))
                    if work.of_devices is not None:
                        row.rounds.append(work.of_devices(place, run.seconds))
                    else:
                        asked = order(place, work.request, work.connections, pause_s, work.stream, work.hook_port)
                        row.rounds.append(_round(asking.run(asked)))
                    run.steps.end()
                if setting in flooded:
                    flooded[setting].append(flooding.end())
                    _wait_until_idle(place.here.pid)
    ordered = [rows[work.what, setting] for work in free.works for setting, _, _ in settings]
    notes = [_answers(name, flooded[name]) for name in flooded]
    return Section("under-flood", "Under a flood of log-ins", _WHAT, ordered, plotted=("p99_ms",), notes=notes)


_WHAT: Final = f"""
{_CONNECTIONS} connections (one for events) ask for what the row says, each {_PAUSE_S * 1e3:g} ms after its last answer
({_LIMITED_PAUSE_S * 1e3:g} ms with limits on, to stay below them), so that a latency is that of a server which is not
busy with them. Meanwhile {_FLOODERS} other connections, each from an address of its own, post wrong passwords to
`/oauth/token` as fast as they are answered. *An event to a listener* and *to a webhook* is the time from the request
that publishes it until it has come on an event stream, or at the webhook's host; *of a device* is that from a Photon's
event, or over UDP an Electron's, one every {PAUSE_S * 1e3:g} ms, to its acknowledgement. Handshakes are one after the
other, a Photon's until the cloud's Hello, an Electron's until the session has its keys. *Failed* is what was not
answered 200. Times are corrected as wrk's are: a pause counts for all that would have been asked in it.
"""


def _wait_until_idle(pid: int) -> None:
    """What the flood left in the queue is worked off."""
    before = cpu_time(pid)
    for _ in range(_MAX_WAITS):
        time.sleep(_SETTLE_S)
        before, used = cpu_time(pid), cpu_time(pid) - before
        if used < _IDLE_SHARE * _SETTLE_S:
            return


def _round(tally: Tally) -> dict[str, float]:
    if not tally.good:
        return {"per_s": 0.0, "failed": tally.failed}
    return {
        "per_s": tally.good / tally.seconds,
        "p50_ms": tally.p50_ms,
        "p99_ms": tally.p99_ms,
        "p999_ms": tally.p999_ms,
        "failed": tally.failed,
    }


def _of_events(which: int, place: _Place, seconds: float) -> dict[str, float]:
    count = max(1, round(seconds / PAUSE_S / 2))
    publisher, order = place.publishers[which], place.orders[which]
    tally = publisher.run(msgspec.structs.replace(order, what="timed events", count=count))
    publisher.hold(msgspec.structs.replace(order, what="hold", count=1))
    return _timed(tally, PAUSE_S)


def _of_photons(place: _Place, seconds: float) -> dict[str, float]:
    order = msgspec.structs.replace(place.orders[0], what="hellos", count=_handshakes(seconds), first=_PHOTON + 1)
    return _timed(place.photons.run(order), 0.0)


def _of_electrons(place: _Place, seconds: float) -> dict[str, float]:
    order = msgspec.structs.replace(place.orders[1], what="handshakes", count=_handshakes(seconds))
    return _timed(place.electrons.run(order), 0.0)


def _handshakes(seconds: float) -> int:
    return max(1, round(seconds / _HANDSHAKE_S))


def _timed(tally: DeviceTally, pause_s: float) -> dict[str, float]:
    found = {"per_s": tally.per_second, "failed": 100 * tally.failed / (tally.done + tally.failed)}
    return found | dict(
        zip(("p50_ms", "p99_ms", "p999_ms"), quantiles_ms(tally.latencies_ms, pause_s * 1e3), strict=False)
    )


def _answers(setting: str, tallies: list[Tally]) -> str:
    seconds = sum(tally.seconds for tally in tallies)
    statuses = sorted({status for tally in tallies for status in tally.answers})
    parts = [
        f"{sum(tally.answers.get(status, 0) for tally in tallies) / seconds:,.0f} answers {status} per s"
        for status in statuses
    ]
    return f"the flood, {setting}: {', '.join(parts)}"


@contextlib.contextmanager
def _place(folder: Path, seconds: float, *settings: str) -> Iterator[_Place]:
    with (
        scene(folder, *settings) as here,
        httpx.Client(base_url=here.url, timeout=30, trust_env=False) as http,
        TcpPublishers() as publisher,
        Devices() as electron,
        TcpDevices() as photons,
        Devices() as electrons,
    ):
        with_devices(here, _LISTED)
        for name in (_VICTIM, _LISTENER):
            http.post("/v1/users", data={"username": name, "password": _PASSWORD}).raise_for_status()
        log_in = {"grant_type": "password", "username": _LISTENER, "password": _PASSWORD}
        listener = http.post("/oauth/token", auth=("particle", "particle"), data=log_in).raise_for_status()
        basic = _basic(*here.client)
        product = http.post("/oauth/token", auth=here.client, data={"grant_type": "client_credentials"})
        of_product = bearer(product.raise_for_status().json()["access_token"])
        own = bearer(listener.json()["access_token"])
        of_devices = f"/v1/products/{here.product}/devices"
        numbers = (_ELECTRON, *range(_PHOTON, _PHOTON + 1 + _handshakes(seconds)))
        ids = [f"{FIRST_ID + number:024x}" for number in numbers]
        http.post(of_devices, headers=of_product, json={"ids": ids}).raise_for_status()
        (hook_port,) = tcp.free_ports(1)
        hook = {"event": "hooked", "url": f"http://127.0.0.1:{hook_port}/"}
        http.post("/v1/integrations", json=hook, headers=own).raise_for_status()
        data = folder / "data"

        def order(address: str, key: str, number: int) -> DeviceOrder:
            host, _, port = address.rpartition(":")
            keys = str(folder / "bench-keys")
            return DeviceOrder("online", host, int(port), here.pid, 1, 1, str(data / key), here.product, number, keys)

        photon = order(here.tcp, "server-tcp.pem", _PHOTON)
        online = publisher.run(photon)
        if online.failed:
            raise LoadFailed(f"the Photon did not come online: {online.reasons}")
        publisher.hold(msgspec.structs.replace(photon, what="hold"))
        udp_order = order(here.udp, "server-udp.pem", _ELECTRON)
        electron.run(udp_order)
        electron.hold(msgspec.structs.replace(udp_order, what="hold"))
        form = {"arg": "coffee"}
        customers = bearer(here.customer_token)
        works = [
            _Work("GET of a device", _request("GET", f"/v1/devices/{here.device}", customers)),
            _Work(f"GET of {_LISTED} devices", _request("GET", "/v1/devices", customers)),
            _Work("introspection", _request("POST", "/oauth/introspect", basic, {"token": here.customer_token})),
            _Work("a client's token", _request("POST", "/oauth/token", basic, _ITSELF)),
            _Work(
                "a customer's tokens",
                _request("POST", "/oauth/token", basic, {**_ITSELF, "scope": f"customer={here.customer}"}),
            ),
            _Work("a variable over TCP", _request("GET", f"{of_devices}/{here.device}/counter", of_product)),
            _Work("a variable over UDP", _request("GET", f"{of_devices}/{ids[0]}/{VARIABLE}", of_product)),
            _Work("a function over TCP", _request("POST", f"{of_devices}/{here.device}/brew", of_product, form)),
            _Work("a function over UDP", _request("POST", f"{of_devices}/{ids[0]}/{FUNCTION}", of_product, form)),
            _Work("a Photon's handshake", of_devices=_of_photons),
            _Work("an Electron's handshake", of_devices=_of_electrons),
            _Work("an event of a device, acknowledged", of_devices=partial(_of_events, 0)),
            _Work("an event over UDP, acknowledged", of_devices=partial(_of_events, 1)),
            _Work(
                "an event to a listener",
                _request("POST", "/v1/devices/events", own, {"name": "bench", "data": "%%%%", "private": "true"}),
                _request("GET", "/v1/devices/events/bench", own),
            ),
            _Work(
                "an event to a webhook",
                _request("POST", "/v1/devices/events", own, {"name": "hooked", "data": "no-%%%%", "private": "true"}),
                hook_port=hook_port,
            ),
        ]
        wrong = {"grant_type": "password", "username": _VICTIM, "password": "a guess"}
        guess = _request("POST", "/oauth/token", _basic("particle", "particle"), wrong)
        yield _Place(here, works, guess, (publisher, electron), photons, electrons, (photon, udp_order))


def _basic(client: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


def _request(method: str, path: str, headers: dict[str, str], form: dict[str, str] | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    body = b""
    if form is not None:
        body = urlencode(form, safe="%").encode()
        lines += ["content-type: application/x-www-form-urlencoded", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
