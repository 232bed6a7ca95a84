"""Vitals of a device, reached as one's own or through its product."""

import io
from collections.abc import Iterator, Sequence
from typing import Any, Final

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.errors import Header
from cloudchamber.api.fields import FieldInvalid, Fields
from cloudchamber.api.places import Places
from cloudchamber.api.reply import Reply
from cloudchamber.clock import Millis, iso, parse_iso
from cloudchamber.diagnostics.model import Vitals
from cloudchamber.diagnostics.service import Diagnostics
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.service import Devices

_CSV: Final[tuple[Header, ...]] = (("content-type", "text/csv; charset=utf-8"),)


class DiagnosticsResource:
    def __init__(self, diagnostics: Diagnostics, devices: Devices, places: Places) -> None:
        self._diagnostics = diagnostics
        self._devices = devices
        self._places = places

    async def refresh_own(self, call: Call, requester: Bearer) -> Any:
        return self._refresh(await self._own(call, requester, Action.DIAGNOSTICS_UPDATE))

    async def refresh_of_product(self, call: Call, requester: Bearer) -> Any:
        return self._refresh(await self._in_product(call, requester, Action.DIAGNOSTICS_UPDATE))

    async def last_own(self, call: Call, requester: Bearer) -> Any:
        record = await self._own(call, requester, Action.DIAGNOSTICS_GET)
        return {"diagnostics": _shown(await self._diagnostics.last(record, owner=record.owner))}

    async def last_of_product(self, call: Call, requester: Bearer) -> Any:
        record = await self._in_product(call, requester, Action.DIAGNOSTICS_GET)
        return {"diagnostics": _shown(await self._diagnostics.last(record, owner=None))}

    async def history_own(self, call: Call, requester: Bearer) -> Any:
        record = await self._own(call, requester, Action.DIAGNOSTICS_GET)
        since, until = _times(call.query)
        return _listed(call, await self._diagnostics.history(record, owner=record.owner, since=since, until=until))

    async def history_of_product(self, call: Call, requester: Bearer) -> Any:
        record = await self._in_product(call, requester, Action.DIAGNOSTICS_GET)
        since, until = _times(call.query)
        return _listed(call, await self._diagnostics.history(record, owner=None, since=since, until=until))

    async def _own(self, call: Call, requester: Bearer, action: Action) -> DeviceRecord:
        return await self._devices.own(requester, call.params["device"], action)

    async def _in_product(self, call: Call, requester: Bearer, action: Action) -> DeviceRecord:
        product = await self._places.product(call)
        return await self._devices.in_product(requester, product, call.params["device"], action)

    def _refresh(self, record: DeviceRecord) -> Reply:
        self._diagnostics.refresh(record)
        return Reply({"ok": True}, 202)


def _times(query: Fields) -> tuple[Millis | None, Millis | None]:
    return time_in(query.text("start_date"), "start_date"), time_in(query.text("end_date"), "end_date")


def time_in(text: str | None, name: str) -> Millis | None:
    """Raises FieldInvalid."""
    if not text or not text.strip():
        return None
    found = parse_iso(text.strip())
    if found is None:
        raise FieldInvalid(f"{name} must be a date as 2017-12-07, or a time as 2017-12-07T17:20:10Z")
    return found


def _shown(vitals: Vitals) -> dict[str, Any]:
    return {"updated_at": iso(vitals.at), "deviceID": vitals.device, "payload": vitals.payload}


def _listed(call: Call, found: Sequence[Vitals]) -> Any:
    if call.req.get_header("accept") != "text/csv":
        return {"diagnostics": [_shown(vitals) for vitals in found]}
    rows = [
        {"updated_at": iso(vitals.at), "deviceID": vitals.device, **dict(_flat(vitals.payload))} for vitals in found
    ]
    columns = sorted({column for row in rows for column in row}, key=lambda name: (name != "updated_at", name))
    import csv  # only here: few ask for it

    out = io.StringIO()
    writer = csv.DictWriter(out, columns or ["updated_at", "deviceID"], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return Reply(out.getvalue().encode(), 200, _CSV)


def _flat(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{above}{name}.")
        else:
            yield f"{above}{name}", item
