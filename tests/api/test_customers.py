"""Customers after they were made: a new password by the team or by mail, and their end. Numbers are the security
checklist's statements."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from cloudchamber.testing import Cloud
from tests.api.conftest import Maker, bearer, make_maker

DEVICE = "0123456789abcdef01234567"
OLD, NEW = "an old password", "a new password"
KIM = "kim@example.com"


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with Cloud() as running:
        yield running


@pytest.fixture
async def maker(cloud: Cloud) -> AsyncIterator[Maker]:
    async with httpx.AsyncClient(base_url=cloud.url, timeout=20) as http:
        yield await make_maker(http, "maker@example.com")


def path(maker: Maker, rest: str = "") -> str:
    return f"/v1/products/{maker.product}/customers{rest}"


async def make_kim(maker: Maker) -> str:
    answer = await maker.http.post(path(maker), data={"email": KIM, "password": OLD}, auth=maker.client)
    assert answer.status_code == 201
    return str(answer.json()["access_token"])


async def logs_in(maker: Maker, password: str) -> bool:
    form = {"grant_type": "password", "username": KIM, "password": password}
    return (await maker.http.post("/oauth/token", data=form, auth=maker.client)).status_code == 200


async def mailed(cloud: Cloud) -> str:
    """The only mail, once it is there."""
    async with asyncio.timeout(10):
        while not (found := list((cloud.data / "mail").glob("*.eml"))):
            await asyncio.sleep(0.02)
    (mail,) = found
    text = mail.read_text()
    mail.unlink()
    return text


async def test_21_the_team_sets_a_password(maker: Maker) -> None:
    token = await make_kim(maker)
    for requester, status in [(bearer(token), 403), (bearer("0" * 40), 401)]:
        refused = await maker.http.put(path(maker, f"/{KIM}"), json={"password": NEW}, headers=requester)
        assert refused.status_code == status
    done = await maker.http.put(path(maker, f"/{KIM}"), json={"password": NEW}, headers=bearer(maker.token))
    assert done.json() == {"ok": True}
    assert (await maker.http.get("/v1/devices", headers=bearer(token))).status_code == 401
    assert (await logs_in(maker, OLD), await logs_in(maker, NEW)) == (False, True)
    unknown = await maker.http.put(path(maker, "/nobody"), json={"password": NEW}, headers=bearer(maker.token))
    assert (unknown.status_code, unknown.json()) == (404, {"ok": False, "error": "Customer not found"})


async def test_a_password_by_mail(maker: Maker, cloud: Cloud) -> None:
    token = await make_kim(maker)
    for email in ("nobody@example.com", KIM):
        asked = await maker.http.post(path(maker, "/reset_password"), data={"email": email}, auth=maker.client)
        assert (asked.status_code, asked.json()) == (200, {"ok": True})
    mail = await mailed(cloud)
    assert f"To: {KIM}" in mail
    assert 'From: "Product of maker@example.com" <' in mail
    link = re.search(
        r"https?://\S+/oauth/reset\?kind=customer&token=[0-9a-f]{40}", mail.replace("=\n", "").replace("=3D", "=")
    )
    assert link, mail
    page = await maker.http.get(link[0])
    assert page.status_code == 200
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
    short = await maker.http.post("/oauth/reset", data=fields | {"password": "x"})
    assert (short.status_code, "choose a longer one" in short.text) == (400, True)
    done = await maker.http.post("/oauth/reset", data=fields | {"password": NEW})
    assert "The new password is set." in done.text
    assert (await logs_in(maker, OLD), await logs_in(maker, NEW)) == (False, True)
    assert (await maker.http.get("/v1/devices", headers=bearer(token))).status_code == 401
    again = await maker.http.post("/oauth/reset", data=fields | {"password": "another password"})
    assert (again.status_code, "used before or is too old" in again.text) == (400, True)
    # A customer's link opens no user's account.
    other = await maker.http.post("/oauth/reset", data=fields | {"password": NEW, "kind": ""})
    assert other.status_code == 400


async def test_44_a_customer_goes_and_everything_with_them(maker: Maker, cloud: Cloud) -> None:
    token = await make_kim(maker)
    devices = f"/v1/products/{maker.product}/devices"
    await maker.http.post(devices, json={"id": DEVICE}, headers=bearer(maker.token))
    claimed = await maker.http.post("/v1/devices", json={"id": DEVICE}, headers=bearer(token))
    assert claimed.status_code == 200, claimed.text
    code = (await maker.http.post("/v1/device_claims", json={}, headers=bearer(token))).json()["claim_code"]
    async with maker.http.stream("GET", "/v1/devices/events", headers=bearer(token)) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ":ok"
        gone = await maker.http.delete(path(maker, f"/{KIM}"), headers=bearer(maker.token))
        assert gone.json() == {"ok": True}
        # The open stream ends within a second.
        async with asyncio.timeout(1):
            assert [line async for line in lines if line] == []
    assert (await maker.http.get("/v1/devices", headers=bearer(token))).status_code == 401
    assert not await logs_in(maker, OLD)
    device = (await maker.http.get(f"{devices}/{DEVICE}", headers=bearer(maker.token))).json()
    assert (device["owner"], device["product_id"]) == (None, maker.product)
    # The code that was given out claims nothing any more.
    started = await cloud.start_device("f" * 24, claim_code=code, product_id=maker.product)
    await asyncio.sleep(0.2)
    assert started.all[0].setup.claim_code == code
    custody = await cloud.cloud.db.fetch_all(
        "SELECT change, actor FROM custody WHERE device_id = $1 ORDER BY seq", DEVICE
    )
    assert custody[-1][0] == "released"
    assert KIM not in repr(custody)
    second = await maker.http.delete(path(maker, f"/{KIM}"), headers=bearer(maker.token))
    assert (second.status_code, second.json()["error"]) == (404, "Customer not found")
    # The name is free again, for somebody else.
    assert (
        await maker.http.post(path(maker), data={"email": KIM, "password": OLD}, auth=maker.client)
    ).status_code == 201


async def test_11_nobody_reaches_another_products_customers(maker: Maker) -> None:
    await make_kim(maker)
    stranger = await make_maker(maker.http, "stranger@example.com")
    for requester in (stranger.token, stranger.product_token):
        for answer in (
            await maker.http.put(path(maker, f"/{KIM}"), json={"password": NEW}, headers=bearer(requester)),
            await maker.http.delete(path(maker, f"/{KIM}"), headers=bearer(requester)),
        ):
            assert answer.status_code in {403, 404}
    refused = await maker.http.post(path(maker, "/reset_password"), data={"email": KIM}, auth=stranger.client)
    assert refused.status_code == 403
    assert await logs_in(maker, OLD)
