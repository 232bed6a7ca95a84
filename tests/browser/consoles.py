"""A cloud with a team and its fleet, and people of the team at its console in a real browser."""

import contextlib
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from cloudchamber.clock import HOUR, MINUTE, Millis
from cloudchamber.ids import ProductId
from cloudchamber.tally import Figure
from cloudchamber.testing import Cloud, Devices
from tests.browser.conftest import ARGUMENTS, DESKTOP, PHONE, chromium
from tests.whole.story import PASSWORD, Product, Story

MAKER, VIEWER, SUPPORT = "maker@example.com", "viewer@example.com", "support@example.com"
CUSTOMER = "jane@example.com"
LAMP = "e00fce68c0ffee0123456789"
"""Online over TCP, Jane's."""
BOAT = "e00fce68c0ffee9876543210"
"""Online over DTLS, nobody's."""
OFFLINE = [f"e00fce68{number:016x}" for number in range(1, 61)]
MAX_PAGE_BYTES = 200_000


@dataclass
class Scene:
    cloud: Cloud
    story: Story
    chrome: Browser
    product: Product
    """Of nobody but its maker."""
    organization: str
    """The slug of one, with a product of its own and a team."""
    lamp: Devices
    tokens: dict[str, str] = field(default_factory=dict)
    signed_in: dict[str, Any] = field(default_factory=dict)
    """Browsers' cookies, by whose they are."""

    @property
    def url(self) -> str:
        return f"{self.cloud.url}/console"

    @property
    def organization_url(self) -> str:
        return f"{self.url}/orgs/{self.organization}"

    @property
    def product_url(self) -> str:
        return f"{self.url}/products/{self.product.id}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with running() as made:
        yield made


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Scene]:
    async with (
        Cloud(rate_limits="off", webhook_private_targets=True) as cloud,
        Story(cloud) as story,
        async_playwright() as playwright,
    ):
        maker = await story.user(MAKER)
        product = await story.product(maker, "Garden lamp")
        tokens = {MAKER: maker}
        for name, role in ((VIEWER, "View-only"), (SUPPORT, "Support")):
            tokens[name] = await story.user(name)
            await story.ok("POST", f"/v1/products/{product.id}/team", maker, json={"username": name, "role": role})
        await story.import_devices(product, [LAMP, BOAT, *OFFLINE])
        jane = await story.customer(product, CUSTOMER)
        lamp = await cloud.start_device(LAMP, product_id=product.id)
        await cloud.start_device(BOAT, protocol="udp", product_id=product.id)
        await story.ok("POST", "/v1/devices", jane, data={"id": LAMP})
        await story.ok("PUT", f"/v1/products/{product.id}/devices/{LAMP}", product.token, data={"name": "porch"})
        organization = await organized(story, maker)
        chrome = await playwright.chromium.launch(executable_path=chromium(), args=[*ARGUMENTS, "--disable-lcd-text"])
        yield Scene(cloud, story, chrome, product, organization, lamp, tokens | {CUSTOMER: jane})
        await chrome.close()


async def organized(story: Story, maker: str) -> str:
    """The slug of an organization of the maker's, with a product, a client, customers and a team."""
    slug = str((await story.ok("POST", "/v1/orgs", maker, json={"name": "Garden makers"}))["organization"]["slug"])
    wanted = {"product": {"name": "Sprinkler", "description": "", "platform_id": 13}}
    await story.ok("POST", f"/v1/orgs/{slug}/products", maker, json=wanted)
    for name, role in ((VIEWER, "View-only"), (SUPPORT, "Support")):
        await story.ok("POST", f"/v1/orgs/{slug}/team", maker, json={"username": name, "role": role})
    form = {"name": "Garden app", "type": "installed"}
    client = (await story.ok("POST", f"/v1/orgs/{slug}/clients", maker, data=form))["client"]
    for name in ("anna", "bert"):
        wanted = {"email": f"{name}@example.com", "no_password": "true"}
        await story.ok("POST", f"/v1/orgs/{slug}/customers", data=wanted, auth=(client["id"], client["secret"]))
    return slug


Open = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(loop_scope="module")
async def open_as(scene: Scene, screen: str) -> AsyncIterator[Open]:
    """Opens a page of the console as somebody who is signed in, or with `afresh` signs in on the way; what the browser
    complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    async def opened(name: str, path: str = "", *, afresh: bool = False, **more: Any) -> Page:
        phone = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2}
        options: dict[str, Any] = {"viewport": PHONE, **phone} if screen == "phone" else {"viewport": DESKTOP}
        state = None if afresh else scene.signed_in.get(name)
        context = await scene.chrome.new_context(**options, **more, storage_state=state)
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.complaints = complaints  # type: ignore[attr-defined]
        await page.goto(f"{scene.url}{path}")
        if state is None:
            await page.get_by_label("E-mail").fill(name)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Sign in").click()
            await page.wait_for_url(lambda url: "/sign-in" not in url)
            if not afresh:
                scene.signed_in[name] = await context.storage_state()
        return page

    yield opened
    for context in contexts:
        await context.close()
    assert complaints == []


@pytest.fixture(params=["desktop", "phone"])
def screen(request: pytest.FixtureRequest) -> str:
    return str(request.param)


at_desktop = pytest.mark.parametrize("screen", ["desktop"], indirect=True)
"""For what is no other matter on a phone."""


async def weight(page: Page, url: str) -> int:
    """Bytes of a page with its style, script and pictures, as they come over the wire the first time."""
    found = await (await page.request.get(url)).body()
    assets = re.findall(rb'(?:href|src)="(/console/static/[^"]+)"', found)
    assert len(assets) == 3
    return len(found) + sum(
        [len(await (await page.request.get(urljoin(url, each.decode()))).body()) for each in assets]
    )


async def past(scene: Scene, hours: int, *, devices: int = 40) -> None:
    """Writes what a fleet of that size did in the last hours. In the middle the server did not run for two."""
    chance, statistics = random.Random(7), scene.cloud.cloud.statistics
    tally, product = statistics._tally, ProductId(scene.product.id)
    now = scene.cloud.cloud._clock.now()
    for minute in range(hours * 60, 0, -1):
        if 0 <= minute - hours * 30 < 120:
            continue
        at = Millis(now - minute * MINUTE)
        online = devices - chance.randrange(4) - (devices // 3 if 300 < minute < 340 else 0)
        counts = {Figure.EVENTS: online // 3 + chance.randrange(5), Figure.TOKENS: 4 + chance.randrange(9)}
        counts |= {Figure.CONNECTED: chance.randrange(3), Figure.FUNCTIONS_OK: chance.randrange(4)}
        counts |= {Figure.HOOKS_OK: counts[Figure.EVENTS] // 2, Figure.VARIABLES_OK: chance.randrange(3)}
        if chance.random() < 0.05:
            counts |= {Figure.REFUSED: 1, Figure.FUNCTIONS_FAILED: 1, Figure.VARIABLES_OFFLINE: 2}
        if 300 < minute < 340:
            counts |= {Figure.HOOKS_FAILED: 3, Figure.CONNECTED: 6}
        for figure, count in counts.items():
            for _ in range(count):
                tally.note(product, figure)
        statistics.look(at)
        ended = at - at % MINUTE - MINUTE
        statistics._hours[Millis(ended - ended % HOUR)][product].set_online(ended % HOUR // MINUTE, online)
    await statistics.write()
