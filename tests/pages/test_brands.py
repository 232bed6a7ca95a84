"""A product's name on its pages and in its mail, which a real mail server takes; two products, two worlds."""

import asyncio
import re
from email.message import Message
from typing import Any

import httpx
import pytest

from cloudchamber.testing import Cloud
from tests.api.conftest import bearer
from tests.identity.test_outbox import Inbox, inbox
from tests.pages.conftest import PASSWORD, REDIRECT, Scene, scene
from tests.pages.test_authorize import asking

__all__ = ["inbox", "scene"]


@pytest.fixture
def settings(inbox: Inbox) -> dict[str, Any]:
    return {"smtp": f"smtp://127.0.0.1:{inbox.port}", "mail_from": "noreply@lamp.example"}


async def brand(scene: Scene, name: str) -> None:
    path = f"/v1/products/{scene.maker.product}"
    settings = {"product": {"settings": {"branding": {"name": name}}}}
    changed = await scene.http.put(path, json=settings, headers=bearer(scene.maker.token))
    assert changed.status_code == 200, changed.text


async def mail(inbox: Inbox, number: int) -> Message:
    async with asyncio.timeout(10):
        while len(inbox.messages) < number:
            await asyncio.sleep(0.02)
    return inbox.messages[number - 1][1]


def link(message: Message) -> str:
    body = message.get_payload(decode=True)
    assert isinstance(body, bytes)
    found = re.search(r"https?://\S+/oauth/reset\?\S+", body.decode())
    assert found, body
    return found[0]


async def test_a_forgotten_password(scene: Scene, inbox: Inbox) -> None:
    await brand(scene, "Lamps & Co")
    async with scene.browser() as browser:
        await scene.sign_up(browser)
        for name in ("kim@example.com", "nobody@example.com"):
            page = await browser.get(f"/oauth/forgot?client_id={scene.web[0]}")
            assert "Lamps &amp; Co" in page.text
            page = await browser.submit(page, username=name)
            assert "a mail with a link is on its way" in page.text
        message = await mail(inbox, 1)
        assert inbox.messages[0][0] == ["kim@example.com"]
        assert message["From"] == "Lamps & Co <noreply@lamp.example>"
        assert message["Subject"] == "Lamps & Co: choose a new password"
        assert not (scene.cloud.data / "mail").exists()

        page = await browser.get(link(message))
        page = await browser.submit(page, password="another horse battery")
        assert "The new password is set." in page.text
        # Once; and nobody got one who is not there.
        page = await browser.get(link(message))
        page = await browser.submit(page, password="a third horse battery")
        assert page.status == 400
        assert len(inbox.messages) == 1
        # The log-ins of before are over, and the new password is the one.
        assert (await browser.get(f"/setup?client_id={scene.web[0]}")).heading == "Sign in"
    form = {"grant_type": "password", "username": "kim@example.com"}
    for password, status in ((PASSWORD, 400), ("another horse battery", 200)):
        answer = await scene.http.post("/oauth/token", data=form | {"password": password}, auth=scene.maker.client)
        assert answer.status_code == status


async def test_an_app_asks_for_the_mail(scene: Scene, inbox: Inbox) -> None:
    async with scene.browser() as browser:
        await scene.sign_up(browser)
    path = f"/v1/products/{scene.maker.product}/customers/reset_password"
    answer = await scene.http.post(path, data={"email": "kim@example.com"}, auth=scene.maker.client)
    assert answer.json() == {"ok": True}
    shown = await scene.http.get(f"/v1/products/{scene.maker.product}", headers=bearer(scene.maker.token))
    name = shown.json()["product"]["name"]
    assert (await mail(inbox, 1))["Subject"] == f"{name}: choose a new password"


async def test_each_product_has_its_own_brand_and_its_own_people(scene: Scene) -> None:
    await brand(scene, "Lamps & Co")
    wanted = {"name": "Kettle", "description": "Kettle", "platform_id": 6}
    headers = bearer(scene.maker.token)
    made = await scene.http.post("/v1/user/products", json={"product": wanted}, headers=headers)
    path = f"/v1/products/{made.json()['product']['id']}/clients"
    fields = {"name": "Kettle Web", "type": "web", "redirect_uri": REDIRECT}
    kettle = (await scene.http.post(path, json=fields, headers=headers)).json()["client"]["id"]
    async with scene.browser() as browser:
        await scene.sign_up(browser)
        page = await browser.get(asking(scene.web[0]))
        assert (page.heading, "Lamps &amp; Co" in page.text, "Kettle" in page.text) == ("Allow Lamp Web?", True, False)
        # Who is signed in at one product is nobody at the other's.
        page = await browser.get(asking(kettle))
        assert (page.heading, "Kettle" in page.text, "Lamps" in page.text) == ("Sign in", True, False)
        page = await browser.submit(page, username="kim@example.com", password=PASSWORD)
        assert "E-mail or password is wrong." in page.text


async def test_without_a_mail_server_the_mail_lies_in_the_data_folder() -> None:
    async with Cloud() as cloud, httpx.AsyncClient(base_url=cloud.url) as http:
        await http.post("/v1/users", json={"username": "ann@example.com", "password": PASSWORD})
        await http.post("/v1/user/password-reset", json={"username": "ann@example.com"})
        async with asyncio.timeout(10):
            while not (found := list((cloud.data / "mail").glob("*.eml"))):
                await asyncio.sleep(0.02)
        assert "ann@example.com" in found[0].read_text()
