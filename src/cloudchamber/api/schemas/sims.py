"""SIM cards."""

from msgspec import Struct

from cloudchamber.api.schemas.common import Anything, Pages


class SimList(Struct):
    sims: list[Anything]
    meta: Pages
