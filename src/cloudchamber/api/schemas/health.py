"""The server itself."""

from msgspec import UNSET, Struct

from cloudchamber.api.schemas.common import Maybe, Open


class Ready(Open):
    """`ok` is whether everything that serving needs can be used; the other fields name the parts."""

    ok: bool
    database: bool | Maybe = UNSET


class Version(Struct):
    name: str
    version: str
