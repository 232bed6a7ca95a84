"""Devices without a keyboard (RFC 8628), over real sockets."""

import pytest

from cloudchamber.clock import SECOND
from cloudchamber.oauth.web import rules
from tests.api.conftest import bearer
from tests.pages.conftest import Scene

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


async def begin(scene: Scene, **more: str) -> dict[str, str]:
    answer = await scene.http.post("/oauth/device_authorization", data={"client_id": scene.native[0]} | more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def poll(scene: Scene, device_code: str, **more: str) -> tuple[int, dict[str, str]]:
    form = {"grant_type": GRANT, "device_code": device_code, "client_id": scene.native[0]}
    answer = await scene.http.post("/oauth/token", data=form | more)
    return answer.status_code, answer.json()


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudchamber.oauth.web.device_grants.POLL_INTERVAL_S", 0)


@pytest.mark.usefixtures("_quick")
async def test_31_a_device_is_approved(scene: Scene) -> None:
    begun = await begin(scene)
    assert begun["verification_uri"] == f"{scene.cloud.url}/device"
    assert begun["expires_in"] <= 600
    status, answer = await poll(scene, begun["device_code"])
    assert (status, answer["error"]) == (400, "authorization_pending")
    async with scene.browser() as browser:
        await scene.sign_up(browser)
        page = await browser.get("/device")
        page = await browser.submit(page, user_code=begun["user_code"].lower().replace("-", " "))
        assert page.heading == "Allow Lamp Tool?"
        page = await browser.submit(page, "approve")
        assert page.heading == "Done"
    status, token = await poll(scene, begun["device_code"])
    assert status == 200, token
    assert (await scene.http.get("/v1/devices", headers=bearer(token["access_token"]))).json() == []
    status, answer = await poll(scene, begun["device_code"])
    assert (status, answer["error"]) == (400, "invalid_grant")
    form = {"grant_type": "refresh_token", "client_id": scene.native[0], "refresh_token": token["refresh_token"]}
    assert (await scene.http.post("/oauth/token", data=form)).status_code == 200


@pytest.mark.usefixtures("_quick")
async def test_31_a_device_is_denied_or_forgotten(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = await begin(scene)
    async with scene.browser() as browser:
        await scene.sign_up(browser)
        page = await browser.get(f"/device?user_code={begun['user_code']}")
        assert (await browser.submit(page, "deny")).heading == "Not allowed"
    status, answer = await poll(scene, begun["device_code"])
    assert (status, answer["error"]) == (400, "access_denied")
    monkeypatch.setattr("cloudchamber.oauth.web.device_grants.DEVICE_GRANT_LIFETIME_S", 0)
    begun = await begin(scene)
    status, answer = await poll(scene, begun["device_code"])
    assert (status, answer["error"]) == (400, "expired_token")
    for change in ({"device_code": "0" * 40}, {"client_id": scene.web[0]}):
        status, answer = await poll(scene, **({"device_code": begun["device_code"]} | change))
        assert (status, answer["error"]) == (400, "invalid_grant")


async def test_31_who_asks_too_often_is_told_to_slow_down(scene: Scene) -> None:
    begun = await begin(scene)
    assert begun["interval"] == rules.POLL_INTERVAL_S
    errors = [(await poll(scene, begun["device_code"]))[1]["error"] for _ in range(3)]
    assert errors == ["authorization_pending", "slow_down", "slow_down"]
    assert rules.POLL_INTERVAL_S * SECOND >= 5_000


@pytest.mark.parametrize("settings", [{"rate_limits": "on"}])
async def test_31_guesses_at_a_code_are_limited(scene: Scene) -> None:
    await begin(scene)
    async with scene.browser() as browser:
        statuses = [(await browser.get(f"/device?user_code=BCDF-GHJ{letter}")).status for letter in "BCDFGHJKLMNP"]
    assert statuses[:10] == [404] * 10
    assert statuses[10:] == [429, 429]


async def test_what_no_device_can_ask(scene: Scene) -> None:
    for form, message in [
        ({"scope": "x"}, "Invalid or missing client_id parameter"),
        ({"client_id": "nobody-1"}, "Client credentials are invalid"),
        ({"client_id": scene.native[0], "client_secret": "0" * 40}, "Client credentials are invalid"),
    ]:
        answer = await scene.http.post("/oauth/device_authorization", data=form)
        assert (answer.status_code, answer.json()["error_description"]) == (400, message)
    limited = await scene.client(name="Limited", type="installed", scope="devices:list")
    wide = {"client_id": limited[0], "scope": "devices:list clients:create"}
    answer = await scene.http.post("/oauth/device_authorization", data=wide)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
