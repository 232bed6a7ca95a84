"""The API's description of itself."""

from typing import Final

from cloudchamber.api.routes.model import Family, Public, Raw, route

_EVERYBODY: Final = Public("describes the API, not what is in it")

FAMILY: Final = Family(
    "Documentation",
    "What this is made of.",
    (
        route(
            "GET",
            "/openapi.json",
            _EVERYBODY,
            "docs.openapi",
            "Gives this description, as OpenAPI 3.1.",
            answer=Raw("application/json; charset=utf-8"),
        ),
        route(
            "GET",
            "/docs/api",
            _EVERYBODY,
            "docs.page",
            "Shows this description as a page.",
            answer=Raw("text/html; charset=utf-8"),
        ),
    ),
)
