"""The cloud beside oidc-provider: the same work, the same load, in turns within one run.

Both are one process with a SQLite file, and both have a token on the disk before they answer (`synchronous = FULL`).
oidc-provider runs as peers/oidc-provider.mjs has it: production, opaque tokens, a client that it knows without asking
its database, and for the bearer GET a route on Node's bare HTTP server that calls `AccessToken.find` and answers with
the very document that the cloud's answer was.
"""

import base64
import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import httpx

from bench import wrk
from bench.processes import CannotStart, server
from bench.report import OURS, Goal, Row, Section, of_sample
from bench.run import Run
from bench.scene import Scene, bearer, scene

NAMES: Final = ("tokens", "bearer")
CONNECTIONS: Final = (16, 64)

_PEERS: Final = Path(__file__).parent / "peers"
_NODE: Final = Path(__file__).parent.parent / ".venv/bin/node"
_FORM: Final = "application/x-www-form-urlencoded"
_CUSTOMER_ID: Final = "5e1f0c3a9b7d42e86a0c1d2f"
_WARM_UP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Work:
    what: str
    ours: wrk.Request
    theirs: wrk.Request


@dataclass(frozen=True, slots=True)
class _Peer:
    name: str
    pid: int
    url: str
    token: str


def measure(name: str, run: Run) -> Section:
    """See `suites.Suite`."""
    wrk.find()
    run.steps.begin("starting the servers")
    with (
        tempfile.TemporaryDirectory(prefix="cloudchamber-bench-", dir=run.data) as data,
        scene(Path(data)) as here,
        _oidc_provider(Path(data), here) as peer,
    ):
        works = [(work, connections) for work in _WORKS[name](here, peer) for connections in CONNECTIONS]
        run.steps.expect(run.rounds * len(works))
        rows = []

        def slice_of(request: wrk.Request, pid: int, connections: int, seconds: float) -> dict[str, float]:
            return of_sample(wrk.run(request, connections, seconds, pid, Path(data)))

        for work in _WORKS[name](here, peer):
            for request, pid in ((work.ours, here.pid), (work.theirs, peer.pid)):
                slice_of(request, pid, CONNECTIONS[0], min(_WARM_UP_S, run.seconds))
        for work, connections in works:
            setting = f"{connections} connections"
            rows += [Row(work.what, setting, subject, []) for subject in (OURS, peer.name)]
        for _ in range(run.rounds):
            for number, (work, connections) in enumerate(works):
                run.steps.begin(f"{work.what}, {connections} connections")
                rows[2 * number].rounds.append(slice_of(work.ours, here.pid, connections, run.seconds))
                rows[2 * number + 1].rounds.append(slice_of(work.theirs, peer.pid, connections, run.seconds))
                run.steps.end()
    title, what, goals = _SAID[name]
    return Section(name, title, what, rows, goals=goals, plotted=("per_s", "cpu_us"))


_SAID: Final = {
    "tokens": (
        "Durable tokens",
        """
Both are one process with a SQLite file in WAL mode with `synchronous = FULL`: a token is on the disk before it is
answered. oidc-provider runs in production, without a log, with opaque tokens and prepared statements, for a client that
it knows without asking its database. For a client's token it writes one row, the cloud three: it gives a refresh token
as well, as the vendor's cloud does, and keeps the log-in that both belong to.
""",
        [Goal("customer's tokens", "per_s", 2.0, "oidc-provider")],
    ),
    "bearer": (
        "Token-checked GET of a device",
        """
oidc-provider's GET is a route on Node's bare HTTP server, in front of Koa, that calls `AccessToken.find` and answers
with the very document that the cloud's own answer was. *no two GETs alike* has a number in each request, so that none
comes byte for byte as the one before it.
""",
        [
            Goal("GET of a device", "per_s", 1.2, "oidc-provider"),
            Goal("GET of a device", "cpu_us", 40.0),
            Goal("no two GETs alike", "cpu_us", 40.0),
        ],
    ),
}


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
        yield _Peer(f"oidc-provider {_release('oidc-provider')}", pid, url, answer.json()["access_token"])


def _release(package: str) -> str:
    found = json.loads((_PEERS / "node_modules" / package / "package.json").read_text())
    return str(found["version"])
