"""What is not built yet, and what clients ask for in passing."""

import re

import httpx
import pytest

from cloudchamber.api.routes import Route
from cloudchamber.api.routes.later import FAMILY
from tests.api.conftest import Api, Maker, bearer
from tests.api.test_edge import no_token, oauth_error

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_TOKEN = "0" * 40


def filled(path: str) -> str:
    return re.sub(r"{\w+:path}", "a/b", path).replace("{", "").replace("}", "")


async def test_everything_that_is_not_there_yet_says_what_it_would_do(http: httpx.AsyncClient, maker: Maker) -> None:
    tokens = [maker.token, maker.product_token, await maker.customer("later@example.com")]
    places = [(row, path) for row in FAMILY.routes for path in row.paths]
    for number, (row, path) in enumerate(places):
        token = tokens[number % len(tokens)]
        answer = await http.request(row.method, filled(path), headers=bearer(token), json={"a": 1})
        text = f"Not available on this server yet. What it would do: {row.summary}"
        assert (answer.status_code, answer.json()) == (501, {"ok": False, "error": text}), (row.method, path)


@pytest.mark.parametrize("row", FAMILY.routes[::10], ids=lambda row: f"{row.method} {row.paths[0]}")
async def test_they_need_a_token_all_the_same(http: Api, row: Route) -> None:
    path = filled(row.paths[0])
    assert oauth_error(await http.request(row.method, path)) == no_token(http)
    assert oauth_error(await http.request(row.method, path, headers=bearer(UNKNOWN_TOKEN)))[0] == 401


async def test_a_limited_token_is_told_the_same(http: Api, maker: Maker) -> None:
    sent = {"name": "narrow", "type": "installed", "scope": "customers:create"}
    made = await http.post(f"/v1/products/{maker.product}/clients", json=sent, headers=bearer(maker.token))
    client = made.json()["client"]
    credentials = (client["id"], client["secret"])
    issued = await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=credentials)
    narrow = bearer(issued.json()["access_token"])
    assert (await http.get("/v1/ledgers", headers=narrow)).status_code == 501
    assert (await http.get("/v1/sims", headers=narrow)).status_code == 200
    assert (await http.get("/v1/devices", headers=narrow)).status_code == (403 if http.is_strict else 400)


async def test_sim_cards(http: Api, maker: Maker, stranger: Maker) -> None:
    none = {"sims": [], "meta": {"total_pages": 0}}
    for path in ("/v1/sims", f"/v1/products/{maker.product}/sims"):
        assert (await http.get(path, headers=bearer(maker.token))).json() == none
    foreign = await http.get(f"/v1/products/{maker.product}/sims", headers=bearer(stranger.token))
    assert (foreign.status_code, foreign.json()) == (404, {"ok": False, "error": "Permission denied"})
    # The SDK takes an empty 200 for a failure. iOS writes a slash at the end.
    for path in ("/v1/sims/8934076500002586220", "/v1/sims/8934076500002586220/"):
        checked = await http.head(path, headers=bearer(maker.token))
        assert (checked.status_code, checked.content) == (204, b"")
    assert (await http.head("/v1/sims/8934076500002586220")).status_code == no_token(http)[0]
    assert (await http.get("/v1/sims/8934076500002586220", headers=bearer(maker.token))).status_code == 501


async def test_there_is_no_compiler(http: httpx.AsyncClient, maker: Maker) -> None:
    sources = {"file": ("app.ino", b"void loop() {}"), "file2": ("lib.h", b"")}
    answer = await http.post("/v1/binaries", data={"platform_id": "6"}, files=sources, headers=bearer(maker.token))
    assert answer.status_code == 501
    (text,) = answer.json()["errors"]
    assert text.startswith("Compiling is not available on this server")
    gone = await http.get("/v1/binaries/5aa86b2b3dd14b3a6b000000", headers=bearer(maker.token))
    assert (gone.status_code, gone.json()) == (404, {"ok": False, "error": "Binary not found"})
    assert (await http.post("/v1/binaries", headers=bearer(maker.product_token))).status_code == 403
    targets = (await http.get("/v1/build_targets?featured=true", headers=bearer(maker.token))).json()
    assert targets["targets"] == []
    assert targets["platforms"]["Electron"] == 10
    versions = await http.get("/v1/device-os/versions?platform_id=6", headers=bearer(maker.token))
    assert versions.json() == {"versions": [], "meta": {"total_pages": 0}}
    assert (await http.get("/v1/device-os/versions/6.2.0", headers=bearer(maker.token))).status_code == 404
    newer = await http.get("/v1/system_firmware/upgrade", headers=bearer(maker.token))
    assert (newer.status_code, newer.content) == (204, b"")


@pytest.mark.parametrize("word", ["ping", "unprotect", "backup_files", "network"])
async def test_a_function_or_variable_may_be_called_like_a_keyword(
    http: httpx.AsyncClient, maker: Maker, word: str
) -> None:
    """An unknown device says so on every verb; the keyword's own method answers for itself."""
    for method in ("GET", "POST"):
        answer = await http.request(method, f"/v1/devices/{'0' * 24}/{word}", headers=bearer(maker.token))
        assert answer.status_code == 403
        assert answer.json()["error"] == "Permission Denied"
