"""Functions, variables, ping and signal: one request to one device, and its answer as a value or an error."""

import asyncio
from typing import Final

from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.ports import LiveDevices
from cloudchamber.fleet.service import DEVICE_CHANGED
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.errors import (
    ArgumentTooLong,
    DeviceBusy,
    FunctionNotFound,
    FunctionTimedOut,
    SignalTimedOut,
    VariableNotFound,
    VariableTimedOut,
)
from cloudchamber.messaging.ports import DeviceLink
from cloudchamber.messaging.rules import spelling
from cloudchamber.tally import Figure, Tally
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import (
    Acknowledged,
    Busy,
    FunctionReturned,
    NotFound,
    Outcome,
    TooLarge,
    VariableRead,
)
from cloudchamber.wire.values import Value, VariableType, decode_untrusted

# A device that has just connected describes itself within a second; longer than this it has forgotten to.
_DESCRIBE_WAIT_S: Final = 5.0

TYPE_NAMES: Final = {
    VariableType.BOOL: "bool",
    VariableType.INT: "int32",
    VariableType.DOUBLE: "double",
    VariableType.STRING: "string",
}
_TYPES: Final = {name: kind for kind, name in TYPE_NAMES.items()}


class Calls:
    """For devices that the registry gave for FUNCTION_CALL, VARIABLE_GET, DEVICES_PING or DEVICES_SIGNAL."""

    def __init__(
        self,
        link: DeviceLink,
        live: LiveDevices,
        bus: InProcessBus,
        *,
        function_timeout_s: float,
        signal_timeout_s: float,
        ping_timeout_s: float,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally or Tally()
        self._link = link
        self._live = live
        self._function_timeout_s = function_timeout_s
        self._signal_timeout_s = signal_timeout_s
        self._ping_timeout_s = ping_timeout_s
        self._awaiting: dict[DeviceId, list[asyncio.Future[DeviceRecord]]] = {}
        bus.subscribe(DEVICE_CHANGED, self._changed)

    async def call_function(self, device: DeviceRecord, name: str, argument: str) -> int:
        """The signed 32-bit number that the function returned.

        Firmware does not answer a call of a function that it does not have, so the description decides first.

        Raises FunctionNotFound, FunctionTimedOut, ArgumentTooLong, DeviceBusy.
        """
        known = await self._described(device)
        function = name
        if known.functions is not None:
            found = spelling(known.functions, name)
            if found is None:
                raise FunctionNotFound(f"Function {name} not found")
            function = found
        was_online = self._live.is_online(device.id)
        outcome = await self._link.call_function(device.id, function, argument, self._function_timeout_s)
        failed = Figure.FUNCTIONS_FAILED if was_online else Figure.FUNCTIONS_OFFLINE
        is_good = isinstance(outcome, FunctionReturned)
        self._tally.note(device.product, Figure.FUNCTIONS_OK if is_good else failed)
        match outcome:
            case FunctionReturned(value=value):
                return value
            case NotFound():
                raise FunctionNotFound(f"Function {name} not found")
            case _:
                _refuse(outcome)
                raise FunctionTimedOut("Timed out.", detail=type(outcome).__name__)

    async def read_variable(self, device: DeviceRecord, name: str) -> tuple[str, Value]:
        """The device's own spelling of the variable, and its value with the type that the description tells.

        Raises VariableNotFound, VariableTimedOut, DeviceBusy.
        """
        known = await self._described(device)
        variable, kind = name, VariableType.STRING
        if known.variables is not None:
            found = spelling(tuple(known.variables), name)
            if found is None:
                raise VariableNotFound("Variable not found")
            variable, kind = found, _TYPES.get(known.variables[found], VariableType.STRING)
        was_online = self._live.is_online(device.id)
        outcome = await self._link.read_variable(device.id, variable, self._function_timeout_s)
        failed = Figure.VARIABLES_FAILED if was_online else Figure.VARIABLES_OFFLINE
        is_good = isinstance(outcome, VariableRead)
        self._tally.note(device.product, Figure.VARIABLES_OK if is_good else failed)
        match outcome:
            case VariableRead(data=data):
                try:
                    return variable, decode_untrusted(kind, data)
                except WireError as error:
                    raise VariableTimedOut("Timed out.", detail=f"unreadable value: {error}") from error
            case NotFound():
                raise VariableNotFound("Variable not found")
            case _:
                _refuse(outcome)
                raise VariableTimedOut("Timed out.", detail=type(outcome).__name__)

    async def ping(self, device: DeviceRecord) -> bool:
        """Does the device answer now?"""
        return isinstance(await self._link.ping(device.id, self._ping_timeout_s), Acknowledged)

    async def signal(self, device: DeviceRecord, *, on: bool) -> None:
        """The device shouts rainbows, or stops. Raises SignalTimedOut."""
        outcome = await self._link.signal(device.id, on=on, timeout_s=self._signal_timeout_s)
        if not isinstance(outcome, Acknowledged):
            raise SignalTimedOut("Timed out, didn't hear back from device service", detail=type(outcome).__name__)

    async def _described(self, device: DeviceRecord) -> DeviceRecord:
        """The record, once the device has described itself; as it is when it is offline or keeps silent."""
        if device.functions is not None or not self._live.is_online(device.id):
            return device
        waiter: asyncio.Future[DeviceRecord] = asyncio.get_running_loop().create_future()
        self._awaiting.setdefault(device.id, []).append(waiter)
        try:
            async with asyncio.timeout(_DESCRIBE_WAIT_S):
                return await waiter
        except TimeoutError:
            return device
        finally:
            waiters = self._awaiting[device.id]
            waiters.remove(waiter)
            if not waiters:
                del self._awaiting[device.id]

    def _changed(self, record: DeviceRecord) -> None:
        if record.functions is not None:
            for waiter in self._awaiting.get(record.id, ()):
                if not waiter.done():
                    waiter.set_result(record)


def _refuse(outcome: Outcome) -> None:
    match outcome:
        case TooLarge():
            raise ArgumentTooLong("The argument is longer than this device can take")
        case Busy():
            raise DeviceBusy("The device has too many requests open: try again when some are answered")
        case _:
            return
