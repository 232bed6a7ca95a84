"""Functions, variables and pings of one device, reached as one's own or through its product."""

from typing import Any, Final

import msgspec

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.errors import Header
from cloudchamber.api.fields import Fields
from cloudchamber.api.places import Places
from cloudchamber.api.reply import Reply
from cloudchamber.api.waiting import WhileConnected
from cloudchamber.clock import iso_or_none
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.service import Devices
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.errors import FunctionTimedOut, VariableTimedOut

_TEXT: Final[tuple[Header, ...]] = (("content-type", "text/plain; charset=utf-8"),)

# What any device takes fits many times; the exact limit is the device's own.
_MAX_ARGUMENT_LENGTH: Final = 10_000
# The argument's name: in the reference, in the SDK and iOS, in Android.
_ARGUMENT_NAMES: Final = ("arg", "args", "params")


class CallsResource:
    def __init__(self, calls: Calls, devices: Devices, places: Places) -> None:
        self._calls = calls
        self._devices = devices
        self._places = places

    async def call_own(self, call: Call, requester: Bearer) -> Any:
        return await self._call(call, await self._own(call, requester, Action.FUNCTION_CALL))

    async def call_of_product(self, call: Call, requester: Bearer) -> Any:
        return await self._call(call, await self._in_product(call, requester, Action.FUNCTION_CALL))

    async def read_own(self, call: Call, requester: Bearer) -> Any:
        return await self._read(call, await self._own(call, requester, Action.VARIABLE_GET))

    async def read_of_product(self, call: Call, requester: Bearer) -> Any:
        return await self._read(call, await self._in_product(call, requester, Action.VARIABLE_GET))

    async def ping_own(self, call: Call, requester: Bearer) -> Any:
        record = await self._own(call, requester, Action.DEVICES_PING)
        return {"online": await self._calls.ping(record), "ok": True}

    async def ping_of_product(self, call: Call, requester: Bearer) -> Any:
        record = await self._in_product(call, requester, Action.DEVICES_PING)
        return {"online": await self._calls.ping(record), "ok": True}

    async def _own(self, call: Call, requester: Bearer, action: Action) -> DeviceRecord:
        return await self._devices.own(requester, call.params["device"], action)

    async def _in_product(self, call: Call, requester: Bearer, action: Action) -> DeviceRecord:
        product = await self._places.holding(call, requester, action)
        return await self._devices.in_product(requester, product, call.params["device"], action)

    async def _call(self, call: Call, record: DeviceRecord) -> Any:
        with WhileConnected(call.req, FunctionTimedOut):
            returned = await self._calls.call_function(record, _name(call), argument_in(call.data))
        if _wants_raw(call):
            return Reply(str(returned).encode(), 200, _TEXT)
        return {
            "id": record.id,
            "name": record.name,
            "last_app": "",
            "connected": True,
            "return_value": returned,
        }

    async def _read(self, call: Call, record: DeviceRecord) -> Any:
        with WhileConnected(call.req, VariableTimedOut):
            name, value = await self._calls.read_variable(record, _name(call))
        if _wants_raw(call):
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            return Reply(text.encode(), 200, _TEXT)
        view = await self._devices.view(record)
        return {
            "cmd": "VarReturn",
            "name": name,
            "result": value,
            "coreInfo": {
                "name": record.name,
                "last_app": "",
                "last_heard": iso_or_none(view.last_heard),
                "connected": view.is_online,
                "last_handshake_at": iso_or_none(view.record.last_handshake_at),
                "deviceID": record.id,
                "product_id": record.shown_product_id,
            },
        }


def argument_in(data: Fields) -> str:
    """The function's argument: by one of its names, else the first other field, else empty.

    Raises FieldInvalid.
    """
    for name in _ARGUMENT_NAMES:
        if name in data:
            return data.anything_as_text(name, max_length=_MAX_ARGUMENT_LENGTH) or ""
    other = next((name for name in data if name != "format"), None)
    return "" if other is None else data.anything_as_text(other, max_length=_MAX_ARGUMENT_LENGTH) or ""


def _name(call: Call) -> str:
    """Of the function or variable; where its name is a keyword of the path besides, the path's end."""
    return call.params.get("name") or call.last_segment


def _wants_raw(call: Call) -> bool:
    return "raw" in (call.query.get("format"), call.data.get("format"))
