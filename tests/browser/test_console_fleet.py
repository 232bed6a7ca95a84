"""Events, firmware and the team in the console: live, with a look at who gets what, and only what a role allows."""

import re

import pytest
from playwright.async_api import expect

from cloudchamber.simulator.firmware import as_module
from tests.browser.conftest import check
from tests.browser.consoles import (
    BOAT,
    LAMP,
    MAKER,
    MAX_PAGE_BYTES,
    SUPPORT,
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


async def test_events_come_as_they_happen(scene: Scene, open_as: Open, screen: str) -> None:
    page = await open_as(MAKER, f"/products/{scene.product.id}/events")
    rows = page.locator("#events tr")
    (lamp,) = scene.lamp.all
    async with page.expect_request(re.compile(r"/events/live")):
        await page.reload()
    await expect(page.get_by_text("Waiting for the next one")).to_be_visible()
    await page.wait_for_timeout(300)
    assert lamp.publish("temperature", "21.5")
    await expect(rows.filter(has_text="temperature")).to_contain_text("21.5")
    await expect(rows.filter(has_text="temperature").get_by_role("link")).to_have_text(LAMP[-6:])
    await check(page, "console-events")
    assert await weight(page, page.url) < MAX_PAGE_BYTES
    # What the form publishes comes back in the stream, and what is in it is text and no markup.
    await page.get_by_label("Name", exact=True).fill("note")
    await page.get_by_label("Data").fill("<b>dinner</b>")
    await page.get_by_role("button", name="Publish").click()
    await expect(page.get_by_role("status")).to_contain_text("note is published")
    await expect(rows.filter(has_text="note")).to_contain_text("<b>dinner</b>")
    # Pause holds what comes, and lets it go again.
    pause = page.get_by_role("button", name="Pause")
    await pause.click()
    assert lamp.publish("held", "1")
    await page.wait_for_timeout(300)
    await expect(rows.filter(has_text="held")).to_have_count(0)
    await page.locator("[data-pause]").click()
    await expect(rows.filter(has_text="held")).to_have_count(1)


@at_desktop
async def test_events_by_device_and_name(scene: Scene, open_as: Open) -> None:
    (lamp,) = scene.lamp.all
    page = await open_as(VIEWER, f"/products/{scene.product.id}/events?prefix=temp&device={LAMP}")
    await page.wait_for_timeout(500)
    assert lamp.publish("humidity", "40")
    assert lamp.publish("temperature", "22")
    rows = page.locator("#events tr")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("temperature")
    # Whoever may only look publishes nothing.
    await expect(page.get_by_role("heading", name="Publish")).to_have_count(0)
    refused = await page.request.post(f"{scene.product_url}/events/publish", form={"name": "x", "csrf": "y"})
    assert refused.status == 403


async def test_firmware_from_its_upload_to_those_who_run_it(scene: Scene, open_as: Open, screen: str) -> None:
    version = 10 if screen == "desktop" else 11
    page = await open_as(MAKER, f"/products/{scene.product.id}/firmware")
    data = as_module("tinker", platform_id=6, product_id=scene.product.id, product_version=version)
    await page.get_by_label("Binary").set_input_files(
        {"name": "tinker.bin", "mimeType": "application/octet-stream", "buffer": data}
    )
    await page.get_by_label("Version").fill(str(version))
    await page.get_by_label("Title").fill("Blinks faster")
    await page.get_by_role("button", name="Upload").click()
    await expect(page.get_by_role("heading", name=f"Version {version}")).to_be_visible()
    await expect(page.get_by_text("No device has run it yet")).to_be_visible()
    # One device takes it first; then it may be released.
    path, token = f"/v1/products/{scene.product.id}/devices/{LAMP}", scene.product.owner_token
    await scene.story.ok("PUT", path, token, json={"desired_firmware_version": version, "flash": True})
    async with page.expect_response(lambda answer: answer.url.endswith(f"/firmware/{version}")):
        await page.reload()
    for _ in range(100):
        if await page.get_by_role("button", name=f"Release version {version}").count():
            break
        await page.wait_for_timeout(200)
        await page.reload()
    await expect(page.get_by_text(re.compile(r"All devices: \d+ devices now"))).to_be_visible()
    await page.get_by_role("button", name=f"Release version {version}").click()
    await expect(page.get_by_role("status")).to_contain_text("is released to all devices")
    await expect(page.get_by_role("progressbar")).to_be_visible()
    await check(page, "console-firmware-version")
    await page.get_by_role("link", name="Firmware").first.click()
    await expect(page.get_by_role("row").filter(has_text="Blinks faster").first).to_contain_text("all")
    await check(page, "console-firmware")
    assert await weight(page, page.url) < MAX_PAGE_BYTES
    await scene.story.ok("PUT", path, token, json={"desired_firmware_version": None})


@at_desktop
async def test_a_wrong_file_is_told_so(scene: Scene, open_as: Open) -> None:
    page = await open_as(MAKER, f"/products/{scene.product.id}/firmware")
    await page.get_by_label("Binary").set_input_files(
        {"name": "x.bin", "mimeType": "application/octet-stream", "buffer": b"no firmware"}
    )
    await page.get_by_label("Version").fill("77")
    await page.get_by_role("button", name="Upload").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await page.get_by_label("Version").input_value() == "77"
    page.complaints.clear()  # type: ignore[attr-defined]  # the browser logs the 400 of the form


async def test_a_team_and_its_api_users(scene: Scene, open_as: Open, screen: str) -> None:
    name = f"mate-{screen}@example.com"
    await scene.story.user(name)
    page = await open_as(MAKER, f"/products/{scene.product.id}/team")
    await page.get_by_label("E-mail").fill(name)
    await page.get_by_role("radio", name="Support").check()
    await page.get_by_role("button", name="Invite", exact=True).click()
    await expect(page.get_by_role("status")).to_contain_text(f"{name} is invited")
    row = page.get_by_role("listitem").filter(has_text=name)
    await expect(row).to_contain_text("Support")
    await check(page, "console-team")
    assert await weight(page, page.url) < MAX_PAGE_BYTES
    await row.get_by_text("Change").click()
    await row.get_by_label("Role").select_option("Administrator")
    await row.get_by_role("button", name="Give").click()
    await expect(page.get_by_role("listitem").filter(has_text=name)).to_contain_text("Administrator")
    await page.get_by_role("listitem").filter(has_text=name).get_by_text("Change").click()
    await page.get_by_role("button", name=f"Remove {name}").click()
    await expect(page.get_by_role("listitem").filter(has_text=name)).to_have_count(0)
    # An API user's token is shown once.
    await page.get_by_text("New API user…").click()
    await page.get_by_label("Name", exact=True).fill(f"Robot {screen}")
    await page.get_by_label("devices:list").check()
    await page.get_by_role("button", name="Make it").click()
    token = await page.locator("#api-token").text_content()
    assert token is not None
    listed = await scene.story.ok("GET", f"/v1/products/{scene.product.id}/devices", token)
    assert BOAT in {device["id"] for device in listed["devices"]}
    await page.goto(f"{scene.product_url}/team")
    assert token not in await page.content()
    await page.get_by_role("button", name=f"Remove Robot {screen}").click()
    assert (await scene.story.ask("GET", "/v1/devices", token)).status_code == 401


@at_desktop
async def test_whoever_may_not_changes_no_team(scene: Scene, open_as: Open) -> None:
    for name in (VIEWER, SUPPORT):
        page = await open_as(name, f"/products/{scene.product.id}/team")
        await expect(page.get_by_role("heading", name="People")).to_be_visible()
        assert await page.locator("main form").count() == 0
        refused = await page.request.post(f"{scene.product_url}/team/remove", form={"username": VIEWER, "csrf": "y"})
        assert refused.status == 403
