"""People's accounts over HTTP: profile, changes, second factors, the end; in both profiles."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from cloudchamber.app import Cloud
from cloudchamber.settings import Compat
from tests.api.conftest import Api, Maker, bearer, log_in, make_maker
from tests.api.test_edge import oauth_error
from tests.people import code_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD, NEW = "correct horse", "another horse"
PARTICLE = ("particle", "particle")


def both(status: int, text: str) -> tuple[int, dict[str, Any]]:
    return status, {"ok": False, "error": text, "errors": [text]}


def told(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


@pytest_asyncio.fixture(loop_scope="module")
async def ada(http: Api, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A new person's name and token."""
    name = f"ada.{abs(hash(request.node.nodeid))}@example.com"
    await http.cloud.users.create(name, PASSWORD)
    return name, await log_in(http, name, PASSWORD)


async def test_the_profile(http: Api, ada: tuple[str, str]) -> None:
    name, token = ada
    assert (await http.get("/v1/user", headers=bearer(token))).json() == {
        "username": name,
        "subscription_ids": [],
        "account_info": {},
        "mfa": {"enabled": False},
        "wifi_device_count": 0,
        "cellular_device_count": 0,
        "scim_provisioned": False,
        "no_password": False,
    }
    sent = {"account_info": {"first_name": "Ada", "business_account": True}}
    changed = await http.put("/v1/user", json=sent, headers=bearer(token))
    assert (changed.status_code, changed.json()["account_info"]) == (200, sent["account_info"])
    form = {"account_info[company_name]": "Analytical Engines"}
    merged = (await http.put("/v1/user", data=form, headers=bearer(token))).json()["account_info"]
    assert merged == sent["account_info"] | {"company_name": "Analytical Engines"}
    nothing = await http.put("/v1/user", json={}, headers=bearer(token))
    assert nothing.status_code == 400
    assert nothing.json()["error"].startswith("Nothing to do?")


async def test_identify(http: Api, ada: tuple[str, str], maker: Maker) -> None:
    name, token = ada
    for path in ("/v1/user/identify", "/v1/user/identify?tracking=1"):
        who = (await http.get(path, headers=bearer(token))).json()
        assert (who["email"], len(who["id"])) == (name, 24)
    kim = (await http.get("/v1/user/identify", headers=bearer(await maker.customer("kim@example.com")))).json()
    assert kim["email"] == "kim@example.com"
    assert kim["id"] != who["id"]
    product = (await http.get("/v1/user/identify", headers=bearer(maker.product_token))).json()
    assert product == {"id": maker.client[0], "email": None}


async def test_a_new_name_and_a_new_password(http: Api, ada: tuple[str, str], maker: Maker) -> None:
    name, token = ada
    other = await log_in(http, name, PASSWORD)

    async def put(**sent: Any) -> tuple[int, Any]:
        return told(await http.put("/v1/user", json=sent, headers=bearer(token)))

    wrong = both(400, "Current password is incorrect")
    assert await put(username="x@example.com", current_password="no") == wrong
    assert await put(password=NEW, current_password="no") == wrong
    assert await put(password=NEW) == wrong
    taken = both(400, "user with the username already exists")
    assert await put(username=maker.username, current_password=PASSWORD) == taken
    assert (await put(password="short", current_password=PASSWORD))[0] == 400
    assert (await put(password="password1", current_password=PASSWORD))[0] == 400
    renamed = {"ok": True, "message": "User's username updated."}
    assert await put(username=f"new.{name}", current_password=PASSWORD) == (200, renamed)
    changed = {"ok": True, "message": "User's password updated."}
    assert await put(password=NEW, current_password=PASSWORD) == (200, changed)
    profile = await http.get("/v1/user", headers=bearer(token))
    assert profile.json()["username"] == f"new.{name}"
    # The vendor leaves other log-ins alone unless it is asked; current practice does not.
    assert (await http.get("/v1/user", headers=bearer(other))).status_code == (401 if http.is_strict else 200)
    assert await log_in(http, f"new.{name}", NEW)
    assert await put(password=PASSWORD, current_password=NEW, invalidate_tokens=True) == (200, changed)
    for ended in (token, other):
        assert (await http.get("/v1/user", headers=bearer(ended))).status_code == 401


