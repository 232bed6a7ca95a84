"""A product's devices: the list, with what somebody looks for in it."""

from typing import Any, Final
from urllib.parse import urlencode

from cloudchamber.access.model import Action
from cloudchamber.console.frame import Ask, Frame
from cloudchamber.console.section import PRODUCT, Nav, Section, page
from cloudchamber.fleet.lists.model import DeviceFilter, Order
from cloudchamber.fleet.lists.rules import order_of
from cloudchamber.fleet.model import Product

PER_PAGE: Final = 50
_MAX_SEARCH: Final = 100
_STATES: Final = (
    ("", "Every state"),
    ("online", "Online now"),
    ("quarantined", "In quarantine"),
    ("denied", "Denied"),
)
# Core, Photon, P1; everything newer speaks DTLS.
_OVER_TCP: Final = frozenset({0, 6, 8})
# What a virtual device is, over TCP and over UDP, that is not told what it shall be.
_BY_DEFAULT: Final = frozenset({6, 10})
# What somebody expects first: the newest connection and the highest version, but names from A.
_DESCENDING: Final = frozenset({"lastConnection", "firmwareVersion"})

ROUTES: Final = (page(f"{PRODUCT}/devices", Action.DEVICES_LIST, "devices.list", "Shows a product's devices."),)


class DeviceListPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def list(self, ask: Ask) -> Any:
        product, query = ask.the_product, ask.query
        state = query.get("state", "")
        group = query.get("group", "")
        search = query.get("q", "").strip()[:_MAX_SEARCH]
        sort = query.get("sort", "lastConnection")
        descending = query.get("order", "desc" if sort in _DESCENDING else "asc") == "desc"
        number = ask.call.query.integer("page", at_least=1, at_most=1_000_000) or 1
        wanted = DeviceFilter(
            text=search or None,
            groups=(group,) if group else (),
            is_quarantined=True if state == "quarantined" else None,
            is_denied=True if state == "denied" else None,
        )
        online = self._services.presence.online_in(ask.requester, product)
        found, total = await self._services.device_lists.of_product(
            ask.requester,
            product,
            wanted,
            order=order_of(sort),
            descending=descending,
            page=number,
            per_page=PER_PAGE,
            among=frozenset(online) if state == "online" else None,
        )
        views = await self._services.devices.views(found)
        kept = {"q": search, "state": state, "group": group}
        return await self._frame.page(
            ask,
            "devices.html",
            title="Devices",
            section="devices",
            views=views,
            total=total,
            online=len(online),
            number=number,
            pages=-(-total // PER_PAGE),
            search=search,
            state=state,
            states=_STATES,
            group=group,
            groups=await self._services.groups.of_product(ask.requester, product),
            order=order_of(sort),
            orders=Order,
            descending=descending,
            simulate=simulate(product),
            columns=[
                self._column(ask, text, name, kept, is_sorted=order_of(name) is order_of(sort), descending=descending)
                for text, name in (("Device", "deviceName"), ("Id", "deviceId"))
            ],
            firmware=self._column(
                ask,
                "Firmware",
                "firmwareVersion",
                kept,
                is_sorted=order_of(sort) is Order.FIRMWARE,
                descending=descending,
            ),
            heard=self._column(
                ask,
                "Last connected",
                "lastConnection",
                kept,
                is_sorted=order_of(sort) is Order.CONNECTION,
                descending=descending,
            ),
            sort=sort,
            page_url=self._url(ask, {**kept, "sort": sort, "order": "desc" if descending else "asc"}) + "&page=",
        )

    def _column(
        self, ask: Ask, text: str, name: str, kept: dict[str, str], *, is_sorted: bool, descending: bool
    ) -> dict[str, Any]:
        """A heading that sorts by its column, and the other way round when it does already."""
        turned = not descending if is_sorted else name in _DESCENDING
        return {
            "text": text,
            "url": self._url(ask, {**kept, "sort": name, "order": "desc" if turned else "asc"}),
            "sorted": ("descending" if descending else "ascending") if is_sorted else None,
        }

    def _url(self, ask: Ask, query: dict[str, str]) -> str:
        wanted = {name: value for name, value in query.items() if value}
        return f"{ask.base}/devices?{urlencode(wanted)}"


def simulate(product: Product) -> str:
    """The command with which a virtual device of the product connects, on the server's machine."""
    words = ["cloudchamber", "simulate", "--product", str(product.id)]
    if product.platform_id not in _OVER_TCP:
        words += ["--protocol", "udp"]
    if product.platform_id not in _BY_DEFAULT:
        words += ["--platform", str(product.platform_id)]
    return " ".join(words)


SECTION: Final = Section("devices", "Devices", Nav("product", "devices", Action.DEVICES_LIST), ROUTES, DeviceListPages)
