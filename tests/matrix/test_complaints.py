"""What is wrong with a request is no business of those who may not make it.

Each route, as nobody, with a token that is not there, as strangers and as a member whose role is not enough: a request
of which nothing can be read, and one in which every field says what makes no sense, is answered to the byte as the
sound one. And the other way round: whoever may make the request is told what is wrong with it.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import pytest

from cloudchamber.api.reply import encode_json
from cloudchamber.api.rights import Rights
from cloudchamber.api.routes import BearerOrClient, Route
from tests.matrix.test_matrix import SAFE, Cell, cells, copy_of
from tests.matrix.universe import FIELD, KINDS, NO_SUCH, Universe
from tests.matrix.verdicts import Exactly, NotTheirs, Reached
from tests.matrix.wire import Answer, Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKING: Final = ("nobody", "a user with a device", "a customer of another product", "a viewer")
ALLOWED: Final = (
    "the owner of the product",
    "support",
    "a customer",
    "the organization's client",
    "an API user of the product",
)
# What differs between the other devices of strangers is for the matrix.
ENOUGH: Final = ("a customer's device", "a user's device", "an unknown device")
# They say who is asking, and not what for.
CREDENTIALS: Final = frozenset({"client_id", "client_secret", "response_type"})
UNREADABLE: Final = ("name=%FF", b"{")
COMPLAINT: Final = {"ok": False, "error": "The form is not UTF-8"}
# No reader takes any of these; what no route knows is passed over.
SENSELESS: Final = "page=x&perPage=-1&per_page=-1&all=maybe&nobody=knows&sortAttr[x]=1&name[x]=1&start_date=x&rect_bl=1"


def senseless(row: Route) -> tuple[str, bytes]:
    """A query and a body that can be read, and in which no field is as it should be."""
    document = row.request[0] if isinstance(row.request, tuple) else row.request
    fields = [] if document is None else [field.encode_name for field in msgspec.structs.fields(document)]
    names = {*fields, "nobody", "role", "signal", "settings"} - CREDENTIALS
    return SENSELESS, msgspec.json.encode({name: [{"nobody": ["knows"]}] for name in names})


async def ask_wrong(wire: Wire, universe: Universe, cell: Cell, query: str, body: bytes) -> Answer:
    path = cell.place.path(cell.template)
    sent = None if cell.row.method in SAFE else body
    return await wire.ask(cell.row.method, f"{path}?{query}", universe.tokens.get(cell.kind.name), sent)


def refused(universe: Universe, name: str) -> Iterator[Cell]:
    (kind,) = (kind for kind in KINDS if kind.name == name)
    seen = set()
    for cell in cells(universe, kind):
        is_new = name != "nobody" or (cell.row.method, cell.template) not in seen
        is_one_of_many = cell.place.device is not None and not cell.place.label.endswith(ENOUGH)
        if is_new and not is_one_of_many and isinstance(cell.verdict, Exactly | NotTheirs):
            seen.add((cell.row.method, cell.template))
            yield cell


def unknown(cell: Cell) -> Cell:
    """The same of a thing that nobody has."""
    things = {field: NO_SUCH for field in FIELD.findall(cell.template) if field not in ("product", "organization")}
    return replace(cell, place=replace(cell.place, values={**cell.place.values, **things}))


@pytest.mark.parametrize("name", ASKING, ids=lambda name: name.replace(" ", "-"))
async def test_33_who_may_not_ask_learns_nothing_by_asking_badly(universe: Universe, name: str, tmp_path: Path) -> None:
    asked = list(refused(universe, name))
    async with copy_of(universe, tmp_path / "copy") as wire:
        problems = [problem for cell in asked async for problem in learned(wire, universe, cell)]
    assert len(asked) > 300
    assert not problems, f"{len(problems)} of {2 * len(asked)}:\n" + "\n".join(problems)


async def learned(wire: Wire, universe: Universe, cell: Cell) -> AsyncIterator[str]:
    """How an answer to a request that is wrong is another than the refusal."""
    for query, body in (UNREADABLE, senseless(cell.row)):
        if cell.kind.of is None and isinstance(cell.row.access, BearerOrClient) and query == UNREADABLE[0]:
            body = b"{}"  # where the body can say who asks, and cannot be read, nobody knows that it does not
        answer = await ask_wrong(wire, universe, cell, query, body)
        if isinstance(cell.verdict, Exactly):
            # As test_matrix.py has it of the sound request.
            status, text = cell.verdict.answer.status, encode_json(cell.verdict.answer.body)
        else:
            missing = await ask_wrong(wire, universe, unknown(cell), query, body)
            status, text = missing.status, missing.raw
        if (answer.status, answer.raw) != (status, b"" if cell.row.method == "HEAD" else text):
            yield f"{cell} {query}: {answer.status} {answer.raw!r}, not {status} {text!r}"


@pytest.mark.parametrize("name", ALLOWED, ids=lambda name: name.replace(" ", "-"))
async def test_who_may_ask_is_told_what_is_wrong(universe: Universe, name: str, tmp_path: Path) -> None:
    (kind,) = (kind for kind in KINDS if kind.name == name)
    asked = [cell for cell in cells(universe, kind) if isinstance(cell.verdict, Reached)]
    async with copy_of(universe, tmp_path / "copy") as wire:
        for cell in asked:
            answer = await ask_wrong(wire, universe, cell, *UNREADABLE)
            assert (answer.status, answer.body) in ((400, COMPLAINT), (400, None)), (str(cell), answer)
            assert answer.body is not None or cell.row.method == "HEAD", str(cell)
    assert len(asked) > 50


async def test_complaints_that_are_told_to_everybody_are_seen(
    universe: Universe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test itself is tried: nobody asks for the right before somebody complains."""

    async def ask_nobody(*_args: object) -> None:
        pass

    monkeypatch.setattr(Rights, "ask", ask_nobody)
    asked = [cell for cell in refused(universe, "a user with a device") if cell.row.handler == "product_devices.list"]
    async with copy_of(universe, tmp_path / "copy") as wire:
        seen = [cell for cell in asked if [problem async for problem in learned(wire, universe, cell)]]
    assert seen == asked != []
