"""An application that closes its connection while a device thinks."""

import asyncio

import httpx
import pytest

from cloudchamber.api import waiting
from cloudchamber.gateway.session import DeviceSession
from cloudchamber.ids import DeviceId
from cloudchamber.testing import Cloud
from tests.gateway.cloud import until
from tests.whole.story import Story

DEVICE = "0123456789abcdef01234567"
PATH = f"/v1/devices/{DEVICE}"
COUNT = 40


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_clients_that_go_away_free_the_device(
    protocol: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "WATCH_AFTER_S", 0.05)
    async with Cloud() as cloud, Story(cloud.url) as story:
        await cloud.start_device(DEVICE, protocol=protocol)
        token = await story.user()
        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
        async with asyncio.timeout(10):
            while not (await story.ok("GET", PATH, token))["functions"]:
                await asyncio.sleep(0.05)
        session = cloud.cloud._udp._services.hub.session(DeviceId(DEVICE))  # one hub for both gateways
        assert isinstance(session, DeviceSession)
        requests = session._connection._requests
        path = f"{cloud.url}{PATH}/slow"
        for _ in range(2):
            # Connections of their own, closed while the function runs.
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as leaving:
                calls = [asyncio.create_task(leaving.post(path, data={"arg": "2"})) for _ in range(COUNT)]
                await until(lambda: len(requests.all()) == COUNT, 20)
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
            await until(lambda: not requests.all(), 20)
            await until(lambda: not requests._resting, 20)  # the late answers gave the tokens back
        assert (await story.ok("POST", f"{PATH}/brew", token, data={"arg": "7"}))["return_value"] == 7
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
