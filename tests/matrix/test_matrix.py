"""Everybody tries everything: each kind of requester, each route of the table, on what is theirs, on what is in the
same product, on a stranger's and on what is not there. What must come of it is derived in verdicts.py; what comes is
asked of a real server.

A refused request must be answered to the letter as the edge refuses it, so that no field of what is there leaks, and
must change nothing. A request that is allowed must reach its handler. A row whose action the rule allows to nobody in
the whole universe has no rule, and fails.

Requests that change something are made last, each kind's on a copy of the universe of its own. What one of them spoils
for the next (a token revoked, an account deleted) shows as an answer that is not as derived: then the cell is asked
again on a fresh copy, and that answer counts.
"""

import contextlib
import functools
import shutil
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloudchamber.api.errors import Rendered
from cloudchamber.api.routes import ROUTES, AnyToken, ClientCredentials, Public, Route, Stream, enabled
from cloudchamber.app import Cloud
from cloudchamber.settings import Compat
from cloudchamber.simulator.device import VirtualDevice
from tests.matrix import universe as made
from tests.matrix.living import Living, living
from tests.matrix.samples import sample
from tests.matrix.universe import FIELD, KINDS, NO_SUCH, Kind, Place, Universe
from tests.matrix.verdicts import Exactly, NotTheirs, Open, Reached, Verdict, every_refusal, verdict
from tests.matrix.wire import Answer, Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = enabled(ROUTES, Compat())
BY_PATH = {(row.method, path): row for row in ROWS for path in row.paths}
SAFE = {"GET", "HEAD"}
# What is seen of a product and of an organization as a whole.
LISTS = [
    template
    for (method, template), row in BY_PATH.items()
    if method == "GET"
    and FIELD.findall(template) in (["product"], ["organization"])
    # They count what is asked, and time alone changes them.
    and "/metrics/" not in template
    and not isinstance((row.answer or {}).get(200), Stream | None)
    # They count what is asked, whatever comes of it.
    and "/metrics/" not in template
]


# What fails here for everybody who may, and why.
NEVER_DONE = {
    "compiling.binary": "this server compiles nothing",
    "compiling.compile": "this server compiles nothing",
    "firmware.upload": "takes a file",
    "organizations.remove": "has products",
    "teams.accept": "takes a code that was mailed",
    "transfers.cancel": "whoever asked for the device is no kind of requester",
    "users.confirm_mfa": "takes a code of the moment",
}
DONE: set[tuple[str, tuple[str, ...]]] = set()
ASKED: set[str] = set()


@dataclass(frozen=True, slots=True)
class Cell:
    row: Route
    template: str
    kind: Kind
    place: Place
    verdict: Verdict

    def __str__(self) -> str:
        where = f" ({self.place.label})" if self.place.label else ""
        return f"{self.row.method} {self.template}{where} by {self.kind.name}"

    @property
    def changes(self) -> bool:
        return self.row.method not in SAFE and not isinstance(self.verdict, Exactly)

    @property
    def is_alike_everywhere(self) -> bool:
        return isinstance(self.row.access, Public | ClientCredentials | AnyToken)


def cells(universe: Universe, kind: Kind) -> Iterator[Cell]:
    for row in ROWS:
        for template in row.paths:
            for place in universe.places(template):
                cell = Cell(row, template, kind, place, verdict(row, template, kind, place, universe))
                yield cell
                if cell.is_alike_everywhere:
                    break


@contextlib.asynccontextmanager
async def copy_of(universe: Universe, folder: Path) -> AsyncIterator[Wire]:
    async with inhabited_copy_of(universe, folder) as (wire, _):
        yield wire


@contextlib.asynccontextmanager
async def inhabited_copy_of(universe: Universe, folder: Path) -> AsyncIterator[tuple[Wire, VirtualDevice]]:
    """With the device that is connected in it."""
    shutil.copytree(universe.folder, folder)
    keys = made.device_keys(universe.folder)
    async with (
        Cloud(made.settings_in(folder)) as cloud,
        living(cloud, folder, universe.living.id, universe.home, keys) as device,
        contextlib.aclosing(Wire(cloud.listening.http.host, cloud.listening.http.port)) as wire,
    ):
        yield wire, device


# -- asking ---------------------------------------------------------------------------------------------------------


async def ask(wire: Wire, universe: Universe, cell: Cell) -> Answer:
    body = None
    if cell.row.method not in SAFE:
        body = universe.body(cell.row.handler) or (None if cell.row.request is None else sample(cell.row.request))
    return await wire.ask(cell.row.method, cell.place.path(cell.template), universe.tokens.get(cell.kind.name), body)


