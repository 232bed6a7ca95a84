"""Functions, variables, ping and signal."""

import asyncio

import pytest
from msgspec.structs import replace

from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.fleet.service import DEVICE_CHANGED
from cloudchamber.messaging import calls as calls_module
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.errors import (
    ArgumentTooLong,
    DeviceBusy,
    FunctionNotFound,
    FunctionTimedOut,
    SignalTimedOut,
    VariableNotFound,
    VariableTimedOut,
)
from cloudchamber.wire.events import (
    Acknowledged,
    Busy,
    Disconnected,
    FunctionReturned,
    NotFound,
    TimedOut,
    TooLarge,
    VariableRead,
)
from tests.fleet.test_rules import device
from tests.world import Connected

KNOWN = device(1, functions=("brew", "LED"), variables={"temp": "double", "name": "string", "on": "bool", "n": "int32"})


class Desk:
    def __init__(self, *, is_online: bool = True) -> None:
        self.bus, self.connected = InProcessBus(), Connected()
        self.calls = Calls(
            *(self.connected, self.connected, self.bus), function_timeout_s=30, signal_timeout_s=20, ping_timeout_s=2
        )
        if is_online:
            self.connected.keys[KNOWN.id] = b"key"

    def answers(self, outcome) -> None:
        async def answer():
            return outcome

        self.connected.answer = answer


async def test_a_function_is_called_by_the_devices_spelling() -> None:
    desk = Desk()
    desk.answers(FunctionReturned(-1))
    assert await desk.calls.call_function(KNOWN, "led", "on") == -1
    assert desk.connected.asked == [("call", "LED", "on", "30")]


async def test_what_the_device_does_not_have_is_not_asked_for() -> None:
    for desk in (Desk(), Desk(is_online=False)):
        with pytest.raises(FunctionNotFound, match=r"^Function nothing not found$"):
            await desk.calls.call_function(KNOWN, "nothing", "")
        with pytest.raises(VariableNotFound, match=r"^Variable not found$"):
            await desk.calls.read_variable(KNOWN, "nothing")
        assert desk.connected.asked == []


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("TEMP", b"\0\0\0\0\0\0\xf8\x3f", ("temp", 1.5)),
        ("name", b"caf\xc3\xa9", ("name", "café")),
        ("on", b"\1", ("on", True)),
        ("n", b"\xff\xff\xff\xff", ("n", -1)),
    ],
)
async def test_a_variable_has_the_type_of_its_description(name, data, expected) -> None:
    desk = Desk()
    desk.answers(VariableRead(data))
    assert await desk.calls.read_variable(KNOWN, name) == expected


@pytest.mark.parametrize(
    ("outcome", "of_function", "of_variable"),
    [
        (TimedOut(), FunctionTimedOut, VariableTimedOut),
        (Disconnected(), FunctionTimedOut, VariableTimedOut),
        (Acknowledged(), FunctionTimedOut, VariableTimedOut),
        (NotFound(), FunctionNotFound, VariableNotFound),
        (TooLarge(), ArgumentTooLong, ArgumentTooLong),
        (Busy(), DeviceBusy, DeviceBusy),
    ],
)
async def test_how_a_request_can_fail(outcome, of_function, of_variable) -> None:
    desk = Desk()
    desk.answers(outcome)
    with pytest.raises(of_function) as failed:
        await desk.calls.call_function(KNOWN, "brew", "")
    if of_function is FunctionTimedOut:
        assert (failed.value.status, failed.value.message) == (400, "Timed out.")
    with pytest.raises(of_variable) as failed:
        await desk.calls.read_variable(KNOWN, "temp")
    if of_variable is VariableTimedOut:
        assert (failed.value.status, failed.value.message) == (408, "Timed out.")
    assert await desk.calls.ping(KNOWN) is isinstance(outcome, Acknowledged)
    if not isinstance(outcome, Acknowledged):
        with pytest.raises(SignalTimedOut, match=r"^Timed out, didn't hear back from device service$") as failed:
            await desk.calls.signal(KNOWN, on=True)
        assert failed.value.status == 500


async def test_a_value_that_cannot_be_read_is_no_value() -> None:
    desk = Desk()
    desk.answers(VariableRead(b"abc"))
    with pytest.raises(VariableTimedOut):
        await desk.calls.read_variable(KNOWN, "temp")


async def test_a_device_that_has_just_connected_is_waited_for() -> None:
    desk = Desk()
    desk.answers(FunctionReturned(7))
    fresh = replace(KNOWN, functions=None, variables=None)
    asked = [asyncio.create_task(desk.calls.call_function(fresh, "BREW", "")) for _ in range(3)]
    unknown = asyncio.create_task(desk.calls.call_function(fresh, "nothing", ""))
    await asyncio.sleep(0.001)
    asked[2].cancel()
    desk.bus.publish(DEVICE_CHANGED, replace(fresh, name="not yet described"))
    await asyncio.sleep(0.001)
    assert desk.connected.asked == []
    desk.bus.publish(DEVICE_CHANGED, device(2, functions=()))
    desk.bus.publish(DEVICE_CHANGED, KNOWN)
    assert await asyncio.gather(*asked[:2]) == [7, 7]
    with pytest.raises(FunctionNotFound):
        await unknown
    assert desk.connected.asked == [("call", "brew", "", "30")] * 2
    assert not desk.calls._awaiting


async def test_a_device_that_never_describes_itself_is_asked_all_the_same(monkeypatch) -> None:
    monkeypatch.setattr(calls_module, "_DESCRIBE_WAIT_S", 0.005)
    desk = Desk()
    desk.answers(VariableRead(b"text"))
    silent = replace(KNOWN, functions=None, variables=None)
    assert await desk.calls.read_variable(silent, "Any") == ("Any", "text")
    assert desk.connected.asked == [("read", "Any", "30")]
    assert not desk.calls._awaiting
    with pytest.raises(FunctionTimedOut):  # offline: no waiting at all
        await Desk(is_online=False).calls.call_function(silent, "x", "")
