"""From the box to the network: listening, joining, and listening again where the network lets nobody in."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.simulator.softap.air import DEFAULT_NETWORKS, Network, lets_in
from cloudchamber.simulator.softap.listening import ListeningMode, ssid_suffix
from cloudchamber.simulator.softap.server import SoftApServer

# How long joining takes to work, and to be given up; a real device takes some seconds for either.
_JOIN_S: Final = 0.3
_REFUSED_S: Final = 1.5


class Watcher(Protocol):
    def listening(self, detail: str) -> None: ...

    def joining(self, detail: str) -> None: ...

    def said(self, line: str) -> None: ...


@dataclass(slots=True)
class SoftAp:
    """Where a device listens when it is new; port 0 takes a free one, and `port` tells which."""

    host: str
    port: int
    key: RSAPrivateKey
    networks: Sequence[Network] = DEFAULT_NETWORKS

    async def until_joined(self, device_id: str, watcher: Watcher, *, is_claimed: bool = False) -> str | None:
        """The claim code that the device was given, once a network lets it in. Raises OSError."""
        claim_code: str | None = None
        while True:
            mode = ListeningMode(device_id, self.key, self.networks, is_claimed=is_claimed)
            mode.claim_code = claim_code
            async with SoftApServer(mode, self.host, self.port) as server:
                self.port = server.port
                watcher.listening(
                    f"as Photon-{ssid_suffix(device_id)} at {self.host}:{self.port} (HTTP and TCP); in the air:"
                    f" {', '.join(network.ssid for network in self.networks)}"
                )
                await server.finished.wait()
            claim_code = mode.claim_code
            watcher.joining(", ".join(key.ssid for key in mode.stored) or "no network at all")
            joined = next((key for key in mode.stored if lets_in(self.networks, key)), None)
            if joined is not None:
                await asyncio.sleep(_JOIN_S)
                watcher.said(f"joined {joined.ssid}")
                return claim_code
            await asyncio.sleep(_REFUSED_S)
            watcher.said("no network let the device in: is the password right?")
