"""A UDP gateway over a real store, that can be stopped and started again; devices; a relay that sees all datagrams."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key

from cloudchamber.clock import SystemClock
from cloudchamber.gateway.hub import Hub
from cloudchamber.gateway.mailboxes import Mailboxes
from cloudchamber.gateway.services import Services
from cloudchamber.gateway.udp import UdpGateway, UdpLimits
from cloudchamber.gateway.udp_session import UdpSession
from cloudchamber.ids import DeviceId
from cloudchamber.resumption.service import SavedSessions
from cloudchamber.resumption.store import SessionStore
from cloudchamber.sealing import KEY_BYTES, Sealer
from cloudchamber.simulator import firmware as firmwares
from cloudchamber.simulator.device import VirtualDevice
from cloudchamber.simulator.firmware import Firmware
from cloudchamber.simulator.udp import UdpLine, UdpNetwork
from cloudchamber.storage.database import Database, open_database
from cloudchamber.wire.session.profile import DeviceSetup, profile_on
from tests.gateway.cloud import ID, DictInbox, Screen, until

Address = tuple[str, int]

IN_FLIGHT = 100
"""Datagrams that every system's socket holds."""


class UdpCloud:
    def __init__(self, db: Database, limits: UdpLimits | None = None) -> None:
        self.key = generate_private_key(SECP256R1())
        self.saved = SavedSessions(db, SessionStore(), Sealer(b"k" * KEY_BYTES), SystemClock())
        self.limits = limits
        self.inbox = DictInbox()
        self.screen = Screen()
        self.host, self.port = "127.0.0.1", 0
        self.gateway: UdpGateway
        self.hub: Hub
        self._device_keys: dict[DeviceId, EllipticCurvePrivateKey] = {}
        self._closing: list[Callable[[], None]] = []
        self._running: dict[VirtualDevice, asyncio.Task[None]] = {}

    async def start(self) -> None:
        self.hub = Hub()
        self.services = Services(self.inbox, self.hub, SystemClock(), Mailboxes())
        self.gateway = UdpGateway(self.services, self.saved, self.key, self.limits)
        self.port = await self.gateway.start(self.host, self.port)

    async def stop(self) -> None:
        await self.gateway.stop()
        assert not self.inbox.online_now, "every online had its offline"
        assert not len(self.services.mailboxes)
        assert self.gateway.sessions == self.gateway.dozing == self.gateway.strangers == 0

    async def restart(self) -> None:
        """On the same port, with nothing but the store."""
        await self.stop()
        await self.start()

    @property
    def handshakes(self) -> int:
        """Of the gateway that runs now."""
        return self.gateway.counters.handshakes_done

    def device_key(self, device: DeviceId = ID) -> EllipticCurvePrivateKey:
        return self._device_keys.setdefault(device, generate_private_key(SECP256R1()))

    def device(
        self,
        device: DeviceId = ID,
        *,
        key: EllipticCurvePrivateKey | None = None,
        port: int | None = None,
        firmware: type[Firmware] = firmwares.Counter,
        device_os: str = "2.3.1",
        loss: float = 0.0,
        moves: bool = False,
        session_file: Path | None = None,
        platform_id: int = 10,
        **setup: Any,
    ) -> VirtualDevice:
        """Switched on; it connects in a moment."""
        network = UdpNetwork(
            self.host,
            port or self.port,
            self.key.public_key(),
            key or self.device_key(device),
            session_file,
            loss,
            moves,
        )
        setup_ = DeviceSetup(
            bytes.fromhex(device), profile_on(device_os, platform_id), platform_id=platform_id, **setup
        )
        made = VirtualDevice(setup_, network, firmware, self.screen, random.Random(int(device, 16)))
        self._running[made] = asyncio.get_running_loop().create_task(made.run())
        return made

    async def online(self, device: DeviceId = ID, **options: Any) -> VirtualDevice:
        """Online, and all that it says at a connect has arrived, is stored and is acknowledged."""
        made = self.device(device, **options)
        await until(lambda: device in self.inbox.descriptions)
        await until(lambda: self.is_settled(made))
        return made

    def is_settled(self, device: VirtualDevice) -> bool:
        """Nothing is under way between it and the cloud, nor between the cloud and its store."""
        line = device._line
        if not isinstance(line, UdpLine) or line._connection is None:
            return False
        if not line._connection.is_connected or line._connection._reliability.outstanding:
            return False
        session = self.hub.session(DeviceId(device.id))
        if isinstance(session, UdpSession):
            told = session._saver is None and not (session._is_dirty or session._untold or session._waiting)
            return told and not session._connection._reliability.outstanding
        return session is not None

    async def stranger(self) -> "Stranger":
        made = await Stranger.at(self.port)
        self._closing.append(made.close)
        return made

    async def relay(self) -> "Relay":
        made = Relay()
        await made.start(self.port)
        self._closing.append(made.close)
        return made

    def close_others(self) -> None:
        for close in self._closing:
            close()

    async def switch_off(self, device: VirtualDevice) -> None:
        device.stop()
        await self._running.pop(device)

    async def switch_all_off(self) -> None:
        for device in self._running:
            device.drop()
            device.stop()
        await asyncio.gather(*self._running.values())
        self._running.clear()


