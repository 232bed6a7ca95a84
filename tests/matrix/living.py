"""A device that is there, in a world that is otherwise asleep: what is asked of it is really answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from cloudchamber.api.routes.paths import DEVICE_KEYWORDS, PRODUCT_DEVICE_KEYWORDS
from cloudchamber.app import Cloud
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.simulator.device import VirtualDevice
from cloudchamber.simulator.firmware import Firmware, Function, Variable
from cloudchamber.simulator.fleet import Fleet, FleetPlan, load_keys
from cloudchamber.simulator.target import find_target
from cloudchamber.testing import Recorder
from cloudchamber.wire.session.profile import profile_on
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.values import VariableType

NAME: Final = "touch"
# Each is a function and a variable of it: by some methods the keywords of its paths are names, too.
_NAMES: Final = dict.fromkeys((NAME, "events", *DEVICE_KEYWORDS, *PRODUCT_DEVICE_KEYWORDS))
PHOTON: Final = 6


class Living(Firmware):
    touched = 0
    """How often one of its functions was called."""

    @property
    def functions(self) -> Mapping[str, Function]:
        return dict.fromkeys(_NAMES, self._touch)

    @property
    def variables(self) -> Mapping[str, Variable]:
        return dict.fromkeys(_NAMES, (VariableType.INT, lambda _now: 7))

    def _touch(self, _argument: str, _now: float) -> int:
        self.touched += 1
        return 7


@contextlib.asynccontextmanager
async def living(
    cloud: Cloud, folder: Path, device: DeviceId, product: ProductId, keys: Path
) -> AsyncIterator[VirtualDevice]:
    """`device`, online and described. `keys`: where its key is kept for the next time."""
    tcp = Transport.TCP
    plan = FleetPlan(
        first_id=device,
        count=1,
        target=find_target(data=folder, server=str(cloud.listening.tcp), server_key_file=None, transport=tcp),
        keys=keys,
        firmware=Living,
        profile=profile_on("2.3.1", PHOTON),
        platform_id=PHOTON,
        product_id=product,
        product_version=1,
    )
    fleet = Fleet(plan, load_keys(plan, lambda: None), Recorder())
    running = asyncio.create_task(fleet.run())
    try:
        async with asyncio.timeout(20):
            # A copy knows the device's functions from before.
            while (
                (record := await cloud.devices.get(device)) is None
                or record.functions is None
                or not cloud.devices.seen(record).is_online
            ):
                await asyncio.sleep(0.01)
        yield fleet.devices[0]
    finally:
        fleet.stop()
        await running
