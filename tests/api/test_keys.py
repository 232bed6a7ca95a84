"""Keys of devices and of the server, serial numbers, new ids: over real sockets."""

from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from cloudchamber.app import Cloud
from cloudchamber.fleet.store import KeyStore
from cloudchamber.ids import DeviceId
from tests.api.conftest import Maker, bearer, make_maker

pytestmark = pytest.mark.asyncio(loop_scope="module")


def pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


RSA, ECC = rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256R1())
STRANGE_KEYS = {
    "too long a key for a device": pem(rsa.generate_private_key(65537, 2048)),
    "another exponent": pem(rsa.generate_private_key(3, 1024)),
    "another curve": pem(ec.generate_private_key(ec.SECP384R1())),
    "no key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    "no PEM": "hello",
    "a megabyte": "x" * 1_000_000,
}


async def send(http: httpx.AsyncClient, device: str, token: str, key: str = pem(RSA), **more: Any) -> httpx.Response:
    body = {"deviceID": device, "publicKey": key, "filename": "cli", "order": "manual_1", **more}
    return await http.post(f"/v1/provisioning/{device}", data=body, headers=bearer(token))


async def recorded(cloud: Cloud, device: str) -> bytes | None:
    found = await KeyStore().of_device(cloud.db, DeviceId(device))
    return found.public_key if found else None


async def test_the_owner_of_a_device_sends_its_key(http: httpx.AsyncClient, cloud: Cloud, maker: Maker) -> None:
    device = "c1" * 12
    await maker.http.post(f"/v1/products/{maker.product}/devices", json={"id": device}, headers=bearer(maker.token))
    await http.post("/v1/devices", json={"id": device}, headers=bearer(maker.token))
    for key, algorithm in ((RSA, "rsa"), (ECC, "ecc")):
        answer = await send(http, device.upper(), maker.token, pem(key), algorithm=algorithm)
        assert (answer.status_code, answer.json()) == (200, "Success!")
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert await recorded(cloud, device) == der


async def test_strangers_and_customers_change_no_key(http: httpx.AsyncClient, cloud: Cloud, maker: Maker) -> None:
    device = "c2" * 12
    await http.post(f"/v1/products/{maker.product}/devices", json={"id": device}, headers=bearer(maker.token))
    customer = await maker.customer("keys@customer.example")
    await http.post("/v1/devices", json={"id": device}, headers=bearer(customer))
    other = await make_maker(http, "keys-other@example.com")
    answer = await send(http, device, other.token)
    assert (answer.status_code, answer.json()["error"]) == (403, "Permission Denied")
    assert (await send(http, device, customer)).status_code == 403
    assert (await send(http, device, other.token, product_id=maker.product)).status_code in {403, 404}
    # Nor by taking it into a product of one's own.
    assert (await send(http, device, other.token, product_id=other.product)).status_code == 403
    assert await recorded(cloud, device) is None
    assert (await send(http, device, maker.token)).json() == "Success!"
    assert await recorded(cloud, device) is not None


async def test_what_a_stranger_says_of_an_unknown_device_binds_it_to_nothing(
    http: httpx.AsyncClient, cloud: Cloud, maker: Maker
) -> None:
    device = "c3" * 12
    assert (await send(http, device, maker.token)).json() == "Success!"
    assert await recorded(cloud, device) is None
    answer = await send(http, device, maker.token, product_id=str(maker.product))
    assert (answer.status_code, answer.json()) == (200, "Success!")
    assert await recorded(cloud, device) is not None
    path = f"/v1/products/{maker.product}/devices/{device}"
    assert (await http.get(path, headers=bearer(maker.token))).json()["product_id"] == maker.product


