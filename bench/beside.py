"""The cloud's HTTP side beside what one would use in its place: the same work, the same load, in turns within one run.

All are one process. Those that keep tokens, the cloud among them, have a token on the disk before they answer
(`synchronous = FULL`). http_peers.py and peers/ have how each of them runs.
"""

import base64
import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from bench import http_peers, wrk
from bench.http_peers import PEERS, Server
from bench.load import LoadFailed, Sample
from bench.processes import CannotStart
from bench.report import OURS, Goal, Row, Section, of_sample
from bench.run import Run
from bench.scene import Scene, bearer, scene, with_devices

CONNECTIONS: Final = (16, 64)
LISTED: Final = 25

_FORM: Final = "application/x-www-form-urlencoded"
_WARM_UP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Work:
    what: str
    request: Callable[[Server], wrk.Request]


@dataclass(frozen=True, slots=True)
class _Suite:
    title: str
    what: str
    peers: tuple[str, ...]
    works: Callable[[Scene], list[_Work]]
    goals: list[Goal]


@dataclass(slots=True)
class _Load:
    row: Row
    request: wrk.Request
    pid: int
    connections: int


def measure(name: str, run: Run) -> Section:
    """See `suites.Suite`."""
    suite = _SUITES[name]
    wrk.find()
    run.steps.begin("starting a cloud and a device")
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloudchamber-bench-", dir=run.data)))
        here = stack.enter_context(scene(folder))
        ours = Server(OURS, OURS, here.pid, here.url, here.customer_token, "/v1/devices")
        if name == "list":
            with_devices(here, LISTED)
        about = http_peers.told(here.client, here.customer, *_documents(here))
        servers = [ours]
        for peer in suite.peers:
            run.steps.begin(f"starting {peer}")
            try:
                servers.append(stack.enter_context(PEERS[peer](folder, about)))
            except CannotStart as error:
                missing[peer] = str(error)
        works = suite.works(here)

        def load(request: wrk.Request, pid: int, connections: int, seconds: float) -> Sample:
            return wrk.run(request, connections, seconds, pid, folder)

        for work in works:
            run.steps.begin(f"{work.what}: warming up")
            for each in servers:
                load(work.request(each), each.pid, CONNECTIONS[0], min(_WARM_UP_S, run.seconds))
        turns = [
            [
                _Load(
                    Row(work.what, f"{connections} connections", each.name, []),
                    work.request(each),
                    each.pid,
                    connections,
                )
                for each in servers
            ]
            for work in works
            for connections in CONNECTIONS
        ]
        run.steps.expect(run.rounds * len(turns))
        for _ in range(run.rounds):
            for turn in turns:
                run.steps.begin(f"{turn[0].row.work}, {turn[0].row.setting}")
                for one in turn:
                    try:
                        sample = load(one.request, one.pid, one.connections, run.seconds)
                    except LoadFailed as error:
                        raise LoadFailed(f"{one.row.subject}, {one.row.setting}: {error}") from error
                    one.row.rounds.append(of_sample(sample))
                run.steps.end()
    loads = [one for turn in turns for one in turn]
    return Section(
        name,
        suite.title,
        suite.what,
        [one.row for one in loads],
        goals=suite.goals,
        plotted=("per_s", "cpu_us"),
        missing=missing,
    )


def _documents(here: Scene) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the cloud answers for one device and for all of the customer's."""
    with httpx.Client(base_url=here.url, headers=bearer(here.customer_token), trust_env=False) as http:
        device = http.get(f"/v1/devices/{here.device}").raise_for_status().json()
        return device, http.get("/v1/devices").raise_for_status().json()


def _post(here: Scene, url: str, form: dict[str, str], client: str = "") -> wrk.Request:
    id_, secret = here.client
    basic = base64.b64encode(f"{client or id_}:{secret}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": _FORM}
    return wrk.Request(url, headers, method="POST", body=urlencode(form))


def _tokens(here: Scene) -> list[_Work]:
    itself = {"grant_type": "client_credentials"}

    def customers(server: Server) -> wrk.Request:
        # An access and a refresh token from each.
        if server.kind == OURS:
            return _post(here, f"{server.url}/oauth/token", {**itself, "scope": f"customer={here.customer}"})
        if server.kind == "oidc-provider":
            return _post(here, f"{server.url}/token", {"grant_type": "customer", "email": here.customer})
        form = {"grant_type": "password", "username": here.customer, "password": "any"}
        return _post(here, f"{server.url}/token", form)

    def clients(server: Server) -> wrk.Request:
        # The cloud gives a refresh token here, too, as the vendor's does.
        if server.kind == OURS:
            return _post(here, f"{server.url}/oauth/token", itself)
        # An application of django-oauth-toolkit's has one grant, so there are two of them.
        client = f"{here.client[0]}-itself" if server.kind == "django-oauth-toolkit" else ""
        return _post(here, f"{server.url}/token", itself, client)

    return [_Work("customer's tokens", customers), _Work("client's token", clients)]