@contextlib.asynccontextmanager
async def start_udp_cloud(
    file: Path, limits: UdpLimits | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[UdpCloud]:
    """`file`: a migrated database."""
    db = await open_database(f"sqlite:///{file}")
    cloud = UdpCloud(db, limits)
    cloud.host = host
    await cloud.start()
    try:
        yield cloud
    finally:
        await cloud.switch_all_off()
        cloud.close_others()
        await cloud.stop()
        await db.close()


class Relay:
    """Between devices and the cloud. Keeps all that passes; each device has a socket of its own towards the cloud."""

    def __init__(self) -> None:
        self.from_devices: list[bytes] = []
        self.from_cloud: list[bytes] = []
        self.port = 0
        self.is_cut = False
        self.loss = 0.0
        """The share of datagrams that get lost, each way."""
        self._chance = random.Random(1)
        self._cloud: Address = ("", 0)
        self._front: asyncio.DatagramTransport
        self._backs: dict[Address, asyncio.DatagramTransport] = {}

    async def start(self, cloud_port: int) -> int:
        self._cloud = ("127.0.0.1", cloud_port)
        front = _Ear(self._from_device)
        self._front, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: front, local_addr=("127.0.0.1", self.port)
        )
        self.port = self._front.get_extra_info("sockname")[1]
        return self.port

    def close(self) -> None:
        for transport in (self._front, *self._backs.values()):
            transport.close()

    def _is_lost(self) -> bool:
        return self.is_cut or self._chance.random() < self.loss

    def _from_device(self, data: bytes, device: Address) -> None:
        self.from_devices.append(data)
        if not self._is_lost():
            asyncio.get_running_loop().create_task(self._forward(data, device))

    async def _forward(self, data: bytes, device: Address) -> None:
        back = self._backs.get(device)
        if back is None:
            ear = _Ear(lambda data, _: self._from_cloud(data, device))
            back, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: ear, remote_addr=self._cloud)
            self._backs[device] = back
        back.sendto(data)

    def _from_cloud(self, data: bytes, device: Address) -> None:
        self.from_cloud.append(data)
        if not self._is_lost():
            self._front.sendto(data, device)


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, heard: Any) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._heard(data, address)

    def error_received(self, exc: Exception) -> None:
        """The cloud is away for a moment."""


class Stranger:
    """A socket of somebody who is no device."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._transport: asyncio.DatagramTransport

    @classmethod
    async def at(cls, port: int) -> "Stranger":
        self = cls()
        ear = _Ear(lambda data, _: self.heard.append(data))
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: ear, remote_addr=("127.0.0.1", port)
        )
        return self

    def send(self, data: bytes) -> None:
        self._transport.sendto(data)

    async def pour(self, gateway: UdpGateway, datagrams: Iterable[bytes]) -> None:
        """As fast as the gateway takes them: what a full socket drops is no matter of ours, and would be anybody's."""
        taken, sent = gateway.datagrams_in, 0
        for datagram in datagrams:
            self.send(datagram)
            sent += 1
            if sent % IN_FLIGHT == 0:
                await _taken(gateway, taken + sent)
        await _taken(gateway, taken + sent)

    def close(self) -> None:
        self._transport.close()


async def _taken(gateway: UdpGateway, count: int) -> None:
    async with asyncio.timeout(60):
        while gateway.datagrams_in < count:
            await asyncio.sleep(0)


def protected_numbers(datagrams: list[bytes]) -> list[tuple[bytes, int]]:
    """Of the records in epoch 1 without a connection id, as the cloud sends them: (explicit nonce, record number)."""
    found = []
    for datagram in datagrams:
        at = 0
        while at + 13 <= len(datagram):
            size = int.from_bytes(datagram[at + 11 : at + 13], "big")
            if datagram[at + 3 : at + 5] == b"\0\1":
                number = int.from_bytes(datagram[at + 5 : at + 11], "big")
                found.append((datagram[at + 13 : at + 21], number))
            at += 13 + size
    return found
