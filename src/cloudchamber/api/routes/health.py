"""Outside of the API: for load balancers and whoever runs the server."""

from typing import Final

from cloudchamber.api.routes.model import Family, Public, route

_EVERYBODY: Final = Public("says nothing but that the server is there")

FAMILY: Final = Family(
    "Server",
    "For load balancers and whoever runs the server.",
    (
        route("GET", "/healthz", _EVERYBODY, "health.live"),
        route("GET", "/readyz", _EVERYBODY, "health.ready"),
        route("GET", "/version", _EVERYBODY, "health.version"),
    ),
)
