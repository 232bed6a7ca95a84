"""The folder of one cloud: made, held by one process at a time, and where programs on this machine look for its
listeners."""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from cloudchamber.errors import CloudError
from cloudchamber.settings import Address

LISTENERS_FILE: Final = "listeners.json"
_LOCK_FILE: Final = "lock"


class DataFolderUnusable(CloudError):
    """It cannot be made."""


class DataFolderInUse(CloudError):
    """Two clouds on one folder would not hear of each other's changes."""


class Listening(msgspec.Struct, frozen=True):
    """Where a cloud can be reached; ports are the real ones."""

    http: Address
    tcp: Address
    udp: Address
    metrics: Address

    def ready_line(self) -> str:
        """What `serve` prints once, when everything is up."""
        return f"ready http=http://{self.http} tcp={self.tcp} udp={self.udp} metrics=http://{self.metrics}"


def prepare_data_folder(folder: Path) -> None:
    """Raises DataFolderUnusable."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DataFolderUnusable(
            f"Cannot make the data folder {folder} ({error.strerror}). Name another with --data."
        ) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Held for as long as the cloud runs; the kernel lets go of it however the process ends. Raises DataFolderInUse."""
    with (folder / _LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataFolderInUse(
                f"Another cloud runs on the folder {folder}. Stop it, or name another folder with --data."
            ) from error
        yield


@contextlib.contextmanager
def listeners_file(folder: Path, listening: Listening) -> Iterator[None]:
    """Tells programs on this machine where the cloud of this folder listens, while it does."""
    path = folder / LISTENERS_FILE
    draft = path.with_suffix(".new")
    draft.write_text(
        json.dumps(
            {
                "http": f"http://{listening.http}",
                "tcp": str(listening.tcp),
                "udp": str(listening.udp),
                "metrics": str(listening.metrics),
            }
        )
    )
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
