"""Simple auth as a mobile app has it: one client, which can only create customers, from sign-up to a new password."""

import asyncio
import re

from cloudchamber.testing import Cloud
from tests.whole.story import Story

EMAIL = "kim@example.com"
PASSWORD = "correct horse battery"


async def test_an_apps_client_serves_its_customers_and_nobody_else() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        other = await story.product(product.owner_token, "Kettle")
        wanted = {"name": "Lamp App", "type": "installed", "scope": "customers:create"}
        path = f"/v1/products/{product.id}"
        made = (await story.ok("POST", f"{path}/clients", product.owner_token, json=wanted))["client"]
        app = (made["id"], made["secret"])
        new = {"email": EMAIL, "password": PASSWORD}
        signed_up = await story.ask("POST", f"{path}/customers", data=new, auth=app)
        assert signed_up.status_code == 201
        assert (await story.ask("POST", f"/v1/products/{other.id}/customers", data=new, auth=app)).status_code == 403

        form = {"grant_type": "password", "username": EMAIL, "password": PASSWORD}
        token = await story.ok("POST", "/oauth/token", data=form, auth=app)
        assert await story.ok("GET", "/v1/devices", token["access_token"]) == []
        assert (await story.ask("POST", "/oauth/token", data=form, auth=other.client)).status_code == 400
        refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
        fresh = await story.ok("POST", "/oauth/token", data=refresh, auth=app)
        assert fresh["access_token"] != token["access_token"]

        # The log-out.
        assert await story.ok("DELETE", f"/v1/access_tokens/{fresh['access_token']}") == {"ok": True}
        assert (await story.ask("GET", "/v1/devices", fresh["access_token"])).status_code == 401

        # A forgotten password: the app asks, the mail (here in the data folder) brings the page.
        await story.ok("POST", f"{path}/customers/reset_password", data={"email": EMAIL}, auth=app)
        async with asyncio.timeout(10):
            while not (mails := list((cloud.data / "mail").glob("*.eml"))):
                await asyncio.sleep(0.02)
        text = mails[0].read_text().replace("=\n", "").replace("=3D", "=")
        link = re.search(r"https?://\S+/oauth/reset\?\S+", text)
        assert link, text
        assert (await story.ask("GET", link[0])).status_code == 200
        assert "Lamp: choose a new password" in text

        # A team can set one, too, and every log-in of before is over.
        again = await story.ok("POST", "/oauth/token", data=form, auth=app)
        changed = {"password": "another horse battery"}
        assert await story.ok("PUT", f"{path}/customers/{EMAIL}", product.owner_token, json=changed) == {"ok": True}
        assert (await story.ask("GET", "/v1/devices", again["access_token"])).status_code == 401
        assert (await story.ask("POST", "/oauth/token", data=form, auth=app)).status_code == 400
        await story.ok("POST", "/oauth/token", data=form | changed, auth=app)