def _bearer(here: Scene) -> list[_Work]:
    def get(*, is_numbered: bool) -> Callable[[Server], wrk.Request]:
        return lambda server: wrk.Request(
            f"{server.url}{server.devices}/{here.device}", bearer(server.token), is_numbered=is_numbered
        )

    return [
        _Work("GET of a device", get(is_numbered=False)),
        _Work("no two GETs alike", get(is_numbered=True)),
    ]


def _list(_here: Scene) -> list[_Work]:
    return [
        _Work(
            f"GET of {LISTED} devices", lambda server: wrk.Request(server.url + server.devices, bearer(server.token))
        ),
    ]


def _introspection(here: Scene) -> list[_Work]:
    def introspect(server: Server) -> wrk.Request:
        path = {OURS: "/oauth/introspect", "oidc-provider": "/token/introspection"}.get(server.kind, "/introspect")
        return _post(here, server.url + path, {"token": server.token})

    return [_Work("introspection", introspect)]


_BEARERS: Final = ("oidc-provider", "Fastify", "Node's http", "nginx", "django-oauth-toolkit")
_ISSUERS: Final = ("oidc-provider", "django-oauth-toolkit", "Authlib")

_GETS: Final = """
oidc-provider's route stands on Node's bare HTTP server, in front of Koa, and calls `AccessToken.find`, which asks its
database. Fastify and Node's own HTTP server look the token up in a Map that never changes, Fastify with schemas of its
answers, and make the JSON of each. django-oauth-toolkit's `protected_resource` runs under gunicorn. All answer with the
very document that the cloud's answer was. The cloud asks its memory for token and device, too; it keeps a device's
JSON, and compares all that it was made of with what is true for each answer. nginx sends a file and checks nothing: it
is what the machine and wrk allow.
"""

_WRITER: Final = (
    "with few connections few pairs of tokens share a commit, and the interpreter's lock keeps the loop and the writer"
    " of the database from working at the same time. A writer without that lock would reach it: a process of its own,"
    " or a Python that has none ([notes](../NOTES.md#durable-tokens-post-oauthtoken-client_credentials))."
)
_NEAR_NGINX: Final = (
    "*nginx*, which sends a file and checks nothing, is what the machine allows. Most of what a request takes are the"
    " system's two calls, which no process can share among connections"
    " ([notes](../NOTES.md#token-checked-get-get-v1devicesid))."
)

_SUITES: Final[dict[str, _Suite]] = {
    "tokens": _Suite(
        "Durable tokens",
        """
Each keeps its tokens in a SQLite file in WAL mode with `synchronous = FULL`: a token is on the disk before it is
answered. oidc-provider runs in production, without a log, with opaque tokens and prepared statements, for a client that
it knows without asking its database. django-oauth-toolkit and Authlib (on Flask and SQLAlchemy) run under gunicorn with
one thread (more of them answered fewer), with clients' secrets that are not hashed. A customer's tokens are an access
and a refresh token, given to a client that proves itself and names the customer. For a client's own token the cloud
writes three rows and the others one: it gives a refresh token as well, as the vendor's cloud does, and keeps the log-in
that both belong to.
""",
        _ISSUERS,
        _tokens,
        [
            Goal("customer's tokens", "per_s", 2.0, "oidc-provider"),
            Goal("customer's tokens", "per_s", 15.0, "django-oauth-toolkit", otherwise=_WRITER),
        ],
    ),
    "bearer": _Suite(
        "Token-checked GET of a device",
        _GETS
        + """
spark-server, the other open cloud for these devices, answers with its own, shorter document of a device that was never
online; it finds token and device in its database, which is a file that it keeps in memory.

*no two GETs alike* has a number in each request, so that none comes byte for byte as the one before it.
""",
        (*_BEARERS, "spark-server"),
        _bearer,
        [
            goal
            for work in ("GET of a device", "no two GETs alike")
            for goal in (
                Goal(work, "per_s", 1.2, "oidc-provider"),
                Goal(work, "per_s", 15.0, "spark-server", bound="nginx", otherwise=_NEAR_NGINX),
                Goal(work, "cpu_us", 40.0),
            )
        ],
    ),
    "list": _Suite(
        f"Token-checked GET of {LISTED} devices",
        _GETS,
        _BEARERS,
        _list,
        [Goal(f"GET of {LISTED} devices", "cpu_us", 60.0)],
    ),
    "introspection": _Suite(
        "Token introspection",
        """
RFC 7662, asked by the client that the token was given to, with its secret in a Basic header. oidc-provider knows the
client without asking its database; django-oauth-toolkit and Authlib look both up, with secrets that are not hashed.
""",
        _ISSUERS,
        _introspection,
        [Goal("introspection", "cpu_us", 60.0), Goal("introspection", "per_s", 1.2, "oidc-provider")],
    ),
}

NAMES: Final = tuple(_SUITES)
