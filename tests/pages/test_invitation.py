"""An invitation's link, from the mail to the team."""

import asyncio
import email
import re
from email.policy import default
from typing import Any

import pytest

from tests.api.conftest import bearer
from tests.pages.conftest import PASSWORD, Scene


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"invitations": "by-mail"}


async def mailed_link(scene: Scene, to: str) -> str:
    for _ in range(200):
        for path in (scene.cloud.data / "mail").glob("*.eml"):
            mail = email.message_from_bytes(path.read_bytes(), policy=default)
            if mail["To"] == to and (found := re.search(r"http\S+code=\w+", str(mail.get_content()))):
                return found[0].removeprefix(scene.cloud.url)
        await asyncio.sleep(0.05)
    raise AssertionError(f"no mail went to {to}")


async def team(scene: Scene) -> dict[str, bool]:
    path = f"/v1/products/{scene.maker.product}/team"
    listed = (await scene.http.get(path, headers=bearer(scene.maker.token))).json()["team"]
    return {each["username"]: each.get("pending", False) for each in listed}


async def test_who_holds_the_mail_joins_and_a_look_at_the_link_changes_nothing(scene: Scene) -> None:
    path = f"/v1/products/{scene.maker.product}/team"
    sent = {"username": "joe@example.com", "role": "Support"}
    answer = await scene.http.post(path, json=sent, headers=bearer(scene.maker.token))
    assert answer.json() == {"ok": True, "invited": {"username": "joe@example.com"}}
    link = await mailed_link(scene, "joe@example.com")
    for name in ("eve@example.com", "joe@example.com"):
        await scene.http.post("/v1/users", json={"username": name, "password": PASSWORD})
    assert (await team(scene))["joe@example.com"] is True
    async with scene.browser() as browser:
        page = await browser.get(link)
        page = await browser.submit(page, username="eve@example.com", password=PASSWORD)
        page = await browser.submit(page, "join")
        assert (page.status, "another account" in page.text) == (400, True)
        page = await browser.submit(page, "sign_out", form=1)
        page = await browser.submit(page, username="joe@example.com", password=PASSWORD)
        assert "signed in as <strong>joe@example.com" in page.text
        assert (await team(scene))["joe@example.com"] is True
        page = await browser.submit(page, "join")
        assert "You are in the team now." in page.text
    assert (await team(scene)) == {"maker@example.com": False, "joe@example.com": False}


async def test_a_program_joins_by_the_api(scene: Scene) -> None:
    sent = {"username": "joe@example.com"}
    await scene.http.post(f"/v1/products/{scene.maker.product}/team", json=sent, headers=bearer(scene.maker.token))
    code = (await mailed_link(scene, "joe@example.com")).partition("code=")[2]
    await scene.http.post("/v1/users", json={"username": "joe@example.com", "password": PASSWORD})
    form = {"grant_type": "password", "username": "joe@example.com", "password": PASSWORD}
    token = (await scene.http.post("/oauth/token", data=form, auth=("particle", "particle"))).json()["access_token"]
    answer = await scene.http.post("/v1/user/invitations", json={"code": "0" * 40}, headers=bearer(token))
    assert (answer.status_code, answer.json()["ok"]) == (400, False)
    answer = await scene.http.post("/v1/user/invitations", json={"code": code}, headers=bearer(token))
    assert answer.json() == {"ok": True}
    assert (await team(scene))["joe@example.com"] is False
