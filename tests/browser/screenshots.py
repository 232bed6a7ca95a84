"""Pictures of the console's pages, for its documentation: `make screenshots` writes them to `docs/console/`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page

from cloudchamber.simulator.firmware import as_module
from tests.browser.conftest import ROOT
from tests.browser.consoles import BOAT, CUSTOMER, LAMP, MAKER, Scene, past, running
from tests.whole.story import PASSWORD

TARGET = ROOT / "docs" / "console"
SCREEN = {"width": 1120, "height": 700}
PHONE = {"width": 390, "height": 780}
# A picture shows the beginning of a long page, not all of it.
MOST = 1_100

Act = Callable[[Page], Awaitable[Any]]


@dataclass(frozen=True)
class Shot:
    """`path` is below the console; `{product}` and `{organization}` stand in it. `act` is done on the page first."""

    name: str
    path: str
    act: Act | None = None
    is_phone: bool = False
    is_dark: bool = False


async def ask_the_device(page: Page) -> None:
    await page.get_by_role("button", name="Read all").click()
    await page.locator("#variables output").first.wait_for()
    await page.get_by_label("lightsOn").fill("livingRoom")
    await page.get_by_role("button", name="Call lightsOn").click()
    await page.locator("[id^=function-] output").wait_for()


async def import_some(page: Page) -> None:
    await page.get_by_label("Device ids").fill(f"{LAMP} {'ab' * 12} nonsense")
    await page.get_by_role("button", name="Import", exact=True).click()
    await page.get_by_text("Imported").wait_for()


async def make_a_client(page: Page) -> None:
    await page.get_by_role("textbox", name="Name").fill("Shop")
    await page.get_by_role("button", name="Make the client").click()
    await page.locator("#client-secret").wait_for()


async def open_the_customer(page: Page) -> None:
    await page.get_by_role("link", name=CUSTOMER).click()
    await page.get_by_text("Remove this customer").click()


async def make_a_hook(page: Page) -> None:
    await page.get_by_label("Event", exact=True).fill("soil")
    await page.get_by_label("URL").fill("https://example.com/soil")
    await page.get_by_label("Body").select_option("json")
    await page.get_by_label("Content").fill('{"moisture": "{{{PARTICLE_EVENT_VALUE}}}"}')


async def send_a_test(page: Page) -> None:
    await make_a_hook(page)
    await page.get_by_label("URL").fill("http://127.0.0.1:9/soil")
    await page.get_by_role("button", name="Make the webhook").click()
    await page.get_by_role("button", name="Send a test").click()
    await page.locator("#test output").wait_for()


async def upload(page: Page) -> None:
    product = int(page.url.split("/products/")[1].split("/")[0])
    binary = as_module("counter", platform_id=6, product_id=product, product_version=2)
    file = {"name": "lamp.bin", "mimeType": "application/octet-stream", "buffer": binary}
    await page.get_by_label("Binary").set_input_files(file)  # type: ignore[arg-type]
    await page.get_by_label("Version").fill("2")
    await page.get_by_label("Title").fill("Dims softly")
    await page.get_by_role("button", name="Upload").click()
    await page.get_by_role("heading", name="Version 2").wait_for()


async def choose_web(page: Page) -> None:
    await page.get_by_label("Simple Auth (web app)").check()


SHOTS = (
    Shot("products", ""),
    Shot("overview", "/products/{product}"),
    Shot("health", "/products/{product}/health"),
    Shot("devices", "/products/{product}/devices"),
    Shot("device", f"/products/{{product}}/devices/{LAMP}", ask_the_device),
    Shot("device-phone", f"/products/{{product}}/devices/{LAMP}", ask_the_device, is_phone=True),
    Shot("device-dark", f"/products/{{product}}/devices/{BOAT}", is_dark=True),
    Shot("import", "/products/{product}/devices/import", import_some),
    Shot("customers", "/products/{product}/customers"),
    Shot("customer", "/products/{product}/customers", open_the_customer),
    Shot("events", "/products/{product}/events"),
    Shot("firmware", "/products/{product}/firmware"),
    Shot("team", "/products/{product}/team"),
    Shot("clients", "/products/{product}/authentication"),
    Shot("client-new", "/products/{product}/authentication/new", choose_web),
    Shot("integration-new", "/products/{product}/integrations/new", make_a_hook),
    Shot("integration", "/products/{product}/integrations/new", send_a_test),
    Shot("integrations", "/products/{product}/integrations"),
    Shot("firmware-version", "/products/{product}/firmware", upload),
    Shot("settings", "/products/{product}/settings"),
    Shot("tokens", "/tokens"),
    Shot("organizations", "/orgs"),
    Shot("organization", "/orgs/{organization}"),
    Shot("organization-team", "/orgs/{organization}/team"),
    Shot("organization-customers", "/orgs/{organization}/customers"),
    Shot("organization-settings", "/orgs/{organization}/settings"),
    Shot("nothing-here", "/nothing"),
    Shot("organization-client-new", "/orgs/{organization}/authentication/new"),
    Shot("client-made", "/products/{product}/authentication/new", make_a_client),
)


async def take(scene: Scene, shots: tuple[Shot, ...] = SHOTS) -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    context = await scene.chrome.new_context(viewport=SCREEN)
    page = await context.new_page()
    await page.goto(scene.url)
    await picture(page, "sign-in")
    await page.get_by_label("E-mail").fill(MAKER)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(scene.url)
    state = await context.storage_state()
    await context.close()
    for shot in shots:
        context = await scene.chrome.new_context(
            viewport=PHONE if shot.is_phone else SCREEN,
            color_scheme="dark" if shot.is_dark else "light",
            storage_state=state,
        )
        page = await context.new_page()
        await page.goto(scene.url + shot.path.format(product=scene.product.id, organization=scene.organization))
        if shot.act is not None:
            await shot.act(page)
        await picture(page, shot.name)
        await context.close()


async def picture(page: Page, name: str) -> None:
    await page.evaluate("scrollTo(0, 0)")
    size = page.viewport_size
    assert size is not None
    whole = await page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(whole, MOST)}
    await page.screenshot(path=TARGET / f"{name}.png", clip=clip, full_page=True)


async def main() -> None:
    async with running() as scene:
        await past(scene, 24)
        await take(scene)


if __name__ == "__main__":
    asyncio.run(main())
