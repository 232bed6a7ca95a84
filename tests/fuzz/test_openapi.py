"""Requests that are made from the OpenAPI document, by schemathesis: as it says they should be and as they should not,
with the tokens of every kind of requester, on things that are there and things that are not.

No request may be answered by a 5xx that is not declared, by a status or content type that the document does not name,
or by a body that its schema does not describe; that no field is there beside the declared ones is seen by
tests/contract.py. The short form asks each operation a few times, always the same; `make soak` asks much more, and
anew each time.
"""

import asyncio
import contextlib
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import schemathesis
import uvloop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.generation import GenerationMode

from cloudchamber.api.openapi import openapi
from cloudchamber.api.routes import FAMILIES, ROUTES, enabled
from cloudchamber.settings import Compat
from cloudchamber.testing import Cloud
from tests.matrix import universe as made
from tests.matrix.samples import sample
from tests.matrix.universe import KINDS, Thing, Universe
from tests.matrix.verdicts import Reached, verdict

# The cloud's own draws, in its thread, look to hypothesis as if a strategy had made them.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

CHECKS: Final = (status_code_conformance, content_type_conformance, response_schema_conformance)
# Variables and functions of the device that is online.
NAMES: Final = ("counter", "temperature", "motd", "flag", "lightsOn", "brew", "fail")
STREAM: Final = "text/event-stream"


def document() -> dict[str, Any]:
    """Without security: which token goes with a request is chosen here, and would be sent twice."""
    found = openapi(FAMILIES, Compat())
    del found["components"]["securitySchemes"]
    for item in found["paths"].values():
        for operation in item.values():
            del operation["security"]
    return found


ROWS: Final = {
    (row.method, path.replace(":path}", "}")): (row, path) for row in enabled(ROUTES, Compat()) for path in row.paths
}
SCHEMA: Final = schemathesis.openapi.from_dict(document())


def operations(*, later: bool) -> list[Any]:
    """Those that answer at once; what is not built yet reads nothing of its request."""
    found = [result.ok() for result in SCHEMA.get_all_operations()]
    return [
        each
        for each in found
        if (each.definition.raw["tags"] == ["Not yet"]) is later
        and STREAM not in each.definition.raw["responses"].get("200", {}).get("content", {})
    ]


class Server:
    """A cloud in a thread of its own, with a customer's device online: schemathesis speaks by blocking calls."""

    def __init__(self, folder: Path, device: Thing) -> None:
        self.folder = folder
        self._device = device
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with Cloud(data=self.folder, rate_limits="off", ping_timeout_s=0.5, function_timeout_s=2.0) as cloud:
            await cloud.start_device(self._device.id, product_id=self._device.product)
            self.url = cloud.url
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> "Server":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()


class Target:
    """A copy of the universe. Some requests delete accounts and end tokens: then it is made anew."""

    def __init__(self, universe: Universe, folder: Path) -> None:
        self.universe = universe
        self._folder = folder
        self._count = 0
        self._exit = contextlib.ExitStack()
        self.session = requests.Session()
        self.url = ""
        self.statuses: Counter[int] = Counter()

    def is_whole(self) -> bool:
        return bool(self.url) and all(
            self.session.get(f"{self.url}{path}", headers=self.headers(kind), timeout=20).status_code == 200
            for kind in ("the owner of the product", "a customer", "the product's client")
            for path in ("/v1/access_tokens/current", "/v1/devices")
        )

    def refresh(self) -> None:
        self.close()
        self._count += 1
        folder = self._folder / str(self._count)
        shutil.copytree(self.universe.folder, folder)
        self.url = self._exit.enter_context(Server(folder, self.universe.devices["a customer's device"])).url

    def headers(self, kind: str) -> dict[str, str]:
        token = self.universe.tokens.get(kind)
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def close(self) -> None:
        self._exit.close()
        self.session.close()
        self.session = requests.Session()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    target = Target(uvloop.run(made.make(folder / "original", migrated_file)), folder)
    yield target
    target.close()


def ask(target: Target, operation: Any, examples: int, *, always_the_same: bool) -> None:
    if not target.is_whole():
        target.refresh()
    positive = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    strategies = [positive]
    if operation.body or operation.query:
        strategies += [positive, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)]
    row, template = ROWS[operation.method.upper(), operation.path]
    cells = [(kind, place) for kind in KINDS for place in target.universe.places(template)]
    # Those who may come as far as the handler are asked more often than all others.
    allowed = [cell for cell in cells if isinstance(verdict(row, template, *cell, target.universe), Reached)] or cells

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=always_the_same,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.data())
    def asked(data: st.DataObject) -> None:
        case = data.draw(st.one_of(strategies))
        kind, place = data.draw(st.sampled_from(data.draw(st.sampled_from([allowed, allowed, cells]))))
        if data.draw(st.integers(0, 4)):
            case.path_parameters = {
                name: place.values.get(name, given) for name, given in (case.path_parameters or {}).items()
            }
        if "name" in (case.path_parameters or {}) and data.draw(st.booleans()):
            case.path_parameters["name"] = data.draw(st.sampled_from(NAMES))
        if isinstance(case.body, dict) and row.request is not None and data.draw(st.booleans()):
            # What is honest goes deeper.
            case.body = case.body | sample(row.request)
        response = case.call(
            base_url=target.url,
            session=target.session,
            headers=target.headers(kind.name),
            timeout=20,
            allow_redirects=False,
        )
        target.statuses[response.status_code] += 1
        declared = {int(status) for status in operation.definition.raw["responses"]}
        checks = [*CHECKS, *([] if response.status_code in declared else [not_a_server_error])]
        case.validate_response(response, checks=checks)

    asked()


def name(operation: Any) -> str:
    return f"{operation.method.upper()} {operation.path}"


@pytest.mark.parametrize("operation", operations(later=False), ids=name)
def test_each_operation_keeps_to_the_document(target: Target, operation: Any) -> None:
    ask(target, operation, 15, always_the_same=True)


@pytest.mark.parametrize("operation", operations(later=True)[::8], ids=name)
def test_what_is_not_built_yet_does_so_too(target: Target, operation: Any) -> None:
    ask(target, operation, 2, always_the_same=True)


def test_enough_of_them_came_through(target: Target) -> None:
    """Requests that are all refused would find nothing."""
    asked = target.statuses.total()
    done = sum(count for status, count in target.statuses.items() if status < 300)
    assert asked < 1_000 or done > asked / 8, "where the tests above ran, too"


@pytest.mark.soak
@pytest.mark.parametrize("operation", operations(later=False), ids=name)
def test_each_operation_keeps_to_the_document_for_long(target: Target, operation: Any) -> None:
    ask(target, operation, 200, always_the_same=False)


@pytest.mark.soak
@pytest.mark.parametrize("operation", operations(later=True), ids=name)
def test_all_that_is_not_built_yet_does_so_too(target: Target, operation: Any) -> None:
    ask(target, operation, 5, always_the_same=False)
