"""Groups over real sockets."""

import httpx
import pytest

from tests.api.conftest import Maker, bearer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_group_over_http(http: httpx.AsyncClient, maker: Maker, stranger: Maker) -> None:
    path = f"/v1/products/{maker.slug}/groups"
    mine, others = bearer(maker.token), bearer(stranger.token)
    made = await http.post(path, json={"name": "Pilot", "color": "#00ae42"}, headers=mine)
    group = {"name": "Pilot", "description": None, "color": "#00ae42", "fw_version": None, "device_count": 0}
    assert (made.status_code, made.json()) == (201, {"group": group})
    again = await http.post(path, data={"name": "pilot"}, headers=mine)
    taken = {"ok": False, "error": "The product has a group pilot already"}
    assert (again.status_code, again.json()) == (409, taken)
    bad = await http.post(path, data={"name": "no good"}, headers=mine)
    assert bad.status_code == 400
    assert (await http.get(f"{path}/PILOT", headers=mine)).json() == {"group": group}
    changed = await http.put(f"{path}/pilot", json={"description": "first"}, headers=mine)
    assert (changed.status_code, changed.json()["group"]["description"]) == (200, "first")
    assert [each["name"] for each in (await http.get(f"{path}?name=ilo", headers=mine)).json()["groups"]] == ["Pilot"]
    for method in ("GET", "PUT", "DELETE"):
        assert (await http.request(method, f"{path}/pilot", headers=others)).status_code == 404
        missing = await http.request(method, f"{path}/nothing", headers=mine)
        assert (missing.status_code, missing.json()) == (404, {"ok": False, "error": "Group not found"})
    gone = await http.delete(f"{path}/PILOT", headers=mine)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await http.get(path, headers=mine)).json() == {"groups": []}


async def test_members_one_by_one_and_in_a_batch(http: httpx.AsyncClient, maker: Maker, stranger: Maker) -> None:
    path, mine = f"/v1/products/{maker.product}/devices", bearer(maker.token)
    ids = [f"{0xFACE0000 + number:024x}" for number in range(3)]
    await http.post(path, json={"ids": ids}, headers=mine)
    one = await http.put(f"{path}/{ids[0]}", json={"groups": ["a", "B"]}, headers=mine)
    assert (one.status_code, one.json()["groups"]) == (200, ["a", "B"])
    sent = {"action": "groups", "devices": ids, "metadata": {"add": ["c"], "remove": ["A"]}}
    many = await http.put(path, json=sent, headers=mine)
    assert (many.status_code, many.json()) == (200, {"ok": True})
    as_form = {"action": "groups", "devices[]": ids[:2], "metadata[add][]": ["d"]}
    assert (await http.put(path, data=as_form, headers=bearer(maker.product_token))).json() == {"ok": True}
    listed = (await http.get(f"{path}?groups=c&sortAttr=deviceId&sortDir=asc", headers=mine)).json()["devices"]
    assert [(each["id"], each["groups"]) for each in listed] == [
        *((ids[0], ["B", "c", "d"]), (ids[1], ["c", "d"]), (ids[2], ["c"])),
    ]
    both = (await http.get(f"{path}?groups=B,d", headers=mine)).json()
    assert {each["id"] for each in both["devices"]} == set(ids[:2])
    wrong = await http.put(path, json={**sent, "devices": [*ids, "0" * 24]}, headers=mine)
    assert wrong.status_code == 404
    assert "nothing was changed" in wrong.json()["error"]
    assert (await http.put(path, json={**sent, "action": "x"}, headers=mine)).status_code == 400
    assert (await http.put(path, json=sent, headers=bearer(stranger.token))).status_code == 404
    none = await http.put(f"{path}/{ids[0]}", json={"groups": []}, headers=mine)
    assert none.json()["groups"] == []
