"""Events."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Maybe


class NewEvent(Struct):
    name: Annotated[str, Meta(examples=["temperature"], description="At most 64 characters.")]
    data: Annotated[Any, Meta(description="A text; anything else is sent as JSON.", examples=["25.34"])] | Maybe = UNSET
    private: Annotated[bool, Meta(description="Left out: true.")] | Maybe = UNSET
    ttl: Annotated[int, Meta(description="Seconds.", examples=[60])] | Maybe = UNSET
