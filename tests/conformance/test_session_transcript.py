"""A session recorded with the device code of Device OS 2.3.1: byte for byte, through channels and through both ends."""

from dataclasses import replace

import pytest

from cloudchamber.wire.describe import Application
from cloudchamber.wire.events import (
    Acknowledged,
    Answered,
    ClaimCodePresented,
    ClaimConfirmed,
    Described,
    EventPublished,
    FunctionCalled,
    FunctionReturned,
    Online,
    SafeMode,
    SignalChanged,
    Subscribed,
    TimeAsked,
    TimeTold,
    VariableAsked,
    VariableRead,
)
from cloudchamber.wire.session.profile import PROFILES, DeviceSetup
from cloudchamber.wire.tcp.channel import Opener, Sealer
from cloudchamber.wire.tcp.connection import CloudConnection
from cloudchamber.wire.tcp.device import DeviceConnection
from cloudchamber.wire.values import VariableType, decode_untrusted
from tests.captures import load
from tests.wire.link import NONCE, device_key, device_public_der, seal_credentials, server_key

SESSION = load("session_2_3_1.json")
FRAMES = SESSION["frames"]
CREDENTIALS = bytes.fromhex(SESSION["credentials"])
DEVICE_ID = bytes.fromhex(SESSION["device_id"])
CLAIM_CODE = "b/QadABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456"


def frames(direction: str, first: int = 1, last: int = 25) -> list[dict[str, str]]:
    return [f for f in FRAMES if f["direction"] == direction and first <= f["number"] <= last]


def joined(direction: str, first: int = 1, last: int = 25) -> bytes:
    return b"".join(bytes.fromhex(f["frame"]) for f in frames(direction, first, last))


@pytest.mark.parametrize("direction", ["D>S", "S>D"])
def test_channels_replay_every_frame(direction: str) -> None:
    sealer, opener = Sealer(CREDENTIALS[:16], CREDENTIALS[16:32]), Opener(CREDENTIALS[:16], CREDENTIALS[16:32])
    assert len(frames(direction)) > 8
    for frame in frames(direction):
        assert sealer.seal(bytes.fromhex(frame["plaintext"])).hex() == frame["frame"]
        opener.feed(bytes.fromhex(frame["frame"]))
        message = opener.next_message_untrusted()
        assert message is not None
        assert message.hex() == frame["plaintext"]


def admitted() -> CloudConnection:
    return CloudConnection(CREDENTIALS, hello_until=10.0, now=0.0, first_message_id=0x4001)


@pytest.mark.parametrize("piece", [1, 7, 61])
def test_the_cloud_end_says_what_the_recorded_server_said(piece: int) -> None:
    cloud = admitted()
    sent, heard = b"", []
    data = joined("D>S", 1, 15)
    for at in range(0, len(data), piece):
        cloud.receive(data[at : at + piece], 0.0)
        events = cloud.events()
        for event in events:
            if isinstance(event, TimeAsked):
                cloud.tell_time(event, 0x6553F100, 0.0)
        heard += events
        sent += cloud.data_to_send(0.0)
    assert sent == joined("S>D", 1, 16)
    kinds = [type(event) for event in heard]
    assert kinds == [
        Online, ClaimCodePresented, EventPublished, EventPublished, SafeMode, TimeAsked, Described,
        Subscribed, Subscribed,
    ]  # fmt: skip
    assert heard[1] == ClaimCodePresented(CLAIM_CODE)
    assert heard[6].describe.functions == ("brew",)
    assert heard[6].describe.variables == {"temperature": VariableType.INT, "motd": VariableType.STRING}
    assert heard[6].describe.system["m"][0]["s"] == 49152


def test_the_cloud_ends_requests_are_those_of_the_recording() -> None:
    """Tokens are free: the recorded ones are handed out in their order."""
    cloud = admitted()
    cloud.receive(joined("D>S", 1, 8), 0.0)
    sent = cloud.data_to_send(0.0)
    cloud.receive(joined("D>S", 9, 9), 0.0)
    (asked,) = [event for event in cloud.events() if isinstance(event, TimeAsked)]
    cloud.tell_time(asked, 0x6553F100, 0.0)
    cloud.receive(joined("D>S", 11, 15), 0.0)
    cloud._requests.next_token = 0x23
    call = cloud.call_function("brew", "32,240", 0.0, 10.0)
    sent += cloud.data_to_send(0.0)
    cloud.receive(joined("D>S", 18, 19), 0.0)
    cloud._requests.next_token = 0x31
    read = cloud.read_variable("temperature", 0.0, 10.0)
    sent += cloud.data_to_send(0.0)
    cloud.receive(joined("D>S", 21, 22), 0.0)
    assert cloud.send_event("spark/device/claim/code", b"ok", 60, True, 0.0)
    cloud._requests.next_token = 0x34
    signal = cloud.signal(True, 0.0, 10.0)
    sent += cloud.data_to_send(0.0)
    cloud.receive(joined("D>S", 25, 25), 0.0)
    assert sent == joined("S>D")
    answers = [event for event in cloud.events() if isinstance(event, Answered)]
    assert answers == [
        Answered(call, FunctionReturned(456)),
        Answered(read, VariableRead(bytes.fromhex("fffe7e33"))),
        Answered(signal, Acknowledged()),
    ]
    assert decode_untrusted(VariableType.INT, answers[1].outcome.data) == -98765  # type: ignore[union-attr]


def test_the_device_end_says_what_the_recorded_device_said() -> None:
    setup = DeviceSetup(
        DEVICE_ID,
        replace(PROFILES["2.3.1"], tells_updates=False),
        Application(("brew",), {"temperature": VariableType.INT, "motd": VariableType.STRING}),
        platform_id=3,
        product_id=6287,
        product_version=1,
        claim_code=CLAIM_CODE,
        safe_mode=True,
        system={
            "p": 6,
            "m": [{"s": 49152, "l": "m", "vc": 30, "vv": 30, "f": "b", "n": "0", "v": 1101, "d": []}],
        },
    )
    key = server_key().public_key()
    device = DeviceConnection(setup=setup, device_key=device_key(), server_key=key, now=0.0, first_token=0xF5)
    device.receive(NONCE + seal_credentials(server_key(), device_public_der(), CREDENTIALS), 0.0)
    sent = device.data_to_send(0.0)[256:]
    heard = []
    for frame in frames("S>D"):
        device.receive(bytes.fromhex(frame["frame"]), 0.0)
        events = device.events()
        for event in events:
            if isinstance(event, FunctionCalled):
                assert (event.name, event.argument) == ("brew", "32,240")
                device.return_value(event.request, 456, 0.0)
            elif isinstance(event, VariableAsked):
                device.answer_variable(event.request, -98765, 0.0)
        heard += events
        sent += device.data_to_send(0.0)
    assert sent == joined("D>S")
    assert TimeTold(0x6553F100) in heard
    assert ClaimConfirmed() in heard
    assert SignalChanged(on=True) in heard
