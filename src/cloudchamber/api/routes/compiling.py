"""Compiling in the cloud, and versions of Device OS: this server has neither, and says so as clients can read it."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import AnyToken, Bearer, Family, Raw, route

FAMILY: Final = Family(
    "Compiling",
    "Compiling in the cloud, and versions of Device OS. This server has no compiler.",
    (
        route(
            "POST",
            "/v1/binaries",
            Bearer(Action.BINARY_COMPILE),
            "compiling.compile",
            "Tells that there is no compiler.",
            request="Sources",
            answer={501: "Failures"},
        ),
        route(
            "GET",
            "/v1/binaries/{binary}",
            Bearer(Action.BINARY_COMPILE),
            "compiling.binary",
            "Gives what was compiled: nothing was.",
            answer=Raw("application/octet-stream"),
        ),
        route(
            "GET",
            "/v1/build_targets",
            AnyToken(),
            "compiling.build_targets",
            "Lists what can be compiled for: nothing, but platforms have names.",
            query="BuildTargetsQuery",
            answer="BuildTargets",
        ),
        route(
            "GET",
            "/v1/device-os/versions",
            AnyToken(),
            "compiling.device_os_versions",
            "Lists the versions of Device OS that this server has: none.",
            query="DeviceOsVersionsQuery",
            answer="DeviceOsVersions",
        ),
        route(
            "GET",
            "/v1/device-os/versions/{version}",
            AnyToken(),
            "compiling.device_os_version",
            "Shows a version of Device OS, of which this server has none.",
            answer="DeviceOsVersion",
        ),
        route(
            "GET",
            "/v1/system_firmware/upgrade",
            AnyToken(),
            "compiling.system_upgrade",
            "Tells that there is no newer Device OS to install.",
            query="SystemUpgradeQuery",
            answer={204: None},
        ),
    ),
)
