"""What a cloud takes before anybody asks it for anything: the time until it is ready, and memory.

`start` and `idle` both look at a cloud with nothing on record, at one with a data folder of many years, and at servers
that one would use in its place, each a process of its own that is started anew in each round.
"""

import contextlib
import functools
import http.client
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from bench.filling import Filled, fill, made, serve
from bench.http_peers import PEERS, Server, Told, told
from bench.processes import CannotStart, listening
from bench.report import OURS, Goal, Row, Section
from bench.run import Run
from bench.scene import bearer

NAMES: Final = ("start", "idle")

READY: Final = "until it is ready"
ANSWERED: Final = "until the first right answer"
IDLE: Final = "idle"
ASKED: Final = "after a token and a GET"
LOOKED_AT: Final = "after a page of the console"
NOTHING: Final = "nothing on record"

_DEVICES_FOR_EACH_CUSTOMER: Final = 10
_SETTLED_AFTER_S: Final = 1.0
_LOGGED: Final = 100
"""Tokens for the log that is found after a kill."""
_PEERS: Final = ("oidc-provider", "spark-server", "Fastify", "Node's http", "django-oauth-toolkit", "nginx")


@dataclass(frozen=True, slots=True)
class _Peer:
    release: str
    start: Callable[[], contextlib.AbstractContextManager[Server]]


def measure(name: str, run: Run) -> Section:
    """See `suites.Suite`."""
    devices, customers = _DEVICES_FOR_EACH_CUSTOMER * run.count, run.count
    many = f"{devices:,} devices on record"
    run.steps.begin("a cloud with nothing on record")
    empty = made(run.folder / "empty")
    run.steps.begin(f"{many}: writing them down")
    full = made(run.folder / "full")
    run.steps.expect(devices)
    fill(full, devices, customers, run.steps.end_many)
    about = _about(empty)
    missing: dict[str, str] = {}
    peers = []
    for peer in _PEERS:
        place = _new(run.folder)
        try:
            # What a first start makes (tables, keys) is there afterwards.
            with PEERS[peer](place, about) as server:
                peers.append(_Peer(server.name, functools.partial(PEERS[peer], place, about)))
        except CannotStart as error:
            missing[peer] = str(error)
    section = {"start": _start, "idle": _idle}[name]
    return section(run, many, empty, full, peers, about, missing)


def _about(empty: Filled) -> Told:
    """What the peers are to know: the same client, customer and device."""
    with _ours(empty) as (_, url):
        device = httpx.get(f"{url}/v1/devices/{empty.device}", headers=bearer(empty.customer_token), trust_env=False)
        document = device.raise_for_status().json()
    return told(empty.client, "first@example.com", document, [document])


# --- start ---


def _start(
    run: Run, many: str, empty: Filled, full: Filled, peers: list[_Peer], about: Told, missing: dict[str, str]
) -> Section:
    rows: dict[tuple[str, str, str], Row] = {}

    def note(work: str, setting: str, subject: str, seconds: float) -> None:
        rows.setdefault((work, setting, subject), Row(work, setting, subject, [])).rounds.append({"s": seconds})

    def ours(setting: str, filled: Filled | None, *, is_killed: bool = False, is_cold: bool = False) -> None:
        data = _new(run.folder) / "data" if filled is None else filled.data
        if is_cold:
            _forget_pages(data / "cloudchamber.db")
        began = time.perf_counter()
        with listening(serve(data), run.folder / "serve.log") as (pid, addresses):
            note(READY, setting, OURS, time.perf_counter() - began)
            if filled is not None:
                _ask(addresses["http"], f"/v1/devices/{filled.device}", filled.customer_token)
                note(ANSWERED, setting, OURS, time.perf_counter() - began)
            if is_killed and filled is not None:
                _issue(addresses["http"], filled, _LOGGED)
                os.kill(pid, signal.SIGKILL)

    run.steps.expect(run.rounds * (5 + len(peers)))
    settings: list[tuple[str, Callable[[str], None]]] = [
        ("a new folder", lambda setting: ours(setting, None)),
        (NOTHING, lambda setting: ours(setting, empty)),
        (many, lambda setting: ours(setting, full)),
        (f"{many}, not in the page cache", lambda setting: ours(setting, full, is_cold=True, is_killed=True)),
        (f"{many}, after SIGKILL", lambda setting: ours(setting, full)),
    ]
    for _ in range(run.rounds):
        for setting, measured in settings:
            run.steps.begin(f"start, {setting}")
            measured(setting)
            run.steps.end()
        for peer in peers:
            run.steps.begin(f"start of {peer.release}")
            began = time.perf_counter()
            with peer.start() as server:
                _ask(server.url, f"{server.devices}/{about.device['id']}", server.token)
                note(ANSWERED, NOTHING, peer.release, time.perf_counter() - began)
            run.steps.end()
    # Of all that a restart may find.
    goals = [Goal(work, "s", 2.0, setting=setting) for setting, _ in settings[2:] for work in (READY, ANSWERED)]
    return Section("start", "Start", _START, list(rows.values()), goals=goals, plotted=("s",), missing=missing)


