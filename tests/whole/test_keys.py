"""A key that is sent over the API, and the device that is online with another one."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.testing import Cloud
from tests.gateway.cloud import until
from tests.whole.story import Story

DEVICE = "0123456789abcdef01234567"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_a_key_sent_for_a_device_that_is_online_with_another(protocol: str) -> None:
    key = rsa.generate_private_key(65537, 1024) if protocol == "tcp" else ec.generate_private_key(ec.SECP256R1())
    sent = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    async with Cloud() as cloud, Story(cloud.url) as story:
        devices = await cloud.start_device(DEVICE, protocol=protocol)
        token = await story.user()
        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
        body = {"deviceID": DEVICE, "publicKey": sent}
        assert await story.ok("POST", f"/v1/provisioning/{DEVICE}", token, json=body) == "Success!"
        assert not (await story.ok("GET", f"/v1/devices/{DEVICE}", token))["connected"]
        # It comes back, with the key that it has, and is refused.
        await until(lambda: sum("connecting" in line for line in devices.recorder.log_lines) >= 2, 20)
        await asyncio.sleep(1)
        assert not (await story.ok("GET", f"/v1/devices/{DEVICE}", token))["connected"]
