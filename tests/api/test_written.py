"""Devices that are kept as JSON are what they would be if they were written anew, whatever changed."""

import msgspec
import pytest

from cloudchamber.api import devices, render
from cloudchamber.api.devices import Written
from cloudchamber.api.reply import encode_json
from cloudchamber.clock import Millis
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.service import DeviceView
from cloudchamber.ids import DeviceId


def view(number: int = 1, **changes: object) -> DeviceView:
    empty = dict.fromkeys(DeviceRecord.__struct_fields__)
    made = empty | {"id": DeviceId(f"{number:024x}"), "groups": (), "functions": ("f",), "variables": {"v": "int32"}}
    return DeviceView(DeviceRecord(**(made | changes)), True, Millis(1_000), "somebody")


def test_each_change_is_written() -> None:
    written = Written(render.device_detail)
    first = view()
    seen = [
        first,
        msgspec.structs.replace(first, last_heard=Millis(2_000)),
        msgspec.structs.replace(first, last_heard=None),
        msgspec.structs.replace(first, is_online=False),
        msgspec.structs.replace(first, owner_name="another"),
        msgspec.structs.replace(first, owner_name=None),
        msgspec.structs.replace(first, record=msgspec.structs.replace(first.record, name="named")),
        view(2),
        first,
    ]
    for each in seen:
        for _ in range(2):
            assert bytes(written.of(each)) == encode_json(render.device_detail(each))
    assert len({bytes(written.of(each)) for each in seen}) == len(seen) - 1


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MAX_WRITTEN", 3)
    shown: list[DeviceView] = []

    def show(each: DeviceView) -> dict[str, str]:
        shown.append(each)
        return {"id": each.record.id}

    written = Written(show)
    views = [view(number) for number in range(4)]
    for each in (*views, *views[1:]):
        written.of(each)
    assert shown == views
    written.of(views[0])
    assert shown == [*views, views[0]]
