"""Many devices on one server."""

import asyncio
import os

from cloudchamber.testing import Cloud, Devices
from tests.whole.story import Product, Story

COUNT = 200
FIRST = "00000000000000000000a000"


async def counters(story: Story, product: Product, devices: Devices) -> list[int]:
    """Reads `counter` from every device at once."""

    async def read(device: str) -> int:
        path = f"/v1/products/{product.id}/devices/{device}/counter"
        return int((await story.ok("GET", path, product.token))["result"])

    return await asyncio.gather(*(read(device.id) for device in devices.all))


async def all_online(story: Story, product: Product) -> bool:
    page = await story.ok("GET", f"/v1/products/{product.id}/devices?per_page={COUNT}", product.token)
    return len(page["devices"]) == COUNT and all(device["online"] for device in page["devices"])


async def test_two_hundred_devices_answer_and_survive_a_storm() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        devices = await cloud.start_devices(COUNT, first_id=FIRST)
        product = await story.product(await story.user())
        await story.import_devices(product, [device.id for device in devices.all])
        assert await all_online(story, product)
        assert len(await counters(story, product, devices)) == COUNT

        # The server drops every connection at once, and all devices come back at once.
        descriptors = len(os.listdir("/proc/self/fd"))
        cloud.cloud.disconnect_devices()
        async with asyncio.timeout(10):
            while devices.fleet.online:
                await asyncio.sleep(0.01)
        await devices.online()
        async with asyncio.timeout(10):
            while not await all_online(story, product):
                await asyncio.sleep(0.1)
        assert len(await counters(story, product, devices)) == COUNT
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 5
