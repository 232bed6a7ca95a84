"""Functions, variables and pings of one device, reached as one's own or through its product."""

from functools import partial
from typing import Any, Final

import msgspec

from cloudchamber.access.model import Action
from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.errors import Header
from cloudchamber.api.fields import Fields
from cloudchamber.api.places import Places
from cloudchamber.api.reply import Reply
from cloudchamber.api.soon import Soon
from cloudchamber.api.waiting import WhileConnected
from cloudchamber.clock import iso_or_none
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.service import Devices
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.errors import FunctionTimedOut, VariableTimedOut
from cloudchamber.wire.values import Value

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
        return Reply(str(returned).encode(), 200, _TEXT) if _wants_raw(call) else _returned(record, returned)

    async def _read(self, call: Call, record: DeviceRecord) -> Any:
        with WhileConnected(call.req, VariableTimedOut):
            name, value = await self._calls.read_variable(record, _name(call))
        if _wants_raw(call):
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            return Reply(text.encode(), 200, _TEXT)
        return self._var_return(record, (name, value))

    def _var_return(self, record: DeviceRecord, read: tuple[str, Value]) -> Any:
        name, value = read
        view = self._devices.seen(record)
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

    # The same without a task that waits, where all that it takes is in memory (api/direct.py).

    def call_own_soon(self, requester: Bearer, device: str, name: str, data: Fields) -> Soon | None:
        return self._call_soon(self._devices.own_now(requester, device, Action.FUNCTION_CALL), name, data)

    def call_of_product_soon(
        self, requester: Bearer, product: str, device: str, name: str, data: Fields
    ) -> Soon | None:
        return self._call_soon(self._in_product_now(requester, product, device, Action.FUNCTION_CALL), name, data)

    def read_own_soon(self, requester: Bearer, device: str, name: str) -> Soon | None:
        return self._read_soon(self._devices.own_now(requester, device, Action.VARIABLE_GET), name)

    def read_of_product_soon(self, requester: Bearer, product: str, device: str, name: str) -> Soon | None:
        return self._read_soon(self._in_product_now(requester, product, device, Action.VARIABLE_GET), name)

    def _in_product_now(self, requester: Bearer, product: str, device: str, action: Action) -> DeviceRecord | None:
        found = self._places.product_now(product)
        return None if found is None else self._devices.in_product_now(requester, found, device, action)

    def _call_soon(self, record: DeviceRecord | None, name: str, data: Fields) -> Soon | None:
        if record is None or "format" in data:
            return None
        begin = self._calls.call_soon(record, name, argument_in(data))
        return None if begin is None else Soon(begin, partial(_returned, record), FunctionTimedOut)

    def _read_soon(self, record: DeviceRecord | None, name: str) -> Soon | None:
        if record is None:
            return None
        begin = self._calls.read_soon(record, name)
        return None if begin is None else Soon(begin, partial(self._var_return, record), VariableTimedOut)


def _returned(record: DeviceRecord, value: int) -> Any:
    return {"id": record.id, "name": record.name, "last_app": "", "connected": True, "return_value": value}


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