def wrong(cell: Cell, answer: Answer) -> str | None:
    """How the answer is not the verdict."""
    if answer.status >= 500 and answer.status not in {*cell.row.errors, *(cell.row.answer or {})}:
        return f"{answer.status}"
    match cell.verdict:
        case Exactly(answer=expected, why=why):
            # The answer to HEAD has no body to compare.
            body = expected.body if cell.row.method != "HEAD" else answer.body
            if (answer.status, answer.body) != (expected.status, body):
                return f"{answer.status} {answer.body}, not {expected.status} {expected.body} ({why})"
        case NotTheirs():
            if answer.status != 404 or not set(answer.body or {}) <= {"ok", "error"}:
                return f"{answer.status} {answer.body}, not 404: it is another's"
        case Open():
            pass
        case Reached():
            if answer.status < 400:
                DONE.add((cell.row.method, cell.row.paths))
            if Rendered(answer.status, answer.body) in every_refusal_of(cell.row.method, cell.template):
                return f"refused with {answer.status} {answer.body}"
            if cell.row.method == "GET" and Stream() in (cell.row.answer or {}).values() and answer.status == 200:
                return None if answer.content_type == "text/event-stream" else "no stream"
    return None


@functools.cache
def every_refusal_of(method: str, template: str) -> list[Rendered]:
    return [each._replace(headers=()) for each in every_refusal(BY_PATH[method, template], template)]


# -- the matrix -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
async def test_everybody_tries_everything(universe: Universe, kind: Kind, tmp_path: Path, matrix: Counter[str]) -> None:
    ASKED.add(kind.name)
    found = list(cells(universe, kind))
    quiet = [cell for cell in found if not cell.changes]
    loud = sorted((cell for cell in found if cell.changes), key=how_much_it_spoils)
    matrix.update(type(cell.verdict).__name__ for cell in found)
    problems = []
    async with inhabited_copy_of(universe, tmp_path / "first") as (wire, device):
        before = await everything(wire, universe)
        for cell in quiet:
            problem = wrong(cell, await ask(wire, universe, cell))
            problems += [f"{cell}: {problem}"] if problem else []
        assert isinstance(device.firmware, Living)
        assert device.firmware.touched == 0, "a request that was refused reached a device"
        assert await everything(wire, universe) == before, "a request that was refused changed something"
    rest = loud
    copy = 0
    while rest:
        copy += 1
        async with copy_of(universe, tmp_path / f"copy{copy}") as wire:
            for number, cell in enumerate(rest):
                problem = wrong(cell, await ask(wire, universe, cell))
                if problem is not None and number > 0:
                    # An earlier request may have spoiled it: again, on a fresh copy.
                    rest = rest[number:]
                    break
                if problem is not None:
                    problems.append(f"{cell}: {problem}")
            else:
                rest = []
    assert not problems, f"{len(problems)} of {len(found)} cells:\n" + "\n".join(problems)


def how_much_it_spoils(cell: Cell) -> tuple[bool, bool, int]:
    """What takes away comes last: from the inside to the outside, and one's own token and account after all else."""
    ends_the_requester = cell.template.startswith(("/v1/user", "/v1/access_tokens", "/v1/clients"))
    path = cell.template.removeprefix("/v1/orgs/{organization}") if "/products/" in cell.template else cell.template
    return cell.row.method == "DELETE", ends_the_requester, -path.removeprefix("/v1").count("/")


async def everything(wire: Wire, universe: Universe) -> list[Any]:
    """All that the owners of both products see in them and in their organizations, and everybody's devices."""
    found: list[Any] = []
    for owner, product in (
        ("the owner of the product", universe.home),
        ("the owner of another product", universe.foreign),
    ):
        for template in LISTS:
            path = template.format(product=product, organization=universe.organizations[product])
            answer = await wire.ask("GET", f"{path}?all=true&per_page=100", universe.tokens[owner])
            assert answer.status == 200, (path, answer)
            found.append((path, steady(answer.body)))
    for kind in KINDS:
        if kind.of is not None:
            devices = await wire.ask("GET", "/v1/devices", universe.tokens[kind.name])
            found.append((kind.name, devices.status, steady(devices.body)))
    return found


def steady(body: Any) -> Any:
    """Without the moments of last use, which asking changes."""
    if isinstance(body, list):
        return [steady(each) for each in body]
    if isinstance(body, dict):
        return {name: steady(value) for name, value in body.items() if not name.startswith("last_")}
    return body


