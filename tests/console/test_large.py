"""The console over a large fleet: its lists answer in under 100 ms. The short form is `tests/fleet/test_list_plans.py`:
no page reads the whole table."""

import time
from typing import Any

import pytest

from cloudchamber.testing import Cloud
from tests.pages.browser import Browser
from tests.whole.story import PASSWORD, Story

DEVICES, CUSTOMERS = 100_000, 10_000
# More than are sorted in memory.
ONLINE, FIRST_ONLINE = 1_200, 0xE00FCE68 << 64
MOST_S = 0.1


@pytest.mark.soak
async def test_lists_of_a_large_fleet() -> None:
    async with Cloud(rate_limits="off") as cloud, Story(cloud) as story, Browser(cloud.url) as browser:
        maker = await story.user("maker@example.com")
        product = await story.product(maker)
        await story.import_devices(product, [f"{number * 7919:024x}" for number in range(1, DEVICES - ONLINE + 1)])
        await story.import_devices(product, [f"{FIRST_ONLINE + number:024x}" for number in range(ONLINE)])
        await cloud.start_devices(ONLINE, first_id=f"{FIRST_ONLINE:024x}", product_id=product.id, timeout_s=200)

        async def customers(tx: Any) -> None:
            for number in range(CUSTOMERS):
                await tx.execute(
                    "INSERT INTO customers (id, product_id, username, password_hash, created_at, updated_at)"
                    " VALUES ($1, $2, $3, NULL, 1, 1)",
                    *(f"{number:024x}", product.id, f"customer{number}@example.com"),
                )

        await cloud.cloud.db.transaction(customers)
        base = f"/console/products/{product.id}"
        page = await browser.get(f"{base}/devices")
        await browser.submit(page, username="maker@example.com", password=PASSWORD)
        slow = {}
        for path in (
            "/console",
            base,
            f"{base}/health",
            f"{base}/devices",
            f"{base}/devices?page=2",
            f"{base}/devices?page=1900",
            f"{base}/devices?sort=deviceName",
            f"{base}/devices?sort=deviceId&order=desc&page=1000",
            f"{base}/devices?q=c0ff",
            f"{base}/devices?q=0",
            f"{base}/devices?q=nothing",
            f"{base}/devices?state=online",
            f"{base}/devices?state=online&page=20",
            f"{base}/devices?state=online&q=0",
            f"{base}/devices?state=online&q=0&page=20",
            f"{base}/devices?state=online&q=ce68",
            f"{base}/devices?state=online&q=nothing",
            f"{base}/devices?state=quarantined",
            f"{base}/devices/{7919:024x}",
            f"{base}/customers",
            f"{base}/customers?page=200",
            f"{base}/customers?q=99",
            f"{base}/customers?with=devices",
        ):
            took = []
            for _ in range(5):
                started = time.perf_counter()
                answer = await browser.http.get(path)
                took.append(time.perf_counter() - started)
                assert answer.status_code == 200
                assert len(answer.content) < 100_000
            # The best of five: others use the machine, too.
            if min(took) > MOST_S:
                slow[path] = took
        assert slow == {}
