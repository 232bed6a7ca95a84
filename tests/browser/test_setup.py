"""A customer with nothing but a browser: signs up, sets a device up, toggles its light, and signs in again."""

import asyncio
import re

from playwright.async_api import Page, expect

from cloudchamber.simulator.device import State
from cloudchamber.testing import Cloud
from tests.browser.conftest import check
from tests.pages.conftest import PASSWORD, REDIRECT
from tests.whole.story import Story

DEVICE = "0123456789abcdef01234567"
NETWORKS = ("Home Sweet Home=long enough", "Guests")


async def test_from_nothing_to_a_light_that_obeys(page: Page, screen: str) -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        maker = await story.user()
        product = await story.product(maker)
        await story.import_devices(product, [DEVICE])
        wanted = {"name": "Lamp Web", "type": "web", "redirect_uri": REDIRECT, "scope": "customers:create"}
        client = (await story.ok("POST", f"/v1/products/{product.id}/clients", maker, json=wanted))["client"]
        device = await cloud.start_device(DEVICE, product_id=product.id, softap=True, networks=NETWORKS)
        start = f"{cloud.url}/setup?client_id={client['id']}"

        await page.goto(start)
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await check(page, "sign-in")
        await page.get_by_role("link", name="Make an account").click()
        await check(page, "sign-up")
        await page.get_by_label("E-mail").fill("kim@example.com")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Make the account").click()

        await expect(page.get_by_text("You have no device yet.")).to_be_visible()
        await check(page, "no-devices")
        await page.get_by_role("button", name="Set a new device up").click()
        host, port = device.softap_address
        await page.get_by_label("Where the device is").fill(f"{host}:{port}")
        await check(page, "listen")
        await page.get_by_role("button", name="Find the device").click()
        await expect(page.locator("#found")).to_have_text(DEVICE)
        await page.get_by_label("Network", exact=True).select_option(label="Home Sweet Home")
        await page.get_by_label("Password of the network").fill("long enough")
        await check(page, "wifi")
        await page.get_by_role("button", name="Connect the device").click()
        await expect(page.get_by_text("The device is online and yours.")).to_be_visible(timeout=30_000)
        await check(page, "ready")
        assert device.all[0].state is State.ONLINE

        await page.get_by_role("button", name="See it").click()
        light = page.get_by_role("button", name="Light on")
        await light.click()
        await expect(page.get_by_role("button", name="Light off")).to_have_attribute("aria-pressed", "true")
        assert device.all[0].signals
        await check(page, "devices")
        await page.get_by_role("button", name="Light off").click()
        await expect(light).to_be_visible()
        assert not device.all[0].signals

        # What happens to the device is seen at once.
        await expect(page.locator("li .lamp.on")).to_be_visible()
        await device.stop()
        await expect(page.get_by_text("offline")).to_be_visible(timeout=10_000)

        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_label("E-mail").fill("kim@example.com")
        await page.get_by_label("Password").fill("wrong")
        page.complaints.clear()  # type: ignore[attr-defined]
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_have_text("E-mail or password is wrong.")
        await check(page, "wrong-password")
        page.complaints.clear()  # type: ignore[attr-defined]

        await page.get_by_role("link", name="Forgot your password?").click()
        await page.get_by_label("E-mail").fill("kim@example.com")
        await check(page, "forgot")
        await page.get_by_role("button", name="Send the link").click()
        await expect(page.get_by_role("status")).to_contain_text("a mail with a link is on its way")
        await page.goto(await mailed_link(cloud))
        await page.get_by_label("New password").fill("another good password")
        await check(page, "reset")
        await page.get_by_role("button", name="Set the password").click()
        await expect(page.get_by_role("status")).to_contain_text("The new password is set.")

        await page.goto(start)
        await page.get_by_label("E-mail").fill("kim@example.com")
        await page.get_by_label("Password").fill("another good password")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_text(DEVICE)).to_be_visible()


async def mailed_link(cloud: Cloud) -> str:
    async with asyncio.timeout(10):
        while not (mails := list((cloud.data / "mail").glob("*.eml"))):
            await asyncio.sleep(0.02)
    text = mails[0].read_text().replace("=\n", "").replace("=3D", "=")
    found = re.search(r"https?://\S+/oauth/reset\?\S+", text)
    assert found, text
    return found[0]


async def test_a_wrong_wifi_password_can_be_corrected(page: Page, screen: str) -> None:
    """In a Wi-Fi of the whole campus, on the phone; at home else."""
    is_enterprise = screen == "phone"
    networks = ("enterprise:Campus=kim@long enough",) if is_enterprise else NETWORKS
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        await story.import_devices(product, [DEVICE])
        wanted = {"name": "Lamp Web", "type": "web", "redirect_uri": REDIRECT, "scope": "customers:create"}
        path = f"/v1/products/{product.id}/clients"
        client = (await story.ok("POST", path, product.owner_token, json=wanted))["client"]
        device = await cloud.start_device(DEVICE, product_id=product.id, softap=True, networks=networks)
        await page.goto(f"{cloud.url}/setup?client_id={client['id']}&screen=sign_up")
        await page.get_by_label("E-mail").fill("kim@example.com")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Make the account").click()
        for password in ("wrong password", "long enough"):
            await page.get_by_role("button", name="Set a new device up").click()
            host, port = device.softap_address
            await page.get_by_label("Where the device is").fill(f"{host}:{port}")
            await page.get_by_role("button", name="Find the device").click()
            if is_enterprise:
                await page.get_by_label("User name in the network").fill("kim")
            await page.get_by_label("Password of the network").fill(password)
            await page.get_by_role("button", name="Connect the device").click()
            if password == "wrong password":
                async with asyncio.timeout(10):
                    while device.all[0].state is not State.JOINING:
                        await asyncio.sleep(0.02)
                await device.listening()
                await page.get_by_role("button", name="Back").click()
        await expect(page.get_by_text("The device is online and yours.")).to_be_visible(timeout=30_000)
