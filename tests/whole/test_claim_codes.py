"""Many devices out of their boxes at once, over the real protocols: each code makes one device one customer's."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import pytest

from cloudchamber.testing import Cloud, Devices
from tests.whole.story import Product, Story

FIRST = int("0123456789ab000000000000", 16)
PLATFORMS = {"tcp": 6, "udp": 10}
Protocol = Literal["tcp", "udp"]


def ids(count: int) -> list[str]:
    return [f"{FIRST + number:024x}" for number in range(count)]


async def codes_of(story: Story, product: Product, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """A new customer's token and claim code for each name."""
    turns = asyncio.Semaphore(32)

    async def one(name: str) -> tuple[str, str]:
        async with turns:
            token = await story.customer(product, name)
            code = await story.ok("POST", f"/v1/products/{product.id}/device_claims", token, json={})
            return token, code["claim_code"]

    made = await asyncio.gather(*map(one, names))
    return [token for token, _ in made], [code for _, code in made]


async def all_answered(devices: Devices) -> None:
    """A device forgets its code when the cloud tells it so; one that is claimed says so."""
    async with asyncio.timeout(30):
        while not all(device.is_claimed for device in devices.all):
            await asyncio.sleep(0.05)


async def owners(story: Story, product: Product, count: int) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for page in range(1, count // 100 + 2):
        path = f"/v1/products/{product.id}/devices?per_page=100&page={page}"
        answer: dict[str, Any] = await story.ok("GET", path, product.owner_token)
        found |= {device["id"]: device["owner"] for device in answer["devices"]}
    return found


@pytest.mark.parametrize("count", [50, pytest.param(1_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_each_code_makes_its_device_its_customers(protocol: Protocol, count: int) -> None:
    names = [f"customer-{number}@example.com" for number in range(count)]
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user(), platform_id=PLATFORMS[protocol])
        await story.import_devices(product, ids(count))
        tokens, codes = await codes_of(story, product, names)
        devices = await cloud.start_devices(
            count, first_id=ids(1)[0], protocol=protocol, product_id=product.id, claim_code=codes
        )
        await all_answered(devices)
        assert await owners(story, product, count) == dict(zip(ids(count), names, strict=True))
        assert all(device.setup.claim_code is None for device in devices.all)
        for number in (0, count // 2, count - 1):
            mine = await story.ok("GET", "/v1/devices", tokens[number])
            assert [(device["id"], device["connected"]) for device in mine] == [(ids(count)[number], True)]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_of_a_hundred_devices_with_one_code_one_is_claimed(protocol: Protocol) -> None:
    count = 100
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user(), platform_id=PLATFORMS[protocol])
        await story.import_devices(product, ids(count))
        (token,), (code,) = await codes_of(story, product, ["kim@example.com"])
        devices = await cloud.start_devices(
            count, first_id=ids(1)[0], protocol=protocol, product_id=product.id, claim_code=[code] * count
        )
        async with asyncio.timeout(20):
            while not any(device.is_claimed for device in devices.all):
                await asyncio.sleep(0.05)
        # The others are online and nobody's; they keep the code, and it is worth nothing to them ever after.
        (winner,) = await story.ok("GET", "/v1/devices", token)
        assert (winner["id"] in ids(count), winner["connected"]) == (True, True)
        expected = {id_: "kim@example.com" if id_ == winner["id"] else None for id_ in ids(count)}
        assert await owners(story, product, count) == expected
        cloud.cloud.disconnect_devices()
        async with asyncio.timeout(20):
            while devices.fleet.online:
                await asyncio.sleep(0.01)
        await devices.online()
        await asyncio.sleep(0.3)  # what they presented again is decided by then
        assert await owners(story, product, count) == expected
        assert [device.id for device in devices.all if device.setup.claim_code is None] == [winner["id"]]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_a_code_that_does_not_count_loses_nothing(protocol: Protocol) -> None:
    """Its device comes online and is nobody's; the next code that it is given makes it its customer's."""
    platform = PLATFORMS[protocol]
    async with Cloud() as cloud, Story(cloud.url) as story:
        maker = await story.user()
        product = await story.product(maker, platform_id=platform)
        other = await story.product(maker, "Other", platform_id=platform)
        await story.import_devices(product, ids(5))
        _, (good, used) = await codes_of(story, product, ["kim@example.com", "lee@example.com"])
        _, (others,) = await codes_of(story, other, ["kim@example.com"])
        first = await cloud.start_device(ids(1)[0], protocol=protocol, product_id=product.id, claim_code=used)
        await all_answered(first)

        bad = [others, used, f"{good}x", "A" * 63]

        async def start(codes: list[str]) -> Devices:
            return await cloud.start_devices(
                4, first_id=ids(2)[1], protocol=protocol, product_id=product.id, claim_code=codes
            )

        devices = await start(bad)
        await asyncio.sleep(0.3)
        lees = {ids(1)[0]: "lee@example.com"}
        assert await owners(story, product, 5) == dict.fromkeys(ids(5)) | lees
        assert [device.is_claimed for device in devices.all] == [False] * 4
        await devices.stop()
        for kept in cloud.data.parent.rglob("*.session"):
            kept.unlink()  # a device that goes on with its session greets nobody anew

        names = ["ann@example.com", "bob@example.com", "cyd@example.com"]
        _, more = await codes_of(story, product, names)
        await all_answered(await start([good, *more]))
        expected = dict(zip(ids(5)[1:], ["kim@example.com", *names], strict=True)) | lees
        assert await owners(story, product, 5) == expected
        assert await owners(story, other, 5) == {}


async def test_a_code_of_each_level_makes_its_device_its_askers() -> None:
    """A user's, a product's customer's, and an organization's customer's by the older path; each device is told so."""
    async with Cloud() as cloud, Story(cloud.url) as story:
        maker = await story.user()
        product = await story.product(maker)
        made = await story.ok("POST", "/v1/orgs", maker, json={"name": "Example Corp"})
        org = f"/v1/orgs/{made['organization']['slug']}"
        wanted = {"name": "Shared lamp", "platform_id": 6}
        shared = (await story.ok("POST", f"{org}/products", maker, json=wanted))["product"]
        await story.import_devices(product, ids(2)[1:])
        await story.ok("POST", f"/v1/products/{shared['id']}/devices", maker, data={"id": ids(3)[2]})
        client = (await story.ok("POST", f"{org}/clients", maker, json={"name": "s", "type": "installed"}))["client"]
        form = {"email": "lee@example.com", "no_password": "true"}
        lee = await story.ok("POST", f"{org}/customers", data=form, auth=(client["id"], client["secret"]))
        askers = [
            (maker, "/v1/device_claims", 6),
            (await story.customer(product, "kim@example.com"), f"/v1/products/{product.id}/device_claims", product.id),
            (lee["access_token"], f"{org}/products/{shared['slug']}/device_claims", shared["id"]),
        ]
        for id_, (token, path, product_id) in zip(ids(3), askers, strict=True):
            code = (await story.ok("POST", path, token, json={}))["claim_code"]
            assert len(code) == 63
            started = await cloud.start_device(id_, product_id=product_id, claim_code=code)
            await all_answered(started)
            assert started.all[0].setup.claim_code is None
        for id_, (token, path, _) in zip(ids(3), askers, strict=True):
            assert [device["id"] for device in await story.ok("GET", "/v1/devices", token)] == [id_]
            assert (await story.ok("POST", path, token, json={}))["device_ids"] == [id_]
