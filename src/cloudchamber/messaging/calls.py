"""Functions, variables, ping and signal: one request to one device, and its answer as a value or an error."""

import asyncio
from collections.abc import Callable
from functools import partial
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
from cloudchamber.messaging.ports import Cancel, DeviceLink
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


Called = Callable[[int | Exception], None]
Read = Callable[[tuple[str, Value] | Exception], None]
"""Told what `call_function` and `read_variable` return, or raise."""


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
        function = _function(await self._described(device), name)
        was_online = self._live.is_online(device.id)
        outcome = await self._link.call_function(device.id, function, argument, self._function_timeout_s)
        return self._returned(device, name, outcome, was_online=was_online)

    def call_soon(self, device: DeviceRecord, name: str, argument: str) -> Callable[[Called], Cancel] | None:
        """As `call_function`, without a task that waits, and nothing is asked before what this gives is called. None
        where the device is not here, or has not described itself yet. Raises FunctionNotFound."""
        if not self._is_described_here(device):
            return None
        return partial(self._begin_call, device, name, _function(device, name), argument)

    def _begin_call(self, device: DeviceRecord, name: str, function: str, argument: str, told: Called) -> Cancel:
        def done(outcome: Outcome) -> None:
            found: int | Exception
            try:
                found = self._returned(device, name, outcome, was_online=True)
            except Exception as error:
                found = error
            told(found)

        return self._link.begin_function(device.id, function, argument, self._function_timeout_s, done)

    def _returned(self, device: DeviceRecord, name: str, outcome: Outcome, *, was_online: bool) -> int:
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
        variable, kind = _variable(await self._described(device), name)
        was_online = self._live.is_online(device.id)
        outcome = await self._link.read_variable(device.id, variable, self._function_timeout_s)
        return variable, self._value(device, kind, outcome, was_online=was_online)

    def read_soon(self, device: DeviceRecord, name: str) -> Callable[[Read], Cancel] | None:
        """As `read_variable`, in the manner of `call_soon`. Raises VariableNotFound."""
        if not self._is_described_here(device):
            return None
        return partial(self._begin_read, device, *_variable(device, name))

    def _begin_read(self, device: DeviceRecord, variable: str, kind: VariableType, told: Read) -> Cancel:
        def done(outcome: Outcome) -> None:
            found: tuple[str, Value] | Exception
            try:
                found = variable, self._value(device, kind, outcome, was_online=True)
            except Exception as error:
                found = error
            told(found)

        return self._link.begin_variable(device.id, variable, self._function_timeout_s, done)

    def _value(self, device: DeviceRecord, kind: VariableType, outcome: Outcome, *, was_online: bool) -> Value:
        failed = Figure.VARIABLES_FAILED if was_online else Figure.VARIABLES_OFFLINE
        is_good = isinstance(outcome, VariableRead)
        self._tally.note(device.product, Figure.VARIABLES_OK if is_good else failed)
        match outcome:
            case VariableRead(data=data):
                try:
                    return decode_untrusted(kind, data)
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

    def _is_described_here(self, device: DeviceRecord) -> bool:
        return device.functions is not None and self._live.is_online(device.id)

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


def _function(known: DeviceRecord, name: str) -> str:
    """The device's own spelling. Raises FunctionNotFound."""
    if known.functions is None:
        return name
    found = spelling(known.functions, name)
    if found is None:
        raise FunctionNotFound(f"Function {name} not found")
    return found


def _variable(known: DeviceRecord, name: str) -> tuple[str, VariableType]:
    """The device's own spelling, and the type that it tells. Raises VariableNotFound."""
    if known.variables is None:
        return name, VariableType.STRING
    found = spelling(tuple(known.variables), name)
    if found is None:
        raise VariableNotFound("Variable not found")
    return found, _TYPES.get(known.variables[found], VariableType.STRING)


def _refuse(outcome: Outcome) -> None:
    match outcome:
        case TooLarge():
            raise ArgumentTooLong("The argument is longer than this device can take")
        case Busy():
            raise DeviceBusy("The device has too many requests open: try again when some are answered")
        case _:
            return