@pytest.mark.parametrize("key", STRANGE_KEYS.values(), ids=STRANGE_KEYS)
async def test_keys_that_no_device_has(http: httpx.AsyncClient, cloud: Cloud, maker: Maker, key: str) -> None:
    answer = await send(http, "c4" * 12, maker.token, key)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(("Key error", "publicKey is longer")), answer.text
    assert await recorded(cloud, "c4" * 12) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"deviceID": ""}, "No deviceID provided"),
        ({"publicKey": " "}, "No key provided"),
        ({"algorithm": "dsa"}, "Key error: algorithm must be rsa or ecc"),
        ({"algorithm": "ecc"}, "Key error: it is an RSA key"),
        ({"deviceID": "c6" * 12}, "deviceID is another than the path's"),
    ],
)
async def test_what_is_wrong_is_said(
    http: httpx.AsyncClient, maker: Maker, changed: dict[str, str], message: str
) -> None:
    body = {"deviceID": "c5" * 12, "publicKey": pem(RSA)} | changed
    answer = await http.post(f"/v1/provisioning/{'c5' * 12}", json=body, headers=bearer(maker.token))
    assert (answer.status_code, answer.json()) == (400, {"error": message})


async def test_the_servers_keys(http: httpx.AsyncClient) -> None:
    for algorithm, kind in (("rsa", rsa.RSAPublicKey), ("ecc", ec.EllipticCurvePublicKey)):
        text = await http.get(f"/v1/server_keys/{algorithm}")
        der = await http.get(f"/v1/server_keys/{algorithm}?format=der")
        one, other = load_pem_public_key(text.content), load_der_public_key(der.content)
        assert isinstance(one, kind)
        assert one.public_numbers() == other.public_numbers()  # type: ignore[union-attr]
    assert (await http.get("/v1/server_keys/dsa")).status_code == 404
    assert (await http.get("/v1/server_keys/rsa?format=jwk")).status_code == 400


async def test_a_serial_number_names_its_device(http: httpx.AsyncClient, maker: Maker) -> None:
    device, mine = "c7" * 12, bearer(maker.token)
    path = f"/v1/products/{maker.product}/devices"
    await http.post(path, json={"id": device}, headers=mine)
    printed = {"serial_number": "P046AB12345678", "mobile_secret": "ABCDEFGHIJKLMNO"}
    assert (await http.put(f"{path}/{device}", json=printed, headers=mine)).status_code == 200
    for token in (maker.token, await maker.customer("sn@customer.example")):
        found = await http.get("/v1/serial_numbers/p046ab12345678", headers=bearer(token))
        assert (found.status_code, found.json()) == (200, {"ok": True, "deviceID": device})
        secret = {"mobile_secret": printed["mobile_secret"]}
        assert (await http.get("/v1/serial_numbers/P046AB12345678", params=secret, headers=mine)).status_code == 200
        wrong = await http.get("/v1/serial_numbers/P046AB12345678", params={"mobile_secret": "no"}, headers=mine)
        nothing = await http.get("/v1/serial_numbers/P046AB99999999", headers=mine)
        assert wrong.status_code == nothing.status_code == 404
        assert wrong.json() == nothing.json() == {"ok": False, "error": "Serial number not found"}


async def test_a_new_id_for_hardware_without_one(http: httpx.AsyncClient, maker: Maker) -> None:
    made = [
        await http.post("/v1/devices", json={"product_id": maker.product}, headers=bearer(maker.token)) for _ in "ab"
    ]
    assert [each.status_code for each in made] == [200, 200]
    one, other = [each.json() for each in made]
    assert (len(one["id"]), one["product_id"], one["id"] != other["id"]) == (24, maker.product, True)
    customer = bearer(await maker.customer("new-id@customer.example"))
    refused = await http.post("/v1/devices", json={"product_id": maker.product}, headers=customer)
    assert refused.status_code == 404
    assert (await http.post("/v1/devices", json={"product_id": 60_000}, headers=customer)).status_code == 404
    neither = await http.post("/v1/devices", json={}, headers=bearer(maker.token))
    assert neither.json() == {"ok": False, "errors": ["data.deviceID is empty"]}
