"""Prometheus metrics on a listener of their own: they tell how a fleet lives, so they do not belong beside the API.

Figures are read when they are asked for; nothing on a request's way counts anything twice. What writes the page is
loaded with the first request for it: prometheus_client takes 2 MB, and not every cloud is watched.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gauges(msgspec.Struct, frozen=True):
    gauges: dict[str, tuple[str, Callable[[], float]]]
    """Name to help text and the function that gives the figure."""
    counters: dict[str, tuple[str, str, Callable[[], dict[str, int]]]]
    """Name to help text, label and the function that gives the figures by label."""


def metrics_app(gauges: Gauges) -> Callable[[Scope, Any, Send], Awaitable[None]]:
    """An ASGI application with one page, /metrics."""
    page: Callable[[], bytes] | None = None

    async def app(scope: Scope, _receive: Any, send: Send) -> None:
        nonlocal page
        assert scope["type"] == "http"
        found = scope["path"] == "/metrics"
        if found and page is None:
            page = _exposition(gauges)
        await send(
            {
                "type": "http.response.start",
                "status": 200 if found else 404,
                "headers": [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")],
            }
        )
        await send({"type": "http.response.body", "body": page() if found and page else b"see /metrics\n"})

    return app


def _exposition(told: Gauges) -> Callable[[], bytes]:
    """What writes the page: these figures, the process's and the interpreter's."""
    from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

    class Ours(Collector):
        def collect(self) -> Iterable[Metric]:
            for name, (help_, figure) in told.gauges.items():
                yield GaugeMetricFamily(name, help_, value=figure())
            for name, (help_, label, figures) in told.counters.items():
                family = CounterMetricFamily(name, help_, labels=[label])
                for value, count in figures().items():
                    family.add_metric([value], count)
                yield family

    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(Ours())
    return lambda: generate_latest(registry)
