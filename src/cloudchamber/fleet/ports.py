"""What the fleet asks of others: of the connections that are open now, which the gateway's hub answers, and of whoever
keeps the firmware."""

from typing import Protocol

from cloudchamber.clock import Millis
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.ids import DeviceId, ProductId


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

    def send_system_event(self, device: DeviceId, name: str, data: bytes | None) -> bool:
        """Every firmware hears these without having asked for them; False when it is offline."""
        ...


class FirmwareTargets(Protocol):
    async def check_version(self, product: ProductId, version: int) -> None:
        """Raises a CloudError that says so when the product has no firmware of this version."""
        ...

    async def target_changed(self, device: DeviceRecord, *, at_once: bool) -> None:
        """The device shall run another firmware now, perhaps: its lock or its groups were changed. `at_once`: without
        waiting for its next connect."""
        ...


class AnyFirmware:
    """`FirmwareTargets` of a cloud that keeps no firmware."""

    async def check_version(self, product: ProductId, version: int) -> None:
        """Every version may be wanted."""

    async def target_changed(self, device: DeviceRecord, *, at_once: bool) -> None:
        """Nobody is there to flash it."""
