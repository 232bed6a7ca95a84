"""Devices that are connected but on no record yet: what they said of themselves, until they are imported or claimed.

Bounded by the number of connections: an entry goes when its device disconnects.
"""

from dataclasses import dataclass, replace

from cloudchamber.clock import Millis
from cloudchamber.fleet.model import Description, Handshake
from cloudchamber.ids import DeviceId


@dataclass(slots=True)
class Provisional:
    handshake: Handshake
    at: Millis
    description: Description | None = None


class ProvisionalDevices:
    def __init__(self) -> None:
        self._devices: dict[DeviceId, Provisional] = {}

    def add(self, device: DeviceId, handshake: Handshake, at: Millis) -> None:
        self._devices[device] = Provisional(handshake, at)

    def describe(self, device: DeviceId, description: Description) -> None:
        found = self._devices.get(device)
        if found is None:
            return
        if description.system is None and found.description is not None:
            description = replace(description, system=found.description.system)
        found.description = description

    def get(self, device: DeviceId) -> Provisional | None:
        return self._devices.get(device)

    def remove(self, device: DeviceId) -> None:
        self._devices.pop(device, None)
