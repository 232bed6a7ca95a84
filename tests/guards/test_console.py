"""The console's rows: each names what it takes, and says what it does."""

import re

import pytest

from cloudchamber.access.model import Action
from cloudchamber.api.routes import ROUTES as API
from cloudchamber.api.routes import Console, Page, Public, Route
from cloudchamber.app import is_of_console
from cloudchamber.console.sections import ROUTES, SECTIONS

GUARDED = [row for row in ROUTES if isinstance(row.access, Console)]
FORMS = [row for row in GUARDED if row.method == "POST"]


def name(row: Route) -> str:
    return f"{row.method} {row.paths[0]}"


def test_every_row_is_guarded_or_known_to_be_open() -> None:
    is_open = {name(row) for row in ROUTES if not isinstance(row.access, Console)}
    assert is_open == {"GET /", "GET /console/sign-in", "POST /console/sign-in", "GET /console/static/{name}"}
    assert all(isinstance(row.access, Page) or name(row) == "GET /console/static/{name}" for row in ROUTES)
    assert all(isinstance(row.access, Public) and row.access.reason for row in ROUTES)
    assert all(isinstance(row.access.action, Action) for row in GUARDED)  # type: ignore[union-attr]
    assert len({row.handler for row in ROUTES}) == len(ROUTES)


def test_the_server_asks_the_console_for_its_paths_and_no_others() -> None:
    assert all(is_of_console(path) for row in ROUTES for path in row.paths)
    assert not [path for row in API for path in row.paths if is_of_console(path)]


@pytest.mark.parametrize("row", ROUTES, ids=name)
def test_every_row_says_what_it_does(row: Route) -> None:
    assert re.fullmatch(r"[A-Z].*\.", row.summary)
    assert row.answer
    assert row.method in {"GET", "POST"}
    assert (row.request is not None) is (row.method == "POST")


def test_a_form_stands_on_a_page() -> None:
    """At its own path or one part above: there somebody goes whose session ended before they sent it."""
    pages = {path for row in GUARDED if row.method == "GET" for path in row.paths} | {"/console"}
    lost = [path for row in FORMS for path in row.paths if not {path, path.rpartition("/")[0]} & pages]
    assert lost == []


def test_sections_have_keys_of_their_own() -> None:
    assert len({section.key for section in SECTIONS}) == len(SECTIONS)