_START: Final = f"""
From the start of the process, Python's own start included, until it says that it is ready and until it has answered a
GET of a device with a token. For every {_DEVICES_FOR_EACH_CUSTOMER} devices there is a customer on record with an
access and a refresh token; every other device is one over UDP with its session, and all have described themselves. *A
new folder* makes keys and tables first. *After SIGKILL* the database was not closed, and the log of its last changes is
read first. Before it is ready the cloud looks through the file for damage, up to 256 MB of it, which is most of the
time with many devices. The peers have tables and keys, as the cloud has with *nothing on record*, and give a token
first where they keep tokens.
"""


def _forget_pages(file: Path) -> None:
    """The system reads the file from the disk next time."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _ask(url: str, path: str, token: str) -> None:
    """Raises CannotStart for an answer other than 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=bearer(token))
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise CannotStart(f"GET {path} was answered {answer.status} {content[:200]!r}")


def _issue(url: str, filled: Filled, count: int) -> None:
    with httpx.Client(base_url=url, auth=filled.client, trust_env=False) as client:
        for _ in range(count):
            client.post("/oauth/token", data={"grant_type": "client_credentials"}).raise_for_status()


# --- idle ---


def _idle(
    run: Run, many: str, empty: Filled, full: Filled, peers: list[_Peer], about: Told, missing: dict[str, str]
) -> Section:
    rows: dict[tuple[str, str, str], Row] = {}

    def note(work: str, setting: str, subject: str, pid: int) -> None:
        time.sleep(_SETTLED_AFTER_S)
        rows.setdefault((work, setting, subject), Row(work, setting, subject, [])).rounds.append(memory(pid))

    run.steps.expect(run.rounds * (3 + len(peers)))
    for _ in range(run.rounds):
        for setting, filled in (("a new folder", None), (NOTHING, empty), (many, full)):
            run.steps.begin(f"idle, {setting}")
            data = _new(run.folder) / "data" if filled is None else filled.data
            with listening(serve(data), run.folder / "serve.log") as (pid, addresses):
                note(IDLE, setting, OURS, pid)
                if filled is empty:
                    _issue(addresses["http"], filled, 1)
                    _ask(addresses["http"], f"/v1/devices/{filled.device}", filled.customer_token)
                    note(ASKED, setting, OURS, pid)
                    httpx.get(f"{addresses['http']}/console/sign-in", trust_env=False).raise_for_status()
                    note(LOOKED_AT, setting, OURS, pid)
            run.steps.end()
        for peer in peers:
            run.steps.begin(f"{peer.release}, idle")
            with peer.start() as server:
                note(IDLE, NOTHING, peer.release, server.pid)
                _ask(server.url, f"{server.devices}/{about.device['id']}", server.token)
                note(ASKED, NOTHING, peer.release, server.pid)
            run.steps.end()
    plotted = ("resident_mb",)
    goals = [Goal(IDLE, "resident_mb", 60.0)]
    ordered = sorted(rows.values(), key=lambda row: (IDLE, ASKED, LOOKED_AT).index(row.work))
    return Section("idle", "Idle memory", _IDLE, ordered, goals=goals, plotted=plotted, missing=missing)


_IDLE: Final = f"""
The process {_SETTLED_AFTER_S:g} s after it was ready; of those that keep tokens, the peers have given one by then, the
cloud was asked for nothing. *After a token and a GET* all have been asked for the same. *Resident* counts every page
that the process has in memory; *proportional* counts pages of programs and libraries that several processes share by
their share, so it is less while other programs of the same language run. A server of several processes counts by the
one that answers. What an idle cloud has not been asked for is not loaded; *after a page of the console* the console is,
with its templates, and stays.
"""


def memory(pid: int) -> dict[str, float]:
    """MB of a process: what it has in memory, and its share of it."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = dict(re.findall(r"^(Rss|Pss): +(\d+) kB$", told, re.MULTILINE))
    return {"resident_mb": int(found["Rss"]) * 1024 / 1e6, "proportional_mb": int(found["Pss"]) * 1024 / 1e6}


# --- both ---


@contextlib.contextmanager
def _ours(filled: Filled) -> Iterator[tuple[int, str]]:
    with listening(serve(filled.data), filled.data.with_name("serve.log")) as (pid, addresses):
        yield pid, addresses["http"]


def _new(folder: Path) -> Path:
    """A folder that is not there yet."""
    number = sum(1 for _ in folder.glob("new-*"))
    made = folder / f"new-{number}"
    made.mkdir()
    return made
