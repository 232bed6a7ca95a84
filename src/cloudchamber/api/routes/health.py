"""Outside of the API: for load balancers and whoever runs the server."""

from typing import Final

from cloudchamber.api.routes.model import Family, Public, route

_EVERYBODY: Final = Public("says nothing but that the server is there")

FAMILY: Final = Family(
    "Server",
    "For load balancers and whoever runs the server.",
    (
        route("GET", "/healthz", _EVERYBODY, "health.live", "Tells that the process answers.", answer="Ok"),
        route(
            "GET",
            "/readyz",
            _EVERYBODY,
            "health.ready",
            "Tells whether all that serving needs can be used, and which part cannot.",
            answer={200: "Ready", 503: "Ready"},
        ),
        route(
            "GET",
            "/version",
            _EVERYBODY,
            "health.version",
            "Tells the server's name and version.",
            answer="Version",
        ),
    ),
)
