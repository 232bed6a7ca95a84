"""Transfers over real sockets, with the mail that they send."""

import httpx
import pytest

from cloudchamber.app import Cloud
from tests.api.conftest import Maker, bearer, log_in

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def two_customers(maker: Maker, device: str, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """The owner of a new device, and somebody who is not."""
    await maker.http.post(f"/v1/products/{maker.product}/devices", json={"id": device}, headers=bearer(maker.token))
    kim, lee = [bearer(await maker.customer(f"{who}@{name}.example")) for who in ("kim", "lee")]
    claimed = await maker.http.post("/v1/devices", json={"id": device, "request_transfer": False}, headers=kim)
    assert claimed.status_code == 200
    return kim, lee


def mail_to(cloud: Cloud, address: str) -> list[str]:
    folder = cloud._settings.data / "mail"
    return [text for path in folder.glob("*.eml") if f"To: {address}" in (text := path.read_text())]


async def test_what_the_cli_does(http: httpx.AsyncClient, cloud: Cloud, maker: Maker) -> None:
    device = "7a" * 12
    kim, lee = await two_customers(maker, device, "cli")
    refused = await http.post("/v1/devices", data={"id": device}, headers=lee)
    assert (refused.status_code, refused.json()) == (403, {"ok": False, "errors": ["That belongs to someone else."]})
    asked = await http.post("/v1/devices", data={"id": device, "request_transfer": "true"}, headers=lee)
    assert (asked.status_code, asked.json()["ok"], asked.json()["id"]) == (200, True, device)
    id_ = asked.json()["transfer_id"]
    mine = (await http.get("/v1/transfers", headers=lee)).json()["transfers"]
    assert [(each["id"], each["direction"], each["status"], "requested_by" in each) for each in mine] == [
        (id_, "outgoing", "pending", False),
    ]
    theirs = (await http.get(f"/v1/transfers/{id_}", headers=kim)).json()["transfer"]
    assert (theirs["direction"], theirs["requested_by"], theirs["device_id"]) == ("incoming", "lee@cli.example", device)
    assert (await http.post(f"/v1/transfers/{id_}", data={"action": "approve"}, headers=lee)).status_code == 404
    assert (await http.post(f"/v1/transfers/{id_}", data={"action": "x"}, headers=kim)).status_code == 400
    approved = await http.post(f"/v1/transfers/{id_}", json={"action": "approve"}, headers=kim)
    assert (approved.status_code, approved.json()) == (200, {"ok": True})
    assert [each["id"] for each in (await http.get("/v1/devices", headers=lee)).json()] == [device]
    assert (await http.get("/v1/devices", headers=kim)).json() == []
    again = await http.post(f"/v1/transfers/{id_}", json={"action": "deny"}, headers=kim)
    text = "The transfer was approved before"
    assert (again.status_code, again.json()) == (409, {"ok": False, "error": text})
    (letter,) = mail_to(cloud, "kim@cli.example")
    assert id_ in letter
    assert "lee@cli.example" in letter


async def test_saying_no_and_taking_back(http: httpx.AsyncClient, maker: Maker) -> None:
    device = "7b" * 12
    kim, lee = await two_customers(maker, device, "no")
    wish = {"id": device, "request_transfer": True}
    first = (await http.post("/v1/devices", json=wish, headers=lee)).json()["transfer_id"]
    assert (await http.post("/v1/devices", json=wish, headers=lee)).json()["transfer_id"] == first
    assert (await http.delete(f"/v1/transfers/{first}", headers=kim)).status_code == 404
    assert (await http.delete(f"/v1/transfers/{first}", headers=lee)).json() == {"ok": True}
    second = (await http.post("/v1/devices", json=wish, headers=lee)).json()["transfer_id"]
    assert (await http.post(f"/v1/transfers/{second}", data={"action": "deny"}, headers=kim)).json() == {"ok": True}
    refused = await http.post("/v1/devices", json=wish, headers=lee)
    assert refused.status_code == 403
    assert refused.json()["errors"][0].startswith("That belongs to someone else.")
    assert [each["status"] for each in (await http.get("/v1/transfers", headers=lee)).json()["transfers"]] == [
        *("denied", "cancelled"),
    ]


async def test_a_wish_for_a_free_device_is_a_claim(http: httpx.AsyncClient, maker: Maker) -> None:
    device = "7c" * 12
    await http.post(f"/v1/products/{maker.product}/devices", json={"id": device}, headers=bearer(maker.token))
    kim = bearer(await maker.customer("kim@free.example"))
    claimed = (await http.post("/v1/devices", json={"id": device, "request_transfer": True}, headers=kim)).json()
    assert claimed["customer_id"]
    missing = await http.post("/v1/devices", json={"id": "0" * 24, "request_transfer": True}, headers=kim)
    assert (missing.status_code, missing.json()) == (404, {"ok": False, "errors": ["device does not exist"]})
    assert (await http.get("/v1/transfers", headers=bearer(maker.product_token))).status_code == 403
    assert (await http.get("/v1/transfers", headers=bearer(await log_in(http, maker.username, maker.password)))).json()
