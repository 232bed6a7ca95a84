"""Prometheus metrics on a listener of their own: they tell how a fleet lives, so they do not belong beside the API.

Figures are read when they are asked for; nothing on a request's way counts anything twice.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gauges(Collector):
    """`gauges`: name to help text and the function that gives the figure; `counters`: name to help text, label and the
    function that gives the figures by label."""

    def __init__(
        self,
        gauges: dict[str, tuple[str, Callable[[], float]]],
        counters: dict[str, tuple[str, str, Callable[[], dict[str, int]]]],
    ) -> None:
        self._gauges = gauges
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        for name, (help_, figure) in self._gauges.items():
            yield GaugeMetricFamily(name, help_, value=figure())
        for name, (help_, label, figures) in self._counters.items():
            family = CounterMetricFamily(name, help_, labels=[label])
            for value, count in figures().items():
                family.add_metric([value], count)
            yield family


def metrics_app(gauges: Gauges) -> Callable[[Scope, Any, Send], Awaitable[None]]:
    """An ASGI application with one page, /metrics."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(gauges)

    async def app(scope: Scope, _receive: Any, send: Send) -> None:
        assert scope["type"] == "http"
        found = scope["path"] == "/metrics"
        await send(
            {
                "type": "http.response.start",
                "status": 200 if found else 404,
                "headers": [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")],
            }
        )
        await send({"type": "http.response.body", "body": generate_latest(registry) if found else b"see /metrics\n"})

    return app
