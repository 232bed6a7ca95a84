"""The watch itself: it sees what it is there to see."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from cloudchamber.access.model import Action
from cloudchamber.api.routes import Bearer, Raw, Stream, route
from cloudchamber.api.schemas.common import Ok, Open
from tests.contract import JSON, NOT_FOUND, faults
from tests.processes import cloudchamber


class Inner(msgspec.Struct):
    a: int


class Outer(msgspec.Struct):
    inner: Inner | None
    many: list[Inner]
    named: dict[str, Inner]


class Loose(Open):
    a: int


def row(answer: Any, path: str = "/v1/x/{name}", **more: Any) -> Any:
    return route("GET", path, Bearer(Action.DEVICES_GET), "x.y", answer=answer, **more)


def found(answer: Any, status: int, body: Any, content_type: str | None = JSON, **more: Any) -> list[str]:
    data = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
    return list(
        faults(row(answer, **more), "GET", status, content_type, data, is_stream=content_type == "text/event-stream")
    )


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (Ok, 200, {"ok": True}),
        (list[Ok], 200, [{"ok": True}]),
        ((Ok, Inner), 200, {"a": 1}),
        (Outer, 200, {"inner": None, "many": [], "named": {"x": {"a": 1}}}),
        (Loose, 200, {"a": 1, "b": 2}),
        ({204: None}, 204, None),
        (Ok, 404, {"ok": False, "error": "x"}),
        (Ok, 400, {"error": "invalid_request", "error_description": "x"}),
    ],
)
def test_what_is_declared_passes(answer: Any, status: int, body: Any) -> None:
    assert found(answer, status, body) == []


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (Ok, 201, {"ok": True}),
        (Ok, 200, {"ok": "yes"}),
        (Ok, 200, {"ok": True, "secret": "x"}),
        (Ok, 200, None),
        (list[Ok], 200, {"ok": True}),
        (list[Ok], 200, [{"ok": True, "x": 1}]),
        ((Ok, Inner), 200, {"b": 1}),
        (Outer, 200, {"inner": {"a": 1, "b": 1}, "many": [], "named": {}}),
        (Outer, 200, {"inner": None, "many": [{"a": 1, "b": 1}], "named": {}}),
        (Outer, 200, {"inner": None, "many": [], "named": {"x": {"a": 1, "b": 1}}}),
        ({204: None}, 204, {"ok": True}),
        (Ok, 404, {"message": "x"}),
        (Ok, 404, {"ok": False, "error": "x", "secret": "y"}),
        (Ok, 500, {"ok": False, "error": "x"}),
        (Ok, 418, {"ok": False, "error": "x"}),
    ],
)
def test_what_is_not_declared_is_found(answer: Any, status: int, body: Any) -> None:
    assert len(found(answer, status, body)) == 1


def test_statuses_follow_from_the_row() -> None:
    refused = {"ok": False, "error": "x"}
    assert found(Ok, 404, refused) == []
    assert len(found(Ok, 404, refused, path="/v1/x")) == 1
    assert len(found(Ok, 408, refused)) == 1
    assert found(Ok, 408, refused, errors=(408,)) == []


def test_what_is_no_json() -> None:
    assert found(Raw("text/plain"), 200, b"1", "text/plain") == []
    assert len(found(Raw("text/plain"), 200, b"1", "text/html")) == 1
    assert found(Stream(), 200, None, "text/event-stream") == []
    assert len(found(Stream(), 200, b"{}")) == 1
    assert len(found(Ok, 200, None, "text/event-stream")) == 1


def test_paths_that_no_row_has() -> None:
    assert list(faults(None, "GET", 404, JSON, NOT_FOUND, is_stream=False)) == []
    assert len(list(faults(None, "GET", 404, JSON, b"{}", is_stream=False))) == 1
    assert len(list(faults(None, "GET", 200, JSON, b'{"ok":true}', is_stream=False))) == 1


def test_processes_are_watched(tmp_path: Path) -> None:
    """As no shape of an error is declared here, each error is at fault."""
    program = "import tests.contract, tests.watched; tests.contract.ERRORS = (); tests.watched.main()"
    with (
        pytest.raises(AssertionError, match="GET /v1/nothing: status 404"),
        cloudchamber.serve(tmp_path, program=("-c", program)) as cloud,
    ):
        assert httpx.get(f"{cloud.url}/v1/nothing").status_code == 404
