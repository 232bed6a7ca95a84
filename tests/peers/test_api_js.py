"""particle-api-js from the npm registry, unmodified, in Node, against a running cloud."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx

from cloudchamber.testing import Cloud
from tests.whole.story import PASSWORD, Story

HERE = Path(__file__).parent
NODE = Path(sys.executable).parent / "node"
DEVICE = "0123456789abcdef01234567"
HEX40 = re.compile(r"[0-9a-f]{40}")


async def walk(url: str, script: str = "api_js.cjs", **more: Any) -> dict[str, Any]:
    given = {"url": url, "device": DEVICE, "user": "maker@example.com", "password": PASSWORD, **more}
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        str(HERE / script),
        json.dumps(given),
        cwd=HERE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return dict(json.loads(out))


async def test_particle_api_js_walks_the_story() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        await cloud.start_device(DEVICE)
        owner = await story.user()
        product = await story.product(owner)
        answers = await walk(cloud.url)
    status = {name: answer["statusCode"] for name, answer in answers.items() if "statusCode" in answer}
    assert {name: code for name, code in status.items() if code not in {200, 201, 204}} == {
        "afterDelete": 401,
        "ownersToken": 403,
    }
    body = {name: answer.get("body") for name, answer in answers.items()}
    assert HEX40.fullmatch(body["login"]["access_token"])
    assert body["getProduct"]["product"]["id"] == product.id
    assert HEX40.fullmatch(body["createOAuthClient"]["client"]["secret"])
    assert all("secret" not in client for client in body["listOAuthClients"]["clients"])
    assert body["addDeviceToProduct"]["updated"] == 1
    assert status["createCustomer"] == 201
    assert body["createCustomer"]["scope"] == "customer=jane@example.com"
    assert body["claimDevice"]["ok"] is True
    assert [device["id"] for device in body["listDevices"]] == [DEVICE]
    assert body["getDevice"]["variables"]["counter"] == "int32"
    assert body["getVariable"]["name"] == "counter"
    assert isinstance(body["getVariable"]["result"], int)
    assert body["callFunction"]["return_value"] == 1
    assert body["publishEvent"] == {"ok": True}
    event = answers["event"]
    assert (event["name"], event["data"], event["ttl"]) == ("greeting", "naïve ☕", 60)
    assert (answers["deviceEvent"]["name"], answers["deviceEvent"]["coreid"]) == ("e13", DEVICE)
    assert body["deleteAccessToken"] == {"ok": True}
    assert body["afterDelete"]["error"] == "invalid_token"


async def test_particle_api_js_and_a_persons_account() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        await story.user()
        answers = await walk(cloud.url, "api_js_account.cjs")
    refused = {name: answer["statusCode"] for name, answer in answers.items() if answer["statusCode"] != 200}
    assert refused == {
        "confirmWrong": 400,
        "afterMfa": 401,  # it asked for all tokens to end
        "loginWithMfa": 403,
        "wrongOtp": 400,
        "deleteWrong": 400,
        "afterDelete": 401,
    }
    body = {name: answer["body"] for name, answer in answers.items()}
    assert body["setUserInfo"]["account_info"] == {"first_name": "Ada"}
    assert body["trackingIdentity"]["email"] == "maker@example.com"
    assert len(body["confirmMfa"]["recovery_codes"]) == 10
    assert body["loginWithMfa"]["error"] == "mfa_required"
    assert answers["wrongOtp"]["description"].endswith("Could not validate OTP")
    assert HEX40.fullmatch(body["sendOtp"]["access_token"])
    assert body["sendOtp"]["expires_in"] == 60
    assert body["changeUserPassword"] == {"ok": True, "message": "User's password updated."}
    assert body["deleteUser"] == {"ok": True, "message": "User's account has been deleted."}


async def test_particle_api_js_and_a_team() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story, httpx.AsyncClient(base_url=cloud.url) as http:
        owner, _ = await story.user(), await story.user("colleague@example.com")
        headers = {"Authorization": f"Bearer {owner}"}
        made = await http.post("/v1/orgs", json={"name": "Example Corp"}, headers=headers)
        org = made.json()["organization"]["slug"]
        wanted = {"name": "Lamp", "platform_id": 6}
        product = (await http.post(f"/v1/orgs/{org}/products", json=wanted, headers=headers)).json()["product"]
        more = {"colleague": "colleague@example.com", "org": org, "product": product["slug"]}
        answers = await walk(cloud.url, "api_js_team.cjs", **more)
    status = {name: answer["statusCode"] for name, answer in answers.items() if "statusCode" in answer}
    assert {name: code for name, code in status.items() if code not in {200, 201, 204}} == {
        "before": 404,
        "removed": 404,
    }
    body = {name: answer.get("body") for name, answer in answers.items()}
    assert body["inviteTeamMember"] == {"ok": True, "invited": {"username": "colleague@example.com"}}
    assert [member["username"] for member in body["listTeamMembers"]["team"]] == [
        "maker@example.com",
        "colleague@example.com",
    ]
    assert body["after"]["product"]["org"] == org
    assert (answers["event"]["name"], answers["event"]["data"]) == ("greeting", "hello")
    assert [hook["id"] for hook in body["listIntegrations"]] == [body["createIntegration"]["id"]]
    assert body["removeTeamMember"] == {"ok": True}
