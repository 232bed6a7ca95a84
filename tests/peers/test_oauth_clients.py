"""OAuth clients that nobody here wrote: oauth4webapi in Node, and Authlib, unmodified."""

import asyncio
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest
from authlib.deprecate import AuthlibDeprecationWarning

from tests.api.conftest import bearer
from tests.pages.browser import Browser
from tests.pages.conftest import REDIRECT, Scene, scene, settings

__all__ = ["scene", "settings"]

with warnings.catch_warnings():
    # It would rather have httpx's successor.
    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import AsyncOAuth2Client

HERE = Path(__file__).parent
NODE = Path(sys.executable).parent / "node"


async def allow(browser: Browser, url: str) -> str:
    """Where a person is sent who allows what is asked at `url`."""
    page = await browser.get(url)
    assert page.heading.startswith("Allow "), page.text
    page = await browser.submit(page, "approve")
    return browser.left or page.heading


@pytest.mark.parametrize("is_public", [True, False], ids=["public", "with secret"])
async def test_oauth4webapi(scene: Scene, is_public: bool) -> None:
    given = {
        "issuer": scene.cloud.url,
        "clientId": scene.web[0],
        "clientSecret": None if is_public else scene.web[1],
        "redirectUri": REDIRECT,
    }
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        str(HERE / "oauth.mjs"),
        json.dumps(given),
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: dict[str, Any] = {}
    async with scene.browser() as browser, asyncio.timeout(60):
        await scene.sign_up(browser)
        while line := await process.stdout.readline():
            message = json.loads(line)
            said |= message
            if address := message.get("open") or message.get("approve"):
                process.stdin.write(f"{await allow(browser, address)}\n".encode())
                await process.stdin.drain()
            for kind in ("token", "refreshed", "deviceToken"):
                if kind in message:
                    devices = await scene.http.get("/v1/devices", headers=bearer(message[kind]))
                    assert devices.status_code == 200, kind
    errors = (await process.stderr.read()).decode()
    assert await process.wait() == 0, errors
    assert said["revoked"] is True
    gone = await scene.http.get("/v1/devices", headers=bearer(said["refreshed"]))
    assert gone.status_code == 401
    if not is_public:
        assert said["introspected"]["active"] is True
        assert said["introspected"]["client_id"] == scene.web[0]


async def test_authlib(scene: Scene) -> None:
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    known = (await scene.http.get("/.well-known/oauth-authorization-server")).json()
    async with (
        AsyncOAuth2Client(
            scene.web[0], scene.web[1], redirect_uri=REDIRECT, code_challenge_method="S256", timeout=httpx.Timeout(20)
        ) as client,
        scene.browser() as browser,
    ):
        await scene.sign_up(browser)
        verifier = "authlib-" * 8
        url, _state = client.create_authorization_url(known["authorization_endpoint"], code_verifier=verifier)
        back = await allow(browser, url)
        token = await client.fetch_token(known["token_endpoint"], authorization_response=back, code_verifier=verifier)
        assert token["token_type"] == "bearer"
        assert (await client.get(f"{scene.cloud.url}/v1/devices")).json() == []
        fresh = await client.refresh_token(known["token_endpoint"], refresh_token=token["refresh_token"])
        assert fresh["access_token"] != token["access_token"]
        seen = await client.introspect_token(
            known["introspection_endpoint"], token=fresh["access_token"], token_type_hint="access_token"
        )
        assert seen.json()["active"] is True
        revoked = await client.revoke_token(
            known["revocation_endpoint"], token=fresh["access_token"], token_type_hint="access_token"
        )
        assert revoked.status_code == 200
        seen = await client.introspect_token(known["introspection_endpoint"], token=fresh["access_token"])
        assert seen.json() == {"active": False}

        begun = await scene.http.post(known["device_authorization_endpoint"], auth=scene.web, data={"scope": ""})
        assert begun.status_code == 200, begun.text
        assert await allow(browser, begun.json()["verification_uri_complete"]) == "Done"
        began = time.monotonic()
        granted = await client.fetch_token(
            known["token_endpoint"],
            grant_type="urn:ietf:params:oauth:grant-type:device_code",
            device_code=begun.json()["device_code"],
        )
        assert granted["access_token"]
        assert time.monotonic() - began < 5
