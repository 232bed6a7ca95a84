"""Firmware over real sockets: what clients send, and what they get. (Devices that take it are in tests/whole.)"""

import re
from typing import Any

import httpx
import pytest

from cloudchamber.api.compiling import NOT_COMPILED
from cloudchamber.wire.update.module import build_module
from tests.api.conftest import Maker, bearer

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def binary(maker: Maker, version: int | None, **changes: Any) -> bytes:
    given = {"platform_id": 6, "product_id": maker.product, "product_version": version}
    return build_module(b"a program" * 10_000, **(given | changes))


async def test_versions_over_http(http: httpx.AsyncClient, maker: Maker, stranger: Maker) -> None:
    path, mine, others = f"/v1/products/{maker.slug}/firmware", bearer(maker.token), bearer(stranger.token)
    assert (await http.get(path, headers=mine)).json() == []
    data = binary(maker, 7)
    form = {"version": "7", "title": "Seven", "description": "the seventh", "mandatory": "true"}
    made = await http.post(path, data=form, files={"binary": ("seven.bin", data)}, headers=mine)
    assert made.status_code == 201
    shown = made.json()
    assert re.fullmatch("[0-9a-f]{24}", shown.pop("_id"))
    assert all(DATE.fullmatch(shown.pop(key)) for key in ("uploaded_on", "updated_at"))
    assert shown == {
        "version": 7,
        "title": "Seven",
        "description": "the seventh",
        "name": "seven.bin",
        "size": len(data),
        "product_id": maker.product,
        "uploaded_by": {"id": shown["uploaded_by"]["id"], "username": maker.username},
        "current": False,
        "product_default": False,
        "groups": [],
        "mandatory": True,
        "intelligent": False,
        "device_count": 0,
    }
    # As the JavaScript SDK sends it, and a product's own server.
    by_client = await http.post(
        path, data={"version": "8"}, files={"file": ("firmware.bin", binary(maker, 8))}, headers=bearer(maker.token)
    )
    assert (by_client.status_code, by_client.json()["name"], by_client.json()["title"]) == (201, "firmware.bin", "")
    server = bearer(maker.product_token)
    assert [each["version"] for each in (await http.get(path, headers=server)).json()] == [7, 8]
    again = await http.post(path, data={"version": "8"}, files={"file": ("x.bin", binary(maker, 8))}, headers=mine)
    taken = {"ok": False, "error": "The product has firmware version 8 already"}
    assert (again.status_code, again.json()) == (400, taken)

    changed = await http.put(f"{path}/7", json={"title": "7", "mandatory": False}, headers=mine)
    assert (changed.status_code, changed.json()["title"], changed.json()["mandatory"]) == (200, "7", False)
    assert changed.json()["description"] == "the seventh"
    assert (await http.get(f"{path}/7", headers=mine)).json() == changed.json()

    raw = await http.get(f"{path}/7/binary", headers=mine)
    assert (raw.status_code, raw.content, raw.headers["content-type"]) == (200, data, "application/octet-stream")
    assert raw.headers["content-disposition"] == "attachment; filename*=UTF-8''seven.bin"

    untested = await http.put(f"{path}/release", json={"version": 7, "product_default": True}, headers=mine)
    assert untested.status_code == 400
    assert "No device of the product has run version 7" in untested.json()["error"]
    nobody = await http.put(f"{path}/release", json={"version": 7}, headers=mine)
    assert (nobody.status_code, nobody.json()["error"][:17]) == (400, "Release to whom? ")
    assert (await http.put(f"{path}/release", json={"product_default": True}, headers=mine)).status_code == 400

    for method, tail in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/binary")):
        for missing in ("9", "070", "x", "99999999999", "-1", "%C2%B2"):
            answer = await http.request(method, f"{path}/{missing}{tail}", headers=mine)
            assert (answer.status_code, answer.json()["ok"]) == (404, False), (method, missing)
        assert (await http.request(method, f"{path}/7{tail}", headers=others)).status_code == 404
    gone = await http.delete(f"{path}/7", headers=mine)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await http.get(f"{path}/7/binary", headers=mine)).status_code == 404
    assert (await http.delete(f"{path}/8", headers=mine)).status_code == 204


