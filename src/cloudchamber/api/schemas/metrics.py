"""How a product's fleet did over time."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Date, Maybe

_Time = Annotated[str, Meta(examples=["2018-04-18", "2018-04-18T17:20:10Z"])]


class MetricsQuery(Struct):
    """Minutes are kept for a day, and hours for a fortnight. Without times it is the last day, without a size of the
    buckets a quarter of an hour; a size becomes whole minutes, or whole hours where minutes are not kept any more."""

    start_date: _Time | Maybe = UNSET
    end_date: _Time | Maybe = UNSET
    bucket_size: Annotated[int, Meta(description="In seconds.", examples=[900])] | Maybe = UNSET


class MetricsBucket(Struct):
    """`time` is when it begins. Where there are several counts, those of 0 are left out. Devices online (`count`) are
    an average, all else is a sum."""

    time: Date
    count: int | Maybe = UNSET
    received: int | Maybe = UNSET
    used: int | Maybe = UNSET
    success: int | Maybe = UNSET
    failure: int | Maybe = UNSET
    offline: int | Maybe = UNSET
    sleep: int | Maybe = UNSET


class Metrics(Struct):
    """Oldest first. A bucket in which the server did not run is left out."""

    start_date: Date
    end_date: Date
    bucket_size: int
    buckets: list[MetricsBucket]