async def test_what_is_below_another_place_is_not_found_below_ones_own(universe: Universe, tmp_path: Path) -> None:
    """A stranger's hook, client, token, member or customer, by its right name, under the path of one's own product,
    organization or account: to the letter as what is not there. And what is one's own, in another place than its own,
    is not there either."""
    home, foreign = universe.home, universe.foreign
    at_home, elsewhere = universe.organizations[home], universe.organizations[foreign]
    own = {"product": str(home), "organization": at_home, "device": universe.living.id}
    asked = 0
    async with copy_of(universe, tmp_path / "mixed") as wire:
        before = await everything(wire, universe)
        for (method, template), row in BY_PATH.items():
            names = set(FIELD.findall(template))
            places = {"product": home, "organization": at_home}
            above = next((place for name, place in places.items() if name in names), None)
            for other in {home, foreign, at_home, elsewhere, None} - {above}:
                things = {
                    name: value
                    for name, value in universe.values[other].items()
                    if name in names and value != universe.values[above].get(name)
                }
                # Clients of one's organization are found by `/v1/clients` as well.
                is_found_anyway = row.handler in {"clients.update_own", "clients.delete_own"} and other == at_home
                if not things or is_found_anyway or isinstance(row.access, Public):
                    continue
                body = None
                if method not in SAFE and row.request is not None:
                    body = universe.body(row.handler) or sample(row.request)
                answers = []
                for values in (things, dict.fromkeys(things, NO_SUCH)):
                    path = FIELD.sub(lambda match, values=values: {**own, **values}.get(match[1], NO_SUCH), template)
                    answer = await wire.ask(method, path, universe.tokens["the owner of the product"], body)
                    answers.append((answer.status, answer.raw.replace(next(iter(values.values())).encode(), b"")))
                asked += 1
                assert answers[0] == answers[1], (method, template, other, things)
                assert answers[0][0] >= 400, (method, template, other, things)
        assert await everything(wire, universe) == before
    assert asked > 50


async def test_a_door_that_is_left_open_is_seen(
    universe: Universe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matrix itself is tried: products forget to ask the rule."""
    monkeypatch.setattr("cloudchamber.fleet.products.require", lambda *_args: None)
    (stranger,) = (kind for kind in KINDS if kind.name == "the owner of another product")
    asked = [cell for cell in cells(universe, stranger) if cell.row.handler == "products.get"]
    async with copy_of(universe, tmp_path / "open") as wire:
        seen = [cell.place.label for cell in asked if wrong(cell, await ask(wire, universe, cell)) is not None]
    assert ([cell.place.label for cell in asked], seen) == (["home", "foreign", "unknown"], ["home"])


async def test_33_time_does_not_tell_what_is_there(universe: Universe, tmp_path: Path) -> None:
    """A stranger's thing and one that is not there: the difference (some 15 µs, that of a cache) drowns in what any
    network adds. Asked in turns, so that whatever else this machine does falls on both."""
    token = universe.tokens["a user with a device"]
    pairs = [
        (f"/v1/devices/{universe.devices['a foreign device'].id}", f"/v1/devices/{'f' * 24}"),
        (f"/v1/products/{universe.foreign}/devices", "/v1/products/60000/devices"),
    ]
    async with copy_of(universe, tmp_path / "timed") as wire:
        for pair in pairs:
            took: dict[str, list[float]] = {path: [] for path in pair}
            for path in pair * 200:
                began = time.perf_counter()
                await wire.ask("GET", path, token)
                took[path].append(time.perf_counter() - began)
            there, missing = (statistics.median(took[path]) for path in pair)
            assert abs(there - missing) < 200e-6, (pair, there, missing)


async def test_every_row_is_somebodys(universe: Universe) -> None:
    """A guarded row that nobody of the universe may use has no rule (or the universe lacks whom it is for)."""
    reached = {
        (cell.row.method, cell.template)
        for kind in KINDS
        for cell in cells(universe, kind)
        if isinstance(cell.verdict, Reached | Open)
    }
    assert {(row.method, path) for row in ROWS for path in row.paths} - reached == set()


async def test_every_row_is_done_by_somebody() -> None:
    """What everybody is allowed is nothing if it fails: somebody is answered with a success. After the others."""
    if len(ASKED) < len(KINDS):
        pytest.skip("not everybody has tried: run the whole file")
    guarded = [row for row in ROWS if not isinstance(row.access, Public | ClientCredentials | AnyToken)]
    failed = {row.handler for row in guarded if (row.method, row.paths) not in DONE}
    assert failed == set(NEVER_DONE)


async def test_every_row_refuses_somebody(universe: Universe) -> None:
    """The other way round: a guarded row that refuses no kind of token on anything, but for what answers all alike."""
    refused = {
        (cell.row.method, cell.template)
        for kind in KINDS
        if kind.of is not None
        for cell in cells(universe, kind)
        if isinstance(cell.verdict, Exactly | NotTheirs)
    }
    alike = {
        (row.method, path)
        for row in ROWS
        for path in row.paths
        if isinstance(row.access, Public | ClientCredentials | AnyToken)
    }
    assert {(row.method, path) for row in ROWS for path in row.paths} - refused - alike == set()
