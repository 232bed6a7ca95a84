"""Vitals of devices, and where they are."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, Raw, route
from cloudchamber.api.routes.paths import PRODUCT

_OWN: Final = "/v1/diagnostics/{device}"
_PRODUCTS: Final = f"{PRODUCT}/diagnostics/{{device}}"

FAMILY: Final = Family(
    "Diagnostics",
    "What devices tell of themselves, and where they are.",
    (
        route(
            "POST",
            f"{_OWN}/update",
            Bearer(Action.DIAGNOSTICS_UPDATE),
            "diagnostics.refresh_own",
            "Asks one of one's own devices for its vitals.",
            request="Nothing",
            answer={202: "Ok"},
        ),
        route(
            "POST",
            f"{_PRODUCTS}/update",
            Bearer(Action.DIAGNOSTICS_UPDATE),
            "diagnostics.refresh_of_product",
            "Asks a product's device for its vitals.",
            request="Nothing",
            answer={202: "Ok"},
        ),
        route(
            "GET",
            f"{_OWN}/last",
            Bearer(Action.DIAGNOSTICS_GET),
            "diagnostics.last_own",
            "Shows the last vitals of one of one's own devices.",
            answer="LastVitals",
        ),
        route(
            "GET",
            f"{_PRODUCTS}/last",
            Bearer(Action.DIAGNOSTICS_GET),
            "diagnostics.last_of_product",
            "Shows the last vitals of a product's device.",
            answer="LastVitals",
        ),
        route(
            "GET",
            _OWN,
            Bearer(Action.DIAGNOSTICS_GET),
            "diagnostics.history_own",
            "Lists vitals of one of one's own devices, the newest first; as CSV where the client accepts text/csv.",
            query="HistoryQuery",
            answer=("VitalsList", Raw("text/csv; charset=utf-8")),
        ),
        route(
            "GET",
            _PRODUCTS,
            Bearer(Action.DIAGNOSTICS_GET),
            "diagnostics.history_of_product",
            "Lists vitals of a product's device, the newest first; as CSV where the client accepts text/csv.",
            query="HistoryQuery",
            answer=("VitalsList", Raw("text/csv; charset=utf-8")),
        ),
        route(
            "GET",
            (f"{PRODUCT}/locations", f"{PRODUCT}/location"),
            Bearer(Action.LOCATIONS_GET),
            "locations.of_product",
            "Lists where a product's devices are, or with a date_range where they were.",
            query="AreaOfProduct",
            answer="LocationList",
        ),
        route(
            "GET",
            (f"{PRODUCT}/locations/{{device}}", f"{PRODUCT}/location/{{device}}"),
            Bearer(Action.LOCATIONS_GET),
            "locations.of_device",
            "Tells where a product's device is, or with a date_range where it was.",
            query="Area",
            answer="LocationFound",
        ),
    ),
)
