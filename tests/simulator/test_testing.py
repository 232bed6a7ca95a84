"""What `cloudchamber.testing` promises."""

import asyncio
from typing import Any

import pytest

from cloudchamber.fleet.connections import Connections
from cloudchamber.ids import DeviceId
from cloudchamber.testing import Cloud

ID = DeviceId("0123456789abcdef01234567")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_a_device_that_was_started_is_known(monkeypatch: pytest.MonkeyPatch, protocol: Any) -> None:
    """However long it takes the cloud to note it: whoever started a device may claim it."""
    online = Connections.online

    async def slow(connections: Connections, *arguments: Any) -> Any:
        await asyncio.sleep(0.3)
        return await online(connections, *arguments)

    monkeypatch.setattr(Connections, "online", slow)
    async with Cloud() as cloud:
        await cloud.start_device(ID, protocol=protocol)
        assert cloud.cloud.devices.arrival(ID) is not None
