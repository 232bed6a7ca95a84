"""Many virtual devices in one process."""

import asyncio
import random
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from cloudchamber.simulator.device import GOODBYE_TIMEOUT_S, Console, Network, State, VirtualDevice, Vitals
from cloudchamber.simulator.firmware import Firmware
from cloudchamber.simulator.keys import PrivateKey, device_key
from cloudchamber.simulator.softap.air import DEFAULT_NETWORKS
from cloudchamber.simulator.softap.air import Network as WifiNetwork
from cloudchamber.simulator.softap.stay import SoftAp
from cloudchamber.simulator.target import Target
from cloudchamber.simulator.tcp import TcpNetwork
from cloudchamber.simulator.udp import UdpNetwork
from cloudchamber.wire.messages import HelloFlag
from cloudchamber.wire.session.profile import DeviceProfile, DeviceSetup
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.update.device import UpdateTraits

MAX_DEVICES = 100_000
KEY_THREADS = 4

AT_ONCE = 256
"""Devices that are switched on and not online yet, before the next ones follow. Of thousands at once most would only
wait for each other, ask again meanwhile, and take twice as long: all of them run in this one process."""
HELD_UP_S = 5.0
"""One that is not online by then holds up nobody any more."""


class Ota(Enum):
    """How devices take updates."""

    AUTO = "auto"
    """As their release does on their platform."""
    FAST = "fast"
    SLOW = "slow"
    """Legacy, one chunk at a time."""
    V3 = "v3"


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """`first_id`: 24 hex digits; the next devices count up from there. `claim_codes` are the first devices', one
    each. `softap` is where the first device listens for its set-up before it connects, over TCP alone, and `networks`
    what is in the air there. `loss` and `moves` are for UDP alone: see `UdpNetwork`. `sleep_s`, `drop_update_at`: see
    `VirtualDevice`. `ota`: the update protocol."""

    first_id: str
    count: int
    target: Target
    keys: Path
    firmware: type[Firmware]
    profile: DeviceProfile
    platform_id: int
    product_id: int
    product_version: int
    claim_codes: tuple[str, ...] = ()
    loss: float = 0.0
    moves: bool = False
    sleep_s: float | None = None
    ota: Ota = Ota.AUTO
    drop_update_at: float | None = None
    softap: tuple[str, int] | None = None
    networks: tuple[WifiNetwork, ...] = DEFAULT_NETWORKS

    @property
    def transport(self) -> Transport:
        return Transport.TCP if isinstance(self.target.server_key, RSAPublicKey) else Transport.UDP

    @property
    def ids(self) -> list[str]:
        first = int(self.first_id, 16)
        return [f"{(first + number) % (1 << 96):024x}" for number in range(self.count)]


def load_keys(plan: FleetPlan, made: Callable[[], None]) -> list[PrivateKey]:
    """Blocking: ten milliseconds for each RSA key that has to be made. `made` is called after each.

    Raises KeyUnusable.
    """
    plan.keys.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(device_id: str) -> PrivateKey:
        key = device_key(plan.keys, device_id, plan.transport)
        made()
        return key

    with ThreadPoolExecutor(KEY_THREADS) as pool:
        return list(pool.map(load, plan.ids))


class Fleet:
    """The devices of a plan. `run` until `stop`."""

    def __init__(self, plan: FleetPlan, keys: list[PrivateKey], console: Console) -> None:
        self.devices = [
            VirtualDevice(
                setup=DeviceSetup(
                    device_id=bytes.fromhex(device_id),
                    profile=_profile(plan),
                    metrics=Vitals(random.Random()),  # noqa: S311
                    updates=UpdateTraits(fast=_FAST.get(plan.ota)),
                    platform_id=plan.platform_id,
                    product_id=plan.product_id,
                    product_version=plan.product_version,
                    claim_code=plan.claim_codes[number] if number < len(plan.claim_codes) else None,
                ),
                network=_network(plan, device_id, key),
                make_firmware=plan.firmware,
                console=console,
                random=random.Random(secrets.randbits(64)),  # noqa: S311 - spreads reconnects, keeps no secret
                sleep_s=plan.sleep_s,
                drop_update_at=plan.drop_update_at,
                softap=_softap(plan, key) if number == 0 else None,
            )
            for number, (device_id, key) in enumerate(zip(plan.ids, keys, strict=True))
        ]
        self._stop = asyncio.Event()

    @property
    def online(self) -> int:
        return sum(device.state is State.ONLINE for device in self.devices)

    async def run(self) -> None:
        tasks: list[asyncio.Task[None]] = []
        stop = asyncio.ensure_future(self._stop.wait())
        switching_on = asyncio.ensure_future(self._switch_on(tasks))
        try:
            await asyncio.wait([stop, switching_on], return_when=asyncio.FIRST_COMPLETED)
            # A device returns only when it is told to stop, so one that is done by itself has failed.
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
            switching_on.cancel()
            for device in self.devices:
                device.stop()
            # One that is connecting at this moment would go on for as long as a connect may take.
            await asyncio.wait(tasks, timeout=GOODBYE_TIMEOUT_S)
        finally:
            for task in (stop, switching_on, *tasks):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _switch_on(self, tasks: list[asyncio.Task[None]]) -> None:
        loop = asyncio.get_running_loop()
        connecting: list[tuple[VirtualDevice, float]] = []
        for device in self.devices:
            while len(connecting) >= AT_ONCE:
                await asyncio.sleep(0.02)
                since = loop.time() - HELD_UP_S
                connecting = [each for each in connecting if each[0].state is not State.ONLINE and each[1] > since]
            connecting.append((device, loop.time()))
            tasks.append(loop.create_task(device.run()))

    def stop(self) -> None:
        self._stop.set()


_FAST = {Ota.FAST: True, Ota.SLOW: False}


def _profile(plan: FleetPlan) -> DeviceProfile:
    profile = plan.profile
    if plan.ota is Ota.AUTO:
        return profile
    if plan.ota is Ota.V3:
        return replace(profile, hello_flags=profile.hello_flags | HelloFlag.OTA_V3)
    return replace(profile, hello_flags=profile.hello_flags & ~HelloFlag.OTA_V3)


def _softap(plan: FleetPlan, key: PrivateKey) -> SoftAp | None:
    if plan.softap is None:
        return None
    assert isinstance(key, RSAPrivateKey), "only devices over TCP have Wi-Fi to be set up"
    return SoftAp(*plan.softap, key, plan.networks)


def _network(plan: FleetPlan, device_id: str, key: PrivateKey) -> Network:
    target = plan.target
    if isinstance(target.server_key, RSAPublicKey):
        assert isinstance(key, RSAPrivateKey)
        return TcpNetwork(target.host, target.port, target.server_key, key)
    assert isinstance(key, EllipticCurvePrivateKey)
    return UdpNetwork(
        target.host,
        target.port,
        target.server_key,
        key,
        session_file=plan.keys / f"{device_id}.udp.session",
        loss=plan.loss,
        moves=plan.moves,
    )
