"""Compiling, and versions of Device OS."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import File, Maybe, Page, Pages


class Sources(Struct):
    """Source files as `file`, `file2`, ..., and what to compile them for."""

    file: File | Maybe = UNSET
    platform_id: int | Maybe = UNSET
    product_id: int | Maybe = UNSET
    device_id: str | Maybe = UNSET
    build_target_version: str | Maybe = UNSET
    latest: bool | Maybe = UNSET


class BuildTargetsQuery(Struct):
    featured: bool | Maybe = UNSET


class BuildTarget(Struct):
    version: str
    platforms: list[int]
    prereleases: list[int]
    firmware_vendor: str


class BuildTargets(Struct):
    """`platforms` maps names to numbers, `default_versions` numbers of platforms to versions."""

    targets: list[BuildTarget]
    platforms: dict[str, int]
    default_versions: dict[str, str]


class DeviceOsVersionsQuery(Page):
    platform_id: int | Maybe = UNSET
    internal_version: int | Maybe = UNSET


class DeviceOsVersion(Struct):
    version: str
    release_state: str
    internal_version: int | Maybe = UNSET


class DeviceOsVersions(Struct):
    versions: list[DeviceOsVersion]
    meta: Pages


class SystemUpgradeQuery(Struct):
    """What the device has."""

    platform_id: Annotated[int, Meta(examples=[6])] | Maybe = UNSET
    current_system_firmware_version: str | Maybe = UNSET
