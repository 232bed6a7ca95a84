"""A product's devices over real sockets: lists, locks, quarantine, deny list."""

import asyncio

import httpx
import pytest

from cloudchamber.testing import Cloud
from cloudchamber.wire.update.module import build_module
from tests.api.conftest import Maker, bearer
from tests.whole.story import Story

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_pages_filters_and_orders(http: httpx.AsyncClient, maker: Maker) -> None:
    path, mine = f"/v1/products/{maker.product}/devices", bearer(maker.token)
    ids = [f"{0xAB10_0000 + number:024x}" for number in range(7)]
    await http.post(path, json={"ids": ids}, headers=mine)
    for number, id_ in enumerate(ids[:5]):
        sent = {"name": f"Page {'xyzzy' if number % 2 else 'plugh'} {number}", "serial_number": f"PG00{number}"}
        assert (await http.put(f"{path}/{id_}", json=sent, headers=mine)).status_code == 200

    async def page(query: str) -> tuple[list[int], int]:
        answer = (await http.get(f"{path}?{query}", headers=mine)).json()
        return [ids.index(each["id"]) for each in answer["devices"]], answer["meta"]["total_pages"]

    by_name = "deviceName=PAGE&sortAttr=deviceName"
    assert await page(f"{by_name}&sortDir=asc") == ([0, 2, 4, 1, 3], 1)
    assert await page(f"{by_name}&sortDir=desc&perPage=2&page=2") == ([4, 2], 3)
    assert await page(f"{by_name}&per_page=2&page=3") == ([0], 3)
    assert await page(f"{by_name}&per_page=2&page=4") == ([], 3)
    assert await page("deviceName=xyzzy&sortAttr=deviceId") == ([3, 1], 1)
    assert await page("serialNumber=pg003") == ([3], 1)
    assert await page(f"deviceId={ids[6][-8:].upper()}") == ([6], 1)
    assert await page("deviceName=nothing") == ([], 1)
    for bad in ("page=0", "page=x", "perPage=100000", "quarantined=perhaps"):
        assert (await http.get(f"{path}?{bad}", headers=mine)).status_code == 400, bad


async def test_what_a_product_sets_and_a_customer_cannot(http: httpx.AsyncClient, maker: Maker) -> None:
    device = "c0de" * 6
    path, mine = f"/v1/products/{maker.product}/devices/{device}", bearer(maker.token)
    await http.post(f"/v1/products/{maker.product}/devices", json={"id": device}, headers=mine)
    kim = bearer(await maker.customer("kim@locks.example"))
    assert (await http.post("/v1/devices", json={"id": device}, headers=kim)).json()["ok"] is True
    firmware = build_module(b"program", platform_id=6, product_id=maker.product, product_version=3)
    versions = f"/v1/products/{maker.product}/firmware"
    await http.post(versions, data={"version": "3"}, files={"binary": ("a.bin", firmware)}, headers=mine)
    locked = (await http.put(path, json={"desired_firmware_version": 3, "flash": False}, headers=mine)).json()
    assert (locked["id"], locked["desired_firmware_version"]) == (device, 3)
    for nothing in ({"json": {"desired_firmware_version": None}}, {"data": {"desired_firmware_version": "null"}}):
        unlocked = (await http.put(path, headers=mine, **nothing)).json()
        assert unlocked["desired_firmware_version"] is None
    for field in ("firmware_updates_enabled", "firmware_updates_forced"):
        for where, who in ((path, mine), (f"/v1/devices/{device}", kim)):
            for value in (True, False):
                answer = (await http.put(where, json={field: value}, headers=who)).json()
                assert answer == {"id": device, field: value, "updated_at": answer["updated_at"]}
    theirs = {"development": True, "denied": True, "quarantined": True, "groups": ["a"], "desired_firmware_version": 3}
    nothing_to_do = await http.put(f"/v1/devices/{device}", json=theirs, headers=kim)
    assert (nothing_to_do.status_code, nothing_to_do.json()) == (400, {"error": "Nothing to do?", "ok": False})
    detail = (await http.get(path, headers=mine)).json()
    assert (detail["development"], detail["denied"], detail["quarantined"], detail["groups"]) == (
        *(False, False, False, []),
    )
    assert detail["desired_firmware_version"] is None


