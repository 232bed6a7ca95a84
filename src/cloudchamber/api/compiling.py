"""Compiling in the cloud, which this server does not do, and versions of Device OS, of which it has none.

The answers are those that clients understand: the CLI shows the error of a compilation and the list of targets, mobile
SDKs take 204 for "there is nothing newer".
"""

from typing import Any, Final

from cloudchamber.access.model import Action, OwnThings
from cloudchamber.access.requester import Bearer
from cloudchamber.access.service import require
from cloudchamber.api.call import Call
from cloudchamber.api.reply import NO_CONTENT, Reply
from cloudchamber.errors import NotFound

# The names that the vendor's list has for platforms.
PLATFORMS: Final = {"Core": 0, "Photon": 6, "P1": 8, "Electron": 10, "Argon": 12, "Boron": 13}


NOT_COMPILED: Final = "Compiling is not available on this server: compile with a local toolchain and flash the binary"


class CompilingResource:
    async def compile(self, _call: Call, requester: Bearer) -> Any:
        require(requester, Action.BINARY_COMPILE, OwnThings())
        return Reply({"ok": False, "errors": [NOT_COMPILED]}, 501)

    async def binary(self, _call: Call, requester: Bearer) -> Any:
        require(requester, Action.BINARY_COMPILE, OwnThings())
        raise NotFound("Binary not found")

    async def build_targets(self, _call: Call, requester: Bearer) -> Any:
        return {"targets": [], "platforms": PLATFORMS, "default_versions": {}}

    async def device_os_versions(self, _call: Call, requester: Bearer) -> Any:
        return {"versions": [], "meta": {"total_pages": 0}}

    async def device_os_version(self, _call: Call, requester: Bearer) -> Any:
        raise NotFound("Device OS version not found")

    async def system_upgrade(self, _call: Call, requester: Bearer) -> Any:
        return NO_CONTENT
