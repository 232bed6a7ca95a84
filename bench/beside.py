"""The cloud beside oidc-provider: the same work, the same load, in turns within one run.

Both are one process with a SQLite file, and both have a token on the disk before they answer (`synchronous = FULL`).
oidc-provider runs as peers/oidc-provider.mjs has it: production, opaque tokens, a client that it knows without asking
its database, and for the bearer GET a route on Node's bare HTTP server that calls `AccessToken.find` and answers with
the very document that the cloud's answer was.
"""

import base64
import contextlib
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import httpx
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench import wrk
from bench.load import Sample
from bench.processes import CannotStart, server
from bench.scene import Scene, bearer, scene

NAMES: Final = ("tokens", "bearer")
CONNECTIONS: Final = (16, 64)

_PEERS: Final = Path(__file__).parent / "peers"
_NODE: Final = Path(__file__).parent.parent / ".venv/bin/node"
_FORM: Final = "application/x-www-form-urlencoded"
_CUSTOMER_ID: Final = "5e1f0c3a9b7d42e86a0c1d2f"
_WARM_UP_S: Final = 1.0


class Turn(msgspec.Struct, frozen=True):
    """One of each, right after the other."""

    ours: Sample
    theirs: Sample


class Comparison(msgspec.Struct, frozen=True):
    what: str
    connections: int
    turns: list[Turn]


@dataclass(frozen=True, slots=True)
class _Work:
    what: str
    ours: wrk.Request
    theirs: wrk.Request


@dataclass(frozen=True, slots=True)
class _Peer:
    pid: int
    url: str
    token: str


def measure(names: list[str], seconds: float, rounds: int, data: Path | None = None) -> list[Comparison]:
    """`data` is where both keep their databases; else wherever temporary files are.

    Raises CannotStart, LoadFailed, httpx.HTTPError.
    """
    wrk.find()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        tempfile.TemporaryDirectory(prefix="cloudchamber-bench-", dir=data) as name,
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        scene(Path(name)) as here,
        _oidc_provider(Path(name), here) as peer,
    ):
        works = [work for each in names for work in _WORKS[each](here, peer)]
        found = [Comparison(work.what, connections, []) for work in works for connections in CONNECTIONS]
        task = progress.add_task("", total=rounds * len(found))

        def run(request: wrk.Request, pid: int, connections: int, long: float = seconds) -> Sample:
            return wrk.run(request, connections, long, pid, Path(name))

        for work in works:
            for request, pid in ((work.ours, here.pid), (work.theirs, peer.pid)):
                run(request, pid, CONNECTIONS[0], _WARM_UP_S)
        for _ in range(rounds):
            for comparison, (work, connections) in zip(
                found, [(work, connections) for work in works for connections in CONNECTIONS], strict=True
            ):
                progress.update(task, description=f"{work.what}, {connections} connections")
                ours = run(work.ours, here.pid, connections)
                comparison.turns.append(Turn(ours, run(work.theirs, peer.pid, connections)))
                progress.advance(task)
    return found


def _tokens(here: Scene, peer: _Peer) -> list[_Work]:
    def issue(url: str, **form: str) -> wrk.Request:
        basic = base64.b64encode(":".join(here.client).encode()).decode()
        return wrk.Request(
            url, {"Authorization": f"Basic {basic}", "Content-Type": _FORM}, method="POST", body=urlencode(form)
        )

    ours, theirs = f"{here.url}/oauth/token", f"{peer.url}/token"
    credentials = {"grant_type": "client_credentials"}
    return [
        # An access and a refresh token, on both sides.
        _Work(
            "customer's tokens",
            issue(ours, **credentials, scope=f"customer={here.customer}"),
            issue(theirs, grant_type="customer", email=here.customer),
        ),
        # The cloud gives a refresh token here, too, as the vendor's does.
        _Work("client's token", issue(ours, **credentials), issue(theirs, **credentials)),
    ]


def _bearer(here: Scene, peer: _Peer) -> list[_Work]:
    def get(*, is_numbered: bool) -> list[wrk.Request]:
        return [
            wrk.Request(url, bearer(token), is_numbered=is_numbered)
            for url, token in (
                (f"{here.url}/v1/devices/{here.device}", here.customer_token),
                (f"{peer.url}/devices/{here.device}", peer.token),
            )
        ]

    return [
        _Work("GET of a device", *get(is_numbered=False)),
        _Work("no two GETs alike", *get(is_numbered=True)),
    ]


_WORKS: Final[dict[str, Callable[[Scene, _Peer], list[_Work]]]] = {"tokens": _tokens, "bearer": _bearer}


@contextlib.contextmanager
def _oidc_provider(folder: Path, here: Scene) -> Iterator[_Peer]:
    """Raises CannotStart, httpx.HTTPError."""
    if not (_PEERS / "node_modules").is_dir():
        raise CannotStart("oidc-provider is not installed: `make bench ONLY=tokens` does that first")
    device = httpx.get(f"{here.url}/v1/devices/{here.device}", headers=bearer(here.customer_token), trust_env=False)
    told = {
        "client": {"id": here.client[0], "secret": here.client[1]},
        "customer": {"id": _CUSTOMER_ID, "email": here.customer},
        "device": device.raise_for_status().json(),
    }
    arguments = [str(_PEERS / "oidc-provider.mjs"), str(folder / "oidc-provider.db"), json.dumps(told)]
    environment = {"NODE_ENV": "production"}
    with server(arguments, folder / "peer.log", program=str(_NODE), environment=environment) as (pid, url):
        form = {"grant_type": "customer", "email": here.customer}
        answer = httpx.post(f"{url}/token", data=form, auth=here.client, trust_env=False).raise_for_status()
        yield _Peer(pid, url, answer.json()["access_token"])


def tables(found: list[Comparison]) -> list[Table]:
    """Answers for each second, and CPU time for each answer."""
    return [
        _table(found, "answers per second", "how many times as many", lambda sample: sample.per_second, ",.0f"),
        _table(
            found, "CPU µs of the server process for one answer", "how many times as few", lambda s: s.cpu_us, ".0f"
        ),
    ]


def _table(found: list[Comparison], what: str, times: str, of: Callable[[Sample], float], as_: str) -> Table:
    shown = Table(
        title=f"Beside oidc-provider: {what}",
        caption=f"Medians of the rounds, and the least and the most. times: {times}, by round.",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("", "connections", "ours", "theirs", "times"):
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    fewer_is_better = times.endswith("few")
    for each in found:
        ratios = [
            of(turn.theirs) / of(turn.ours) if fewer_is_better else of(turn.ours) / of(turn.theirs)
            for turn in each.turns
        ]
        shown.add_row(
            each.what,
            str(each.connections),
            _figure([of(turn.ours) for turn in each.turns], as_),
            _figure([of(turn.theirs) for turn in each.turns], as_),
            _figure(ratios, ".2f"),
        )
    return shown


def _figure(figures: list[float], as_: str) -> str:
    least, middle, most = (format(figure, as_) for figure in (min(figures), statistics.median(figures), max(figures)))
    return f"{middle}\n({least}…{most})"
