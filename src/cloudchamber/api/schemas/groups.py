"""Groups of a product's devices."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Maybe

GroupName = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$", examples=["pilot"])]


class Group(Struct):
    """`fw_version` is the firmware released to the group; `device_count` counts its members."""

    name: GroupName
    description: str | None
    color: str | None
    fw_version: int | None
    device_count: int


class GroupList(Struct):
    groups: list[Group]


class OneGroup(Struct):
    group: Group


class GroupsQuery(Struct):
    name: Annotated[str, Meta(description="A part of the name.")] | Maybe = UNSET


class NewGroup(Struct):
    name: GroupName
    description: Annotated[str, Meta(max_length=500)] | Maybe = UNSET
    color: Annotated[str, Meta(examples=["#00ae42"])] | Maybe = UNSET


class GroupChanges(Struct):
    name: GroupName | Maybe = UNSET
    description: Annotated[str, Meta(max_length=500)] | Maybe = UNSET
    color: Annotated[str, Meta(examples=["#00ae42"])] | Maybe = UNSET