async def test_the_end(http: Api, ada: tuple[str, str], maker: Maker) -> None:
    name, token = ada
    wrong = await http.request("DELETE", "/v1/user", json={"password": "no"}, headers=bearer(token))
    assert told(wrong) == both(400, "Current password is incorrect")
    owns = await http.request("DELETE", "/v1/user", json={"password": maker.password}, headers=bearer(maker.token))
    assert told(owns) == both(409, "The account owns products or organizations: delete them or hand them over first")
    opened = asyncio.Event()

    async def listen() -> None:
        async with http.stream("GET", "/v1/devices/events", headers=bearer(token)) as stream:
            async for _ in stream.aiter_lines():
                opened.set()

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(opened.wait(), 5)
    gone = await http.request("DELETE", "/v1/user", json={"password": PASSWORD}, headers=bearer(token))
    assert told(gone) == (200, {"ok": True, "message": "User's account has been deleted."})
    await asyncio.wait_for(listening, 1)
    assert oauth_error(await http.get("/v1/user", headers=bearer(token)))[0] == 401
    assert (await http.get("/v1/access_tokens", auth=(name, PASSWORD))).status_code == (401 if http.is_strict else 400)


async def test_21_a_stream_ends_within_a_second_of_a_new_password(http: Api, ada: tuple[str, str]) -> None:
    name, token = ada
    other = await log_in(http, name, PASSWORD)
    opened = asyncio.Event()

    async def listen() -> None:
        async with http.stream("GET", "/v1/devices/events", headers=bearer(other)) as stream:
            async for _ in stream.aiter_lines():
                opened.set()

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(opened.wait(), 5)
    sent = {"password": NEW, "current_password": PASSWORD, "invalidate_tokens": "others"}
    assert (await http.put("/v1/user", json=sent, headers=bearer(token))).status_code == 200
    await asyncio.wait_for(listening, 1)
    assert (await http.get("/v1/user", headers=bearer(token))).status_code == 200


