"""The order in which a device's words are told, whoever is at them."""

import asyncio
from functools import partial

import pytest

from cloudchamber.gateway import mailboxes
from cloudchamber.gateway.mailboxes import Mailboxes
from cloudchamber.ids import DeviceId
from cloudchamber.messaging.recording import Recording

ONE, TWO = DeviceId("1" * 24), DeviceId("2" * 24)


class Told:
    def __init__(self) -> None:
        self.mailboxes = Mailboxes()
        self.words: list[str] = []

    async def _say(self, word: str) -> None:
        await asyncio.sleep(0)
        self.words.append(word)

    def say(self, device: DeviceId, word: str) -> None:
        self.mailboxes.post(device, partial(self._say, word))

    def keep(self, device: DeviceId, word: str) -> Recording:
        recording = Recording()

        def ended(is_over: bool) -> None:
            self.words.append(word if is_over else f"{word} too late")

        self.mailboxes.keep_place(device, recording, ended)
        return recording


async def test_what_is_under_way_elsewhere_keeps_its_place() -> None:
    told = Told()
    first, second = told.keep(ONE, "a"), told.keep(ONE, "b")
    told.say(ONE, "c")
    third = told.keep(ONE, "d")
    other = told.keep(TWO, "x")
    assert len(told.mailboxes) == 2
    second.end()
    third.end()
    other.end()
    assert told.words == ["x"], "one device waits for no other"
    first.end()
    assert told.words == ["x", "a", "b"]
    assert await told.mailboxes.drain(1)
    assert told.words == ["x", "a", "b", "c", "d"]
    assert len(told.mailboxes) == 0
    told.keep(ONE, "e").end()
    assert told.words[-1] == "e"
    assert not told.mailboxes.has(ONE)


async def test_what_is_over_at_once_still_waits_for_what_came_before() -> None:
    told = Told()
    told.say(ONE, "a")
    recording = Recording()
    recording.end()
    told.mailboxes.keep_place(ONE, recording, lambda _: told.words.append("b"))
    assert told.words == []
    assert await told.mailboxes.drain(1)
    assert told.words == ["a", "b"]


async def test_what_is_told_from_within_comes_next() -> None:
    told = Told()
    recording = Recording()

    def ended(_is_over: bool) -> None:
        told.words.append("a")
        told.say(ONE, "c")
        told.words.append("b")

    told.mailboxes.keep_place(ONE, recording, ended)
    recording.end()
    assert await told.mailboxes.drain(1)
    assert told.words == ["a", "b", "c"]


async def test_what_never_ends_holds_up_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailboxes, "PATIENCE_S", 0.05)
    monkeypatch.setattr(mailboxes, "_LOOK_S", 0.02)
    told = Told()
    lost = told.keep(ONE, "a")
    told.keep(ONE, "b")
    told.say(ONE, "c")
    assert await told.mailboxes.drain(2)
    assert told.words == ["a too late", "b too late", "c"]
    lost.end()
    assert len(told.words) == 3


async def test_a_drain_has_its_time() -> None:
    told = Told()
    told.keep(ONE, "a")
    told.mailboxes.post(TWO, partial(asyncio.sleep, 60))
    told.say(TWO, "b")
    assert not await told.mailboxes.drain(0.05)
    assert len(told.mailboxes) == 0
    assert told.words == []
