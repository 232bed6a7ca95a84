"""What a flood of log-ins does to everybody else.

64 connections try wrong passwords as fast as they are answered, each of them an argon2 hash of 47 MiB and some 23 ms
for the server, while others ask for what costs it a hundred microseconds.
"""

import base64
import contextlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from bench.load import cpu_time
from bench.paced import Order, Paced, Tally
from bench.report import OURS, Row, Section
from bench.run import Run
from bench.scene import Scene, bearer, scene

NAMES: Final = ("under-flood",)

CALM: Final = "calm"
CALM_LIMITED: Final = "calm, limits on"
FLOOD: Final = "log-ins flooded"
LIMITED: Final = "log-ins flooded, limits on"

_FLOODERS: Final = 64
_VICTIM: Final = "victim@example.com"
_LISTENER: Final = "listener@example.com"
_PASSWORD: Final = "the listener's own password"
_CONNECTIONS: Final = 4
_PAUSE_S: Final = 0.01
_LIMITED_PAUSE_S: Final = 0.03
"""An address has a hundred tokens within five minutes."""
_SETTLE_S: Final = 0.3
_IDLE_SHARE: Final = 0.03
_MAX_WAITS: Final = 100


@dataclass(frozen=True, slots=True)
class _Work:
    what: str
    request: bytes
    stream: bytes = b""


@dataclass(frozen=True, slots=True)
class _Place:
    here: Scene
    works: list[_Work]
    flood: bytes


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
        _place(folders[0], "--rate-limits", "off") as free,
        _place(folders[1], "--rate-limits", "on") as limited,
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

        def order(place: _Place, request: bytes, connections: int, pause_s: float, stream: bytes = b"") -> Order:
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
            )

        for place in (free, limited):
            for work in place.works:
                asked = order(place, work.request, 1, _PAUSE_S, work.stream)
                asking.run(msgspec.structs.replace(asked, seconds=_SETTLE_S))
        for _ in range(run.rounds):
            for setting, place, pause_s in settings:
                if setting in flooded:
                    guesses = order(place, place.flood, _FLOODERS, 0.0)
                    flooding.begin(msgspec.structs.replace(guesses, until_closed=True))
                    time.sleep(_SETTLE_S)
                for work in place.works:
                    run.steps.begin(f"{work.what}, {setting}")
                    connections = 1 if work.stream else _CONNECTIONS
                    tally = asking.run(order(place, work.request, connections, pause_s, work.stream))
                    row = rows.setdefault((work.what, setting), Row(work.what, setting, OURS, []))
                    row.rounds.append(_round(tally))
                    run.steps.end()
                if setting in flooded:
                    flooded[setting].append(flooding.end())
                    _wait_until_idle(place.here.pid)
    ordered = [rows[work.what, setting] for work in free.works for setting, _, _ in settings]
    notes = [_times(work.what, rows) for work in free.works] + [_answers(name, flooded[name]) for name in flooded]
    return Section("under-flood", "Under a flood of log-ins", _WHAT, ordered, plotted=("p99_ms",), notes=notes)


_WHAT: Final = f"""
{_CONNECTIONS} connections (one for events) ask for what the row says, each {_PAUSE_S * 1e3:g} ms after its last answer
({_LIMITED_PAUSE_S * 1e3:g} ms with limits on, to stay below them), so that a latency is that of a server which is not
busy with them. Meanwhile {_FLOODERS} other connections, each from an address of its own, post wrong passwords to
`/oauth/token` as fast as they are answered. *An event to a listener* is the time from the request that publishes it
until it has come on an event stream. *Failed* is what was not answered 200.
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


def _times(work: str, rows: dict[tuple[str, str], Row]) -> str:
    told = []
    for calm, flood in ((CALM, FLOOD), (CALM_LIMITED, LIMITED)):
        before, during = rows[work, calm], rows[work, flood]
        if before.samples("p99_ms") and during.samples("p99_ms"):
            p50, p99 = (during.median(metric) / before.median(metric) for metric in ("p50_ms", "p99_ms"))
            told.append(f"p50 {p50:.1f} and p99 {p99:.1f} times as long while {flood}")
    return f"{work}: {'; '.join(told) or 'not answered'}"


def _answers(setting: str, tallies: list[Tally]) -> str:
    seconds = sum(tally.seconds for tally in tallies)
    statuses = sorted({status for tally in tallies for status in tally.answers})
    parts = [
        f"{sum(tally.answers.get(status, 0) for tally in tallies) / seconds:,.0f} answers {status} per s"
        for status in statuses
    ]
    return f"the flood, {setting}: {', '.join(parts)}"


@contextlib.contextmanager
def _place(folder: Path, *settings: str) -> Iterator[_Place]:
    with scene(folder, *settings) as here, httpx.Client(base_url=here.url, timeout=30, trust_env=False) as http:
        for name in (_VICTIM, _LISTENER):
            http.post("/v1/users", data={"username": name, "password": _PASSWORD}).raise_for_status()
        log_in = {"grant_type": "password", "username": _LISTENER, "password": _PASSWORD}
        listener = http.post("/oauth/token", auth=("particle", "particle"), data=log_in).raise_for_status()
        basic = _basic(*here.client)
        product = http.post("/oauth/token", auth=here.client, data={"grant_type": "client_credentials"})
        of_product = bearer(product.raise_for_status().json()["access_token"])
        own = bearer(listener.json()["access_token"])
        variable = f"/v1/products/{here.product}/devices/{here.device}/counter"
        works = [
            _Work("GET of a device", _request("GET", f"/v1/devices/{here.device}", bearer(here.customer_token))),
            _Work("variable of a device", _request("GET", variable, of_product)),
            _Work(
                "an event to a listener",
                _request("POST", "/v1/devices/events", own, {"name": "bench", "data": "%%%%", "private": "true"}),
                _request("GET", "/v1/devices/events/bench", own),
            ),
            _Work("a client's token", _request("POST", "/oauth/token", basic, {"grant_type": "client_credentials"})),
        ]
        wrong = {"grant_type": "password", "username": _VICTIM, "password": "a guess"}
        yield _Place(here, works, _request("POST", "/oauth/token", _basic("particle", "particle"), wrong))


def _basic(client: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


def _request(method: str, path: str, headers: dict[str, str], form: dict[str, str] | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    body = b""
    if form is not None:
        body = urlencode(form, safe="%").encode()
        lines += ["content-type: application/x-www-form-urlencoded", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