async def test_second_factors(http: Api, ada: tuple[str, str]) -> None:
    name, token = ada
    begun = await http.get("/v1/user/mfa-enable", headers=bearer(token))
    assert begun.headers["cache-control"] == "no-store"
    assert set(begun.json()) == {"mfa_token", "qr_url", "secret"}
    secret, mfa_token = begun.json()["secret"], begun.json()["mfa_token"]
    assert parse_qs(urlsplit(begun.json()["qr_url"]).query)["secret"] == [secret]
    sent = {"mfa_token": mfa_token, "otp": "000000", "invalidate_tokens": False}
    if http.is_strict:
        alone = await http.post("/v1/user/mfa-enable", json=sent, headers=bearer(token))
        assert told(alone) == both(400, "Current password is incorrect")
        sent["current_password"] = PASSWORD
    wrong = await http.post("/v1/user/mfa-enable", json=sent, headers=bearer(token))
    assert told(wrong) == both(400, "Could not validate OTP")
    unknown = await http.post("/v1/user/mfa-enable", json={**sent, "mfa_token": "x"}, headers=bearer(token))
    assert told(unknown) == both(400, "OTP expired")
    sent["otp"] = code_of(secret, -1)
    done = await http.post("/v1/user/mfa-enable", json=sent, headers=bearer(token))
    assert done.headers["cache-control"] == "no-store"
    assert done.json()["enrolled"] is True
    codes = done.json()["recovery_codes"]
    assert (await http.get("/v1/user", headers=bearer(token))).json()["mfa"] == {"enabled": True}
    shown = (await http.get("/v1/user/mfa", headers=bearer(token))).json()
    assert (len(shown["factors"]), shown["recovery_codes_left"]) == (1, len(codes))
    assert secret not in str(shown)

    basic = (name, PASSWORD)
    required = {"error": "mfa_required", "error_description": "Multi-factor authentication required"}
    assert told(await http.get("/v1/access_tokens", auth=basic)) == (403, required)
    listed = await http.get("/v1/access_tokens", params={"otp": code_of(secret)}, auth=basic)
    assert listed.status_code == 200
    again = await http.get("/v1/access_tokens", params={"otp": code_of(secret)}, auth=basic)
    assert told(again) == both(400, "Could not validate OTP")

    form = {"grant_type": "password", "username": name, "password": PASSWORD, "expires_in": "60"}
    first = await http.post("/oauth/token", data=form, auth=PARTICLE)
    if http.is_strict:
        assert first.status_code == 401, "no public clients, and no password grant"
    else:
        assert first.status_code == 403
        assert first.headers["cache-control"] == "no-store"
        body = first.json()
        assert body == {**required, "mfa_token": body["mfa_token"]}
        step = {"grant_type": "urn:custom:mfa-otp", "mfa_token": body["mfa_token"], "otp": code_of(secret, 1)}
        in_body = {"client_id": "particle", "client_secret": "particle"}
        issued = await http.post("/oauth/token", data=step | in_body, headers=bearer("stale"))
        assert (issued.status_code, issued.json()["expires_in"]) == (200, 60)
        token = issued.json()["access_token"]
        mfa_token = (await http.post("/oauth/token", data=form, auth=PARTICLE)).json()["mfa_token"]
        step = {"grant_type": "urn:custom:recovery-code", "mfa_token": mfa_token, "recovery_code": codes[0]}
        assert (await http.post("/oauth/token", data=step, auth=PARTICLE)).status_code == 200

    (factor,) = shown["factors"]
    path = f"/v1/user/mfa/{factor['id']}"
    confirm = {"current_password": PASSWORD}
    for refused in (
        await http.put("/v1/user/mfa-disable", json={"current_password": "no"}, headers=bearer(token)),
        await http.request("DELETE", path, json={}, headers=bearer(token)),
        await http.post("/v1/user/mfa/recovery-codes", json={}, headers=bearer(token)),
    ):
        assert told(refused) == both(400, "Current password is incorrect")
    new = await http.post("/v1/user/mfa/recovery-codes", json=confirm, headers=bearer(token))
    assert not set(new.json()["recovery_codes"]) & set(codes)
    unknown = await http.request("DELETE", "/v1/user/mfa/none", json=confirm, headers=bearer(token))
    assert unknown.status_code == 404
    off = await http.put("/v1/user/mfa-disable", json=confirm, headers=bearer(token))
    assert told(off) == (200, {"ok": True})
    assert (await http.get("/v1/access_tokens", auth=basic)).status_code == 200


async def test_accounts_are_changed_by_people_alone(http: Api, maker: Maker) -> None:
    customer = await maker.customer("changes@example.com")
    for method, path in (
        ("PUT", "/v1/user"),
        ("DELETE", "/v1/user"),
        ("GET", "/v1/user/mfa-enable"),
        ("POST", "/v1/user/mfa-enable"),
        ("PUT", "/v1/user/mfa-disable"),
        ("GET", "/v1/user/mfa"),
        ("DELETE", "/v1/user/mfa/x"),
        ("POST", "/v1/user/mfa/recovery-codes"),
    ):
        for token in (customer, maker.product_token):
            sent = {"account_info": {"first_name": "x"}, "password": maker.password, "current_password": "x"}
            answer = await http.request(method, path, json=None if method == "GET" else sent, headers=bearer(token))
            assert told(answer) == (403, {"ok": False, "error": "Permission denied"}), (method, path)


async def test_52_registration_does_not_tell_who_exists(migrated_cloud: Callable[..., Cloud], tmp_path: Path) -> None:
    """With the switch off: the same answer for a new name and a taken one, and a mail to whoever has it."""
    compat = Compat(reveals_accounts=False)
    async with migrated_cloud(compat=compat) as cloud, Api(cloud) as http:
        maker = await make_maker(http, "maker@example.com")
        for name in (maker.username, "new@example.com"):
            made = await http.post("/v1/users", json={"username": name, "password": "a good password"})
            assert told(made) == (200, {"ok": True})
        assert await log_in(http, maker.username, maker.password), "the taken account is as it was"
        for name in (maker.username, "nobody"):
            refused = await http.get("/v1/access_tokens", auth=(name, "wrong"))
            assert told(refused) == (401, {"ok": False, "errors": ["Bad password"]})
    mails = [mail.read_text() for mail in (tmp_path / "mail").glob("*.eml")]
    assert len(mails) == 1
    assert f"To: {maker.username}" in mails[0]
