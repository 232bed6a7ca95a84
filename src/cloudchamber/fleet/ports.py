"""What the fleet asks of the connections that are open now; the gateway's hub answers."""

from typing import Protocol

from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId


class LiveDevices(Protocol):
    def is_online(self, device: DeviceId) -> bool: ...

    def last_heard(self, device: DeviceId) -> Millis | None:
        """When anything last arrived from a device that is connected now; None for all others."""
        ...

    def presented_key(self, device: DeviceId) -> bytes | None:
        """The public key (SubjectPublicKeyInfo, DER) that the live connection proved."""
        ...

    def disconnect(self, device: DeviceId) -> None:
        """Ends the device's connection, if it has one."""
        ...
