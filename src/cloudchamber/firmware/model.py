"""Firmware on record: versions of products, what is released, and the update that each device is in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NewType

from cloudchamber.access.model import Owner
from cloudchamber.clock import Millis
from cloudchamber.ids import DeviceId, ProductId, UserId

BinaryHash = NewType("BinaryHash", bytes)
"""SHA-256 of a whole file."""

MAX_BINARY: Final = 5 * 1024 * 1024
"""Bytes. The largest modules of any platform have some 1.5 MB."""
MAX_VERSION: Final = 0xFFFE
"""Firmware carries it in 16 bits, and all ones mean none."""


@dataclass(frozen=True, slots=True)
class Firmware:
    """A version of a product's firmware. `uploaded_by` and its name are None for what no person uploaded. `groups` are
    those to which it is released; `has_run`: a device of the product was seen with it."""

    id: str
    product: ProductId
    version: int
    title: str
    description: str
    name: str
    size: int
    hash: BinaryHash
    uploaded_by: UserId | None
    uploaded_by_name: str | None
    uploaded_at: Millis
    updated_at: Millis
    is_mandatory: bool
    is_product_default: bool
    is_intelligent: bool
    has_run: bool
    released_at: Millis | None
    groups: tuple[str, ...] = ()
    device_count: int = 0


@dataclass(frozen=True, slots=True)
class Releases:
    """What of a product's firmware is released to whom: a version for all, and versions for groups (by name, in lower
    case)."""

    default: int | None = None
    groups: Mapping[str, int] = field(default_factory=dict)


NO_RELEASES: Final = Releases()


class UpdateState(StrEnum):
    WAITING = "waiting"
    """For the device, or for its turn."""
    SENDING = "sending"
    SENT = "sent"
    """The device has the file, and starts with it."""
    DONE = "done"
    FAILED = "failed"
    """Tried often enough; see `rules.retry_at`."""


@dataclass(frozen=True, slots=True)
class Update:
    """The last update of a device. `version` is None for a file that somebody flashed, and `owner` whose the device was
    then; `hash` is None once the file is not needed any more. `attempts` that failed; `not_before` the next one.
    `error` is of the last one, for people."""

    device: DeviceId
    product: ProductId | None
    owner: Owner | None
    version: int | None
    hash: BinaryHash | None
    name: str
    state: UpdateState
    attempts: int
    not_before: Millis
    error: str | None
    requested_at: Millis
    updated_at: Millis

    @property
    def is_flash(self) -> bool:
        """Somebody wants this file on this device, whatever is released."""
        return self.version is None

    @property
    def is_open(self) -> bool:
        return self.state in {UpdateState.WAITING, UpdateState.SENDING, UpdateState.SENT}
