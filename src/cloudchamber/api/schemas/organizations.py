"""Organizations."""

from msgspec import Struct

from cloudchamber.api.schemas.common import ObjectId


class Organization(Struct):
    id: ObjectId
    name: str
    slug: str


class OrganizationList(Struct):
    organizations: list[Organization]