async def test_uploads_that_are_wrong(http: httpx.AsyncClient, maker: Maker) -> None:
    path, mine = f"/v1/products/{maker.product}/firmware", bearer(maker.token)
    good = binary(maker, 7)

    async def refused(form: dict[str, str], files: dict[str, Any]) -> str:
        answer = await http.post(path, data=form, files=files or None, headers=mine)
        assert answer.status_code == 400, answer.text
        assert answer.json()["ok"] is False
        return str(answer.json()["error"])

    assert "The binary is missing" in await refused({"version": "7"}, {})
    assert "The binary is missing" in await refused({"version": "7"}, {"firmware": ("a.bin", good)})
    assert "version is missing" in await refused({}, {"binary": ("a.bin", good)})
    assert "version" in await refused({"version": "x"}, {"binary": ("a.bin", good)})
    assert "version" in await refused({"version": "65535"}, {"binary": ("a.bin", good)})
    assert "says that it is version 7" in await refused({"version": "8"}, {"binary": ("a.bin", good)})
    assert "CRC" in await refused({"version": "7"}, {"binary": ("a.bin", good[:-1] + bytes([good[-1] ^ 1]))})
    assert "too short" in await refused({"version": "7"}, {"binary": ("a.bin", b"")})
    assert "platform 8" in await refused({"version": "7"}, {"binary": ("a.bin", binary(maker, 7, platform_id=8))})
    assert "belongs to product 1," in await refused({"version": "7"}, {"binary": ("a", binary(maker, 7, product_id=1))})
    assert "PRODUCT_VERSION" in await refused({"version": "7"}, {"binary": ("a.bin", binary(maker, None))})
    large = await http.post(path, data={"version": "7"}, files={"binary": ("a.bin", bytes(6 << 20))}, headers=mine)
    assert large.status_code == 413
    assert (await http.get(path, headers=mine)).json() == []


async def test_a_version_must_exist_before_devices_are_locked_to_it(http: httpx.AsyncClient, maker: Maker) -> None:
    product, mine, device = f"/v1/products/{maker.product}", bearer(maker.token), "f00d" * 6
    await http.post(f"{product}/devices", json={"id": device}, headers=mine)
    lock = {"desired_firmware_version": 3, "flash": True}
    missing = await http.put(f"{product}/devices/{device}", json=lock, headers=mine)
    assert (missing.status_code, missing.json()) == (404, {"ok": False, "error": "Firmware version 3 not found"})
    files = {"binary": ("a.bin", binary(maker, 3))}
    assert (await http.post(f"{product}/firmware", data={"version": "3"}, files=files, headers=mine)).status_code == 201
    locked = await http.put(f"{product}/devices/{device}", json=lock, headers=mine)
    assert (locked.status_code, locked.json()["desired_firmware_version"]) == (200, 3)
    detail = (await http.get(f"{product}/devices/{device}", headers=mine)).json()
    assert (detail["desired_firmware_version"], detail["targeted_firmware_release_version"]) == (3, None)


async def test_flashing_what_is_not_there(http: httpx.AsyncClient, maker: Maker, stranger: Maker) -> None:
    mine, others, device = bearer(maker.token), bearer(stranger.token), "f1a5" * 6
    await http.post(f"/v1/products/{maker.product}/devices", json={"id": device}, headers=mine)
    claimed = await http.post("/v1/devices", data={"id": device}, headers=mine)
    assert claimed.json()["ok"] is True
    good = {"file": ("a.bin", binary(maker, 7))}
    for path in (f"/v1/devices/{device}", f"/v1/products/{maker.product}/devices/{device}"):
        offline = await http.put(path, data={"file_type": "binary"}, files=good, headers=mine)
        timed_out = {"ok": False, "code": 500, "errors": ["Request Timed Out"]}
        assert (offline.status_code, offline.json()) == (500, timed_out)
        bad = await http.put(path, files={"file": ("a.bin", b"\0")}, headers=mine)
        assert (bad.status_code, bad.json()["ok"]) == (400, False)
        assert "This is not a firmware binary" in bad.json()["error"]
        bundle = await http.put(path, files={"file": ("a.zip", b"PK\3\4")}, headers=mine)
        assert (bundle.status_code, "Bundles" in bundle.json()["error"]) == (400, True)
        sources = {"file": ("a.ino", b"void setup() {}"), "file2": ("b.h", b"")}
        compiled = await http.put(path, data={"latest": "true"}, files=sources, headers=mine)
        refused = {"ok": False, "errors": [NOT_COMPILED]}
        assert (compiled.status_code, compiled.json()) == (501, refused)
        for app in ({"app": "tinker"}, {"app_id": "../x"}):
            known = await http.put(path, data=app, headers=mine)
            assert (known.status_code, known.json()["ok"]) == (404, False)
    theirs = await http.put(f"/v1/devices/{device}", files=good, headers=others)
    assert (theirs.status_code, theirs.json()["error"]) == (403, "Permission Denied")
    product = await http.put(f"/v1/products/{maker.product}/devices/{device}", files=good, headers=others)
    assert product.status_code == 404
    for who in ("kim@flash.example",):
        token = await maker.customer(who)
        assert (await http.put(f"/v1/devices/{device}", files=good, headers=bearer(token))).status_code == 403
