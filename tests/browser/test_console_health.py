"""Fleet health in the console: plots of what the server saw, with gaps where it did not run, and live."""

import re

import pytest
from playwright.async_api import expect

from cloudchamber.ids import ProductId
from tests.browser.conftest import check
from tests.browser.consoles import (
    MAKER,
    MAX_PAGE_BYTES,
    VIEWER,
    Open,
    Scene,
    at_desktop,
    open_as,
    past,
    scene,
    screen,
    weight,
)

__all__ = ["open_as", "scene", "screen"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def seeded() -> set[str]:
    return set()


async def test_a_day_of_a_fleet(scene: Scene, open_as: Open, seeded: set[str], screen: str) -> None:
    if not seeded:
        seeded.add("a day")
        await past(scene, 24)
    page = await open_as(VIEWER, f"/products/{scene.product.id}/health")
    await expect(page.get_by_role("heading", name="Fleet health")).to_be_visible()
    for title in ("Devices online", "Events per minute", "Connections", "Calls and reads", "Webhooks", "Use of tokens"):
        await expect(page.get_by_role("img", name=f"{title}, last day")).to_be_visible()
    card = page.get_by_role("region", name="Devices online", exact=True)
    await expect(card.get_by_role("img")).to_have_accessible_description(
        re.compile(r"^Online: from \d+ to \d+, most recently")
    )
    await expect(page.get_by_text("Where a plot is shaded it did not run")).to_be_visible()
    assert await card.locator("path.gap").count() == 1
    assert await weight(page, page.url) < MAX_PAGE_BYTES
    # The same in numbers, for whoever sees no plot; what nobody saw is in no row.
    await card.get_by_text("As a table").click()
    rows = card.get_by_role("row")
    assert 80 < await rows.count() < 96
    await check(page, "console-health")


async def test_what_happens_now_comes_by_itself(scene: Scene, open_as: Open, screen: str) -> None:
    (lamp,) = scene.lamp.all
    statistics, clock = scene.cloud.cloud.statistics, scene.cloud.cloud._clock
    statistics.look(clock.now())
    page = await open_as(MAKER, f"/products/{scene.product.id}/health")
    await page.clock.install()
    await page.get_by_role("link", name="Last hour").click()
    await expect(page.get_by_role("img", name="Connections, last hour")).to_be_visible()
    await expect(page).to_have_url(re.compile(r"range=hour$"))
    await expect(page.get_by_role("progressbar", name="Version 1")).to_be_visible()
    told = page.get_by_role("region", name="Events per minute", exact=True).get_by_role("listitem")
    before = int((await told.inner_text()).partition(":")[2].split(",")[0])
    assert lamp.publish("temperature", "21")
    assert lamp.publish("temperature", "22")
    for _ in range(100):
        if sum(statistics._tally._counts.get(ProductId(scene.product.id), [0, 0])[:2]) == 2:
            break
        await page.wait_for_timeout(20)
    statistics.look(clock.now())
    await page.clock.fast_forward(31_000)
    await expect(told).to_contain_text(f"From devices: {before + 2},")


@at_desktop
async def test_nobody_looked_yet(scene: Scene, open_as: Open) -> None:
    product = await scene.story.product(scene.tokens[MAKER], "Oven")
    page = await open_as(MAKER, f"/products/{product.id}/health?range=nonsense", color_scheme="dark")
    await expect(page.get_by_text("No device is online.")).to_be_visible()
    await expect(page.get_by_role("region", name="Webhooks", exact=True)).to_contain_text("Failed: 0")
    await check(page, "console-health-dark")
