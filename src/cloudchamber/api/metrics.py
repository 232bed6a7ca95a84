"""Metrics of a product over time."""

from typing import Any, Final

from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.diagnostics import time_in
from cloudchamber.api.fields import FieldInvalid
from cloudchamber.api.places import Places
from cloudchamber.clock import iso
from cloudchamber.statistics.model import Bucket, Metric
from cloudchamber.statistics.service import Statistics

# What the vendor filters by. An answer that took no notice of it would be a wrong one.
_FILTERS: Final = ("product_fw", "device_os_version", "device_group")


class MetricsResource:
    def __init__(self, statistics: Statistics, places: Places) -> None:
        self._statistics = statistics
        self._places = places

    async def online(self, call: Call, requester: Bearer) -> Any:
        return await self._show(call, requester, Metric.ONLINE)

    async def connections(self, call: Call, requester: Bearer) -> Any:
        return await self._show(call, requester, Metric.CONNECTIONS)

    async def events(self, call: Call, requester: Bearer) -> Any:
        return await self._show(call, requester, Metric.EVENTS)

    async def functions(self, call: Call, requester: Bearer) -> Any:
        return await self._show(call, requester, Metric.FUNCTIONS)

    async def variables(self, call: Call, requester: Bearer) -> Any:
        return await self._show(call, requester, Metric.VARIABLES)

    async def integrations(self, call: Call, requester: Bearer) -> Any:
        return await self._show(call, requester, Metric.INTEGRATIONS)

    async def tokens(self, call: Call, requester: Bearer) -> Any:
        return await self._show(call, requester, Metric.TOKENS)

    async def _show(self, call: Call, requester: Bearer, metric: Metric) -> Any:
        product = await self._places.product(call)
        self._statistics.check(requester, product, metric)
        query = call.query
        for name in _FILTERS:
            if query.text(name):
                raise FieldInvalid(f"{name} cannot be filtered by: metrics are kept of the whole product. Leave it out")
        window = self._statistics.window(
            time_in(query.text("start_date"), "start_date"),
            time_in(query.text("end_date"), "end_date"),
            query.integer("bucket_size", at_least=1),
        )
        course = await self._statistics.course(requester, product, window, metric)
        return {
            "start_date": iso(window.since),
            "end_date": iso(window.until),
            "bucket_size": window.size_ms // 1000,
            "buckets": [_shown(bucket, metric) for bucket in course.buckets],
        }


def _shown(bucket: Bucket, metric: Metric) -> dict[str, Any]:
    counts = {name: bucket.value(figure) for name, figure in metric.figures.items()}
    if len(counts) > 1:
        counts = {name: count for name, count in counts.items() if count}
    return {"time": iso(bucket.at), **counts}