async def test_the_deny_list(http: httpx.AsyncClient, maker: Maker) -> None:
    device = "dead" * 6
    path, mine = f"/v1/products/{maker.product}/devices", bearer(maker.token)
    await http.post(path, json={"id": device}, headers=mine)
    kim = bearer(await maker.customer("kim@denied.example"))
    await http.post("/v1/devices", json={"id": device}, headers=kim)
    denied = await http.request("DELETE", f"{path}/{device}", json={"deny": True}, headers=mine)
    assert (denied.status_code, denied.content) == (204, b"")
    assert (await http.get("/v1/devices", headers=kim)).json() == []
    assert (await http.post("/v1/devices", json={"id": device}, headers=kim)).status_code == 404
    listed = (await http.get(f"{path}?denied=true", headers=mine)).json()["devices"]
    assert [(each["id"], each["denied"], each["owner"]) for each in listed] == [(device, True, None)]
    again = (await http.post(path, json={"id": device}, headers=mine)).json()
    assert (again["updated"], again["updatedDeviceIds"]) == (1, [device])
    taken_off = await http.put(f"{path}/{device}", json={"denied": True}, headers=mine)
    assert taken_off.json()["denied"] is True
    assert (await http.request("DELETE", f"{path}/{device}", json={}, headers=mine)).status_code == 204
    assert (await http.get(f"{path}/{device}", headers=mine)).status_code == 404


async def test_imported_devices_can_be_claimed_for_a_member_of_the_team(
    http: httpx.AsyncClient, maker: Maker, stranger: Maker
) -> None:
    path, mine = f"/v1/products/{maker.product}/devices", bearer(maker.product_token)
    ids = [f"{0xC1A1_0000 + number:024x}" for number in range(3)]
    kim = bearer(await maker.customer("kim@claims.example"))
    await http.post(path, json={"id": ids[0]}, headers=mine)
    await http.post("/v1/devices", json={"id": ids[0]}, headers=kim)
    for wrong in (stranger.username, "nobody@example.com", "kim@claims.example"):
        refused = await http.post(path, json={"ids": ids, "claim_user": wrong}, headers=mine)
        text = "claim_user must be a member of the product's team"
        assert (refused.status_code, refused.json()["error"]) == (400, text)
    files = {"file": ("file", "\r\n".join(["Device ID", *ids, ""]).encode())}
    done = (await http.post(f"{path}?claim_user={maker.username}", files=files, headers=mine)).json()
    assert (done["updatedDeviceIds"], done["existingDeviceIds"]) == (ids[1:], ids[:1])
    owned = {each["id"] for each in (await http.get("/v1/devices", headers=bearer(maker.token))).json()}
    assert owned >= set(ids[1:])
    assert ids[0] not in owned
    again = (await http.post(path, json={"ids": ids, "claim_user": maker.username}, headers=mine)).json()
    assert (again["updated"], again["existingDeviceIds"]) == (0, ids)


async def test_a_device_in_quarantine_from_its_first_word_to_its_last() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        owner = await story.user()
        product = await story.product(owner)
        path = f"/v1/products/{product.id}/devices"
        devices = await cloud.start_device("0" * 23 + "1", product_id=product.id)
        device = devices.all[0].id

        async def listed(query: str) -> list[str]:
            return [each["id"] for each in (await story.ok("GET", f"{path}?{query}", owner))["devices"]]

        # The device hears the server's Hello before the server has written down that it is here.
        async with asyncio.timeout(10):
            while await listed("quarantined=true") != [device]:
                await asyncio.sleep(0.02)
        detail = await story.ok("GET", f"{path}/{device}", owner)
        assert (detail["quarantined"], detail["online"], detail["firmware_product_id"]) == (True, True, product.id)
        for method, what in (("GET", "counter"), ("POST", "lightsOn"), ("PUT", "ping")):
            refused = await story.ask(method, f"{path}/{device}/{what}", owner)
            assert refused.status_code == 403, what
            assert "quarantine" in refused.json()["error"]
        # Approved, it works at once, in the same connection.
        done = await story.ok("POST", path, owner, json={"id": device})
        assert done["updatedDeviceIds"] == [device]
        assert await listed("quarantined=true") == []
        assert (await story.ok("GET", f"{path}/{device}/counter", owner))["result"] >= 0
        # Denied, it is sent away and does not come back.
        answer = await story.ask("DELETE", f"{path}/{device}", owner, json={"deny": True})
        assert answer.status_code == 204
        refused = await story.ask("GET", f"{path}/{device}/counter", owner)
        assert (refused.status_code, "deny list" in refused.json()["error"]) == (403, True)
        detail = await story.ok("GET", f"{path}/{device}", owner)
        assert (detail["denied"], detail["online"]) == (True, False)
