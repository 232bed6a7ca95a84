"""Applications that everybody knows by name, like `tinker`: files that whoever runs the cloud has put into a folder,
`<name>-<platform id>.bin` each."""

import asyncio
import re
from pathlib import Path
from typing import Final

from cloudchamber.firmware.errors import AppNotFound
from cloudchamber.firmware.model import MAX_BINARY
from cloudchamber.fleet.model import DeviceRecord

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class KnownApps:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def file_for(self, device: DeviceRecord, name: str) -> tuple[str, bytes]:
        """Its name and its bytes. Raises AppNotFound."""
        wanted = name.strip().lower()
        # Only what cannot lead out of the folder is looked for.
        if not _NAME.fullmatch(wanted) or device.platform_id is None:
            raise AppNotFound(f"There is no application {name[:40]!r}")
        file = self._folder / f"{wanted}-{device.platform_id}.bin"
        data = await asyncio.to_thread(_read, file)
        if data is None:
            raise AppNotFound(
                f"There is no application {wanted} for platform {device.platform_id} on this server:"
                f" its operator can put {file.name} into the folder of applications"
            )
        return file.name, data


def _read(file: Path) -> bytes | None:
    try:
        if file.stat().st_size > MAX_BINARY:
            return None
        return file.read_bytes()
    except OSError:
        return None
