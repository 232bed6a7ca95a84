"""The vendor's own set-up client, unmodified, in Node: from a device in listening mode to its right owner."""

import asyncio
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_public_key

from cloudchamber.clock import DAY
from cloudchamber.simulator.device import State
from cloudchamber.testing import Cloud, Devices
from tests.whole.story import Story

HERE = Path(__file__).parent
NODE = Path(sys.executable).parent / "node"
DEVICE = "0123456789abcdef01234567"
NETWORKS = ("Chamber=cloud-in-a-box", "Guests", "enterprise:Campus=kim@pw-of-kim")


async def set_up(device: Devices, protocol: str, claim_code: str, *networks: dict[str, Any]) -> dict[str, Any]:
    host, port = device.softap_address
    given = {"protocol": protocol, "host": host, "port": port, "claimCode": claim_code, "networks": networks}
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        "--no-deprecation",
        str(HERE / "softap.cjs"),
        json.dumps(given),
        cwd=HERE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    told: dict[str, Any] = json.loads(out)
    return told


def certificate() -> tuple[str, str]:
    """A client certificate and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kim")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(milliseconds=DAY))
        .sign(private, hashes.SHA256())
    )
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM).decode(), key.decode()


def networks() -> dict[str, list[dict[str, Any]]]:
    crt, key = certificate()
    return {
        "open": [{"ssid": "Guests", "security": "open"}],
        "wpa2": [{"ssid": "Chamber", "security": "wpa2", "password": "cloud-in-a-box", "channel": 6}],
        "peap": [
            {
                "ssid": "Campus",
                "security": "wpa2_enterprise",
                "eap": "peap",
                "username": "kim",
                "password": "pw-of-kim",
                "outer_identity": "anonymous",
            }
        ],
        "tls": [
            {
                "ssid": "Campus",
                "security": "wpa2_enterprise",
                "eap": "tls",
                "client_certificate": crt,
                "private_key": key,
                "ca": crt,
            }
        ],
    }


@pytest.mark.parametrize("network", ["open", "wpa2", "peap", "tls"])
@pytest.mark.parametrize("protocol", ["http", "tcp"])
async def test_from_the_box_to_the_customer(protocol: str, network: str) -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        maker = await story.user()
        product = await story.product(maker)
        await story.import_devices(product, [DEVICE])
        kim, eve = await story.customer(product, "kim@example.com"), await story.customer(product, "eve@example.com")
        device = await cloud.start_device(DEVICE, product_id=product.id, softap=True, networks=NETWORKS)
        code = await story.ok("POST", f"/v1/products/{product.id}/device_claims", kim, json={})
        assert code["device_ids"] == []

        told = await set_up(device, protocol, code["claim_code"], *networks()[network])
        assert told["version"] == {"v": 2}
        assert told["deviceInfo"] == {"id": DEVICE, "claimed": False}
        assert [(seen["ssid"], seen["sec"]) for seen in told["scan"]] == [
            ("Chamber", 0x00400004),
            ("Guests", 0),
            ("Campus", 0x02400004),
        ]
        softap = device.all[0].softap
        assert softap is not None
        assert load_pem_public_key(told["publicKey"].encode()) == softap.key.public_key()
        assert told["configured"] == [{"r": 0}]

        # As set-up apps do: ask until the device is there.
        async with asyncio.timeout(20):
            while not (mine := await story.ok("GET", "/v1/devices", kim)):
                await asyncio.sleep(0.05)
        assert [(found["id"], found["connected"]) for found in mine] == [(DEVICE, True)]
        assert await story.ok("GET", "/v1/devices", eve) == []
        called = await story.ok("POST", f"/v1/devices/{DEVICE}/brew", kim, json={"args": "5"})
        assert called["return_value"] == 5
        again = await story.ok("POST", f"/v1/products/{product.id}/device_claims", kim, json={})
        assert again["device_ids"] == [DEVICE]
        # The device forgot its code, and says that it belongs to somebody.
        assert device.all[0].setup.claim_code is None
        assert device.all[0].is_claimed


@pytest.mark.parametrize("protocol", ["http", "tcp"])
async def test_a_wrong_password_brings_the_device_back_to_listening(protocol: str) -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        user = await story.user()
        device = await cloud.start_device(DEVICE, softap=True, networks=NETWORKS)
        code = (await story.ok("POST", "/v1/device_claims", user, json={}))["claim_code"]
        (wpa2,) = networks()["wpa2"]
        await set_up(device, protocol, code, wpa2 | {"password": "cloud-in-a-bag"})
        async with asyncio.timeout(10):
            while device.all[0].state is not State.JOINING:
                await asyncio.sleep(0.01)
        await device.listening()
        assert any("is the password right?" in line for line in device.recorder.log_lines)
        assert await story.ok("GET", "/v1/devices", user) == []
        await set_up(device, protocol, code, wpa2)
        async with asyncio.timeout(20):
            while not (mine := await story.ok("GET", "/v1/devices", user)):
                await asyncio.sleep(0.05)
        assert [found["id"] for found in mine] == [DEVICE]
