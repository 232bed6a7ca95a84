"""Clients in the console: made from a preset, their secret shown once, and curl lines that work as they stand."""

import asyncio
import json
import re
import shlex
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import check
from tests.browser.consoles import (
    MAKER,
    MAX_PAGE_BYTES,
    VIEWER,
    Open,
    Scene,
    at_desktop,
    open_as,
    scene,
    screen,
    weight,
)

__all__ = ["open_as", "scene", "screen"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def made(page: Page, preset: str, name: str, **fields: str) -> tuple[str, str]:
    """A client's id and secret, from the page that shows it."""
    await page.get_by_role("link", name="New client").click()
    await page.get_by_label(preset).check()
    await page.get_by_role("textbox", name="Name").fill(name)
    for label, text in fields.items():
        await page.get_by_label(label.replace("_", " ")).fill(text)
    await page.get_by_role("button", name="Make the client").click()
    await expect(page.get_by_role("heading", name="The secret is shown this once")).to_be_visible()
    client = await page.locator("#client-id").inner_text()
    secret = await page.locator("#client-secret").inner_text()
    assert len(secret) == 40
    return client, secret


async def run(line: str) -> Any:
    words = shlex.split(line.replace("\\\n", " "))
    assert words[0] == "curl"
    process = await asyncio.create_subprocess_exec(
        *words, "-sS", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return json.loads(out)


async def test_a_servers_client_and_its_curl_lines(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(MAKER, f"/products/{scene.product.id}/authentication")
    await check(page, "console-clients")
    client, secret = await made(page, "Two-Legged (server)", f"Server {screen}")
    await check(page, "console-client-made")
    await expect(page.get_by_text("everything that a Developer of the team may do")).to_be_visible()
    lines = [await pre.inner_text() for pre in await page.locator("pre").all()]
    assert all(f"{client}:{secret}" in line for line in lines)
    email = f"jane-{screen}@example.com"
    answers = [await run(line.replace("jane@example.com", email)) for line in lines]
    assert all(len(answer["access_token"]) == 40 for answer in answers), answers
    # Once.
    await page.goto(f"{scene.product_url}/authentication/{client}")
    assert secret not in await page.content()
    await expect(page.get_by_text("SECRET").first).to_be_visible()
    await check(page, "console-client")
    assert await weight(page, page.url) < MAX_PAGE_BYTES


@at_desktop
async def test_the_presets_for_apps(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(MAKER, f"/products/{scene.product.id}/authentication")
    await page.get_by_role("link", name="New client").click()
    await expect(page.get_by_label("Redirect URI")).to_be_hidden()
    await page.get_by_label("Simple Auth (web app)").check()
    await expect(page.get_by_label("Redirect URI")).to_be_visible()
    await page.get_by_role("textbox", name="Name").fill("Web")
    await page.get_by_role("button", name="Make the client").click()
    await expect(page.get_by_role("alert")).to_contain_text("redirect_uri is required")
    page.complaints.clear()  # type: ignore[attr-defined]
    await check(page, "console-client-new")
    await page.go_back()
    await page.goto(f"{scene.product_url}/authentication")
    await made(page, "Simple Auth (web app)", f"Web {screen}", Redirect_URI="https://app.example/back")
    await expect(page.get_by_text("make customers").first).to_be_visible()
    await expect(page.get_by_text("/oauth/authorize?client_id=")).to_be_visible()
    await page.goto(f"{scene.product_url}/authentication")
    await made(page, "Simple Auth (mobile app)", f"App {screen}")
    lines = [await pre.inner_text() for pre in await page.locator("pre").all()]
    answers = [await run(line.replace("jane@", f"app-{screen}@")) for line in lines]
    assert all(len(answer["access_token"]) == 40 for answer in answers), answers


@at_desktop
async def test_scopes_of_ones_own_and_the_end(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(MAKER, f"/products/{scene.product.id}/authentication")
    await page.get_by_role("link", name="New client").click()
    await page.get_by_role("radio", name=re.compile("^Custom You")).check()
    await page.get_by_role("textbox", name="Name").fill(f"Reader {screen}")
    await page.get_by_label("devices:list").check()
    await page.get_by_role("button", name="Make the client").click()
    await expect(page.get_by_text("And nothing else of the product.")).to_be_visible()
    token = (await run(await page.locator("pre").first.inner_text()))["access_token"]
    path = f"/v1/products/{scene.product.id}"
    assert (await scene.story.ask("GET", f"{path}/devices", token)).status_code == 200
    assert (await scene.story.ask("GET", f"{path}/customers", token)).status_code != 200
    await page.goto(f"{scene.product_url}/authentication")
    await page.get_by_role("link", name=f"Reader {screen}").click()
    await page.get_by_role("textbox", name="Name").fill(f"Listener {screen}")
    await page.get_by_text("Scopes", exact=True).first.click()
    await page.get_by_label("customers:list").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name=f"Listener {screen}")).to_be_visible()
    assert (await scene.story.ask("GET", f"{path}/customers", token)).status_code == 200
    await page.get_by_text("End this client…").click()
    await page.get_by_role("button", name="End the client").click()
    await expect(page.get_by_role("status")).to_contain_text("have ended")
    assert (await scene.story.ask("GET", f"{path}/devices", token)).status_code == 401


@at_desktop
async def test_who_may_only_look_sees_clients_and_makes_none(scene: Scene, open_as: Open) -> None:
    page = await open_as(VIEWER, f"/products/{scene.product.id}/authentication")
    await page.get_by_role("link", name="server", exact=True).click()
    await expect(page.get_by_role("heading", name="server", exact=True)).to_be_visible()
    assert await page.locator("main form").count() == 0
