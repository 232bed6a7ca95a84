"""The whole story over PostgreSQL: the same stores, another engine."""

from pathlib import Path

import httpx
import pytest

from cloudchamber.testing import Cloud
from tests.processes import cloudchamber
from tests.whole.story import Story

DEVICE = "0123456789abcdef01234567"


@pytest.fixture
def database_kind() -> str:
    return "postgresql"


async def test_the_story_over_postgresql(empty_database_url: str) -> None:
    async with Cloud(database=empty_database_url) as cloud, Story(cloud.url) as story:
        await cloud.start_device(DEVICE)
        product = await story.product(await story.user())
        await story.import_devices(product, [DEVICE])
        customer = await story.customer(product, "jane@example.com")
        assert (await story.ok("POST", "/v1/devices", customer, data={"id": DEVICE}))["connected"] is True
        assert isinstance((await story.ok("GET", f"/v1/devices/{DEVICE}/counter", customer))["result"], int)
        await story.ok("DELETE", f"/v1/devices/{DEVICE}", customer)
        assert await story.ok("GET", "/v1/devices", customer) == []


def test_serve_makes_its_tables_and_finds_them_again(tmp_path: Path, empty_database_url: str) -> None:
    form = {"username": "maker@example.com", "password": "a good password"}
    with cloudchamber.serve(tmp_path, "--database", empty_database_url) as cloud:
        assert httpx.post(f"{cloud.url}/v1/users", data=form).json() == {"ok": True}
        assert cloud.stop() == 0
    with cloudchamber.serve(tmp_path, "--database", empty_database_url) as cloud:
        assert httpx.post(f"{cloud.url}/v1/users", data=form).status_code == 400
