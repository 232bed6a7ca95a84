"""Vitals and locations, from the device to whoever may see them, over real sockets."""

import asyncio
import json
from typing import Any

import pytest

from cloudchamber.testing import Cloud
from tests.gateway.cloud import until
from tests.whole.story import Story
from tests.whole.test_updates import ear

DEVICE, AWAY = "0123456789abcdef01234567", "0123456789abcdef01234568"
WRONG = (
    {"rect_bl": "1,2"},
    {"rect_bl": "91,0", "rect_tr": "1,1"},
    {"rect_bl": "x", "rect_tr": "1,1"},
    {"date_range": "2020-01-01"},
    {"date_range": "yesterday,today"},
    {"per_page": "101"},
)


@pytest.mark.parametrize(("protocol", "device_os"), [("tcp", "2.3.1"), ("udp", "1.5.2"), ("udp", "6.2.0")])
async def test_vitals_are_asked_for_kept_and_published(protocol: str, device_os: str) -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        await cloud.start_device(DEVICE, protocol=protocol, device_os=device_os, product_id=product.id)
        await story.import_devices(product, [DEVICE, AWAY])
        kim, lee = await story.customer(product, "kim"), await story.customer(product, "lee")
        await story.ok("POST", "/v1/devices", kim, data={"id": DEVICE})
        own, team = f"/v1/diagnostics/{DEVICE}", f"/v1/products/{product.id}/diagnostics/{DEVICE}"
        assert (await story.ask("GET", f"{own}/last", kim)).status_code == 404
        assert (await story.ask("POST", f"{own}/update", lee)).status_code == 403
        away = await story.ask("POST", f"/v1/products/{product.id}/diagnostics/{AWAY}/update", product.owner_token)
        assert (away.status_code, away.json()["error"].startswith("The device is not connected")) == (404, True)
        async with ear(story, "/v1/devices/events", kim) as heard:
            asked = await story.ask("POST", f"{own}/update", kim)
            assert (asked.status_code, asked.json()) == (202, {"ok": True})
            await until(lambda: heard.of("spark/device/diagnostics/update"), 10)
        (told,) = heard.of("spark/device/diagnostics/update")
        last = (await story.ok("GET", f"{own}/last", kim))["diagnostics"]
        assert last["payload"] == json.loads(told or "")
        assert last["deviceID"] == DEVICE
        assert last["payload"]["device"]["system"]["memory"]["total"] == 114_688
        assert last["payload"]["service"]["coap"]["round_trip"] >= 0
        assert (await story.ok("GET", f"{team}/last", product.owner_token))["diagnostics"] == last
        assert (await story.ok("GET", team, product.owner_token))["diagnostics"] == [last]
        later = {"start_date": "2100-01-01"}
        assert (await story.ok("GET", team, product.owner_token, params=later))["diagnostics"] == []
        table = await story.ask("GET", own, kim, headers={"Authorization": f"Bearer {kim}", "Accept": "text/csv"})
        assert table.headers["content-type"].startswith("text/csv")
        head, row = table.text.splitlines()
        assert dict(zip(head.split(","), row.split(","), strict=True))["device.system.memory.total"] == "114688"
        # The next owner sees nothing of what it told before; its product's team does (statement 39).
        await story.ok("DELETE", f"/v1/devices/{DEVICE}", kim)
        await story.ok("POST", "/v1/devices", lee, data={"id": DEVICE})
        assert (await story.ask("GET", f"{own}/last", lee)).status_code == 404
        assert (await story.ok("GET", own, lee))["diagnostics"] == []
        assert len((await story.ok("GET", team, product.owner_token))["diagnostics"]) == 1


async def test_where_devices_are_and_were() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        devices = await cloud.start_devices(2, first_id=DEVICE, product_id=product.id)
        await story.import_devices(product, [DEVICE, AWAY])
        path, token = f"/v1/products/{product.id}/locations", product.owner_token
        assert await story.ok("GET", path, token) == {
            "locations": [], "meta": {"page": 1, "per_page": 20, "total_pages": 1, "devices_found": 0},
        }  # fmt: skip

        def at(number: int, latitude: float, longitude: float) -> None:
            said = {"cmd": "loc", "loc": {"lck": 1, "lat": latitude, "lon": longitude}}
            assert devices.all[number].publish("loc", json.dumps(said))

        async def found(**query: str) -> list[dict[str, Any]]:
            return list((await story.ok("GET", path, token, params=query))["locations"])

        async def until_found(count: int, **query: str) -> None:
            async with asyncio.timeout(10):
                while len(await found(**query)) != count:
                    await asyncio.sleep(0.02)

        at(0, 48.1, 11.5)
        at(1, -33.9, 151.2)
        await until_found(2)
        at(0, 48.2, 11.6)
        await until_found(1, rect_bl="48.15,11", rect_tr="49,12")
        one, other = await found()
        assert (one["device_id"], one["geometry"]) == (DEVICE, {"type": "Point", "coordinates": [11.6, 48.2]})
        assert (one["gps_lock"], one["online"], other["device_id"]) == (True, True, AWAY)
        (walked,) = await found(date_range="2020-01-01,2100-01-01", device_id=DEVICE)
        assert walked["geometry"] == {"type": "LineString", "coordinates": [[11.6, 48.2], [11.5, 48.1]]}
        assert [each["device_id"] for each in await found(rect_bl="-40,150", rect_tr="-30,-170")] == [AWAY]
        assert (await story.ok("GET", path, token, params={"per_page": "1", "page": "2"}))["meta"] == {
            "page": 2, "per_page": 1, "total_pages": 2, "devices_found": 2,
        }  # fmt: skip
        alone = await story.ok("GET", f"/v1/products/{product.id}/location/{AWAY}", token)
        assert alone["location"]["geometry"]["coordinates"] == [151.2, -33.9]
        for wrong in WRONG:
            assert (await story.ask("GET", path, token, params=wrong)).status_code == 400, wrong
        customer = await story.customer(product, "kim")
        refused = await story.ask("GET", path, customer)
        assert refused.status_code in {403, 404}
        # A wrong question is refused like a right one, so that it tells nothing.
        assert (await story.ask("GET", path, customer, params={"page": "x"})).content == refused.content
        # A device that leaves the product takes its ways with it.
        await story.ok("DELETE", f"/v1/products/{product.id}/devices/{AWAY}", token)
        assert [each["device_id"] for each in await found()] == [DEVICE]
