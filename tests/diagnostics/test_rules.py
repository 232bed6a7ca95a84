"""What is shown of metrics and of `loc` events."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.diagnostics.model import Location
from cloudchamber.diagnostics.rules import device_part, parse_location_untrusted
from cloudchamber.wire.describe import Metric


def test_metrics_by_their_names() -> None:
    metrics = [
        Metric(6, 3600, failed=False),
        Metric(10, 2, failed=False),
        Metric(25, 114_688, failed=False),
        Metric(26, 52_000, failed=False),
        Metric(33, 75 * 256 + 128, failed=False),
        Metric(37, -60 * 256, failed=False),
        Metric(36, 1, failed=False),
        Metric(3, -210, failed=True),
        Metric(40_000, 7, failed=False),
    ]
    assert device_part(metrics) == {
        "system": {"uptime": 3600, "memory": {"total": 114_688, "used": 52_000}},
        "cloud": {"connection": {"status": "connected"}},
        "network": {"signal": {"strength": 75.5, "strengthv": -60.0, "at": "Wi-Fi"}},
        "power": {"battery": {"charge": {"err": -210}}},
        "other": {"40000": 7},
    }


@given(st.lists(st.builds(Metric, st.integers(0, 0x7FFF), st.integers(-(2**31), 2**31 - 1), st.booleans())))
def test_any_metrics_are_shown(metrics: list[Metric]) -> None:
    json.dumps(device_part(metrics))


def test_a_location() -> None:
    said = {"cmd": "loc", "loc": {"lck": 1, "lat": 48.137154, "lon": 11.576124, "alt": 519.0}}
    assert parse_location_untrusted(json.dumps(said)) == Location(48.137154, 11.576124, is_locked=True)
    said["loc"] = {"lck": 0, "lat": -90, "lon": 180}
    assert parse_location_untrusted(json.dumps(said)) == Location(-90.0, 180.0, is_locked=False)


@pytest.mark.parametrize(
    "data",
    [
        None, "", "null", "[]", "{}", '{"loc":[]}', '{"loc":{"lat":1}}', '{"loc":{"lat":"1","lon":"2"}}',
        '{"loc":{"lat":91,"lon":0}}', '{"loc":{"lat":0,"lon":-180.1}}', '{"loc":{"lat":NaN,"lon":0}}',
        '{"loc":{"lat":Infinity,"lon":0}}', '{"loc":{"lat":true,"lon":0}}', "[" * 9_000,
        '{"loc":{"lat":1,"lon":1}}' + " " * 10_000,
        '{"loc":{"lat":1' + "0" * 400 + ',"lon":0}}',
    ],
)  # fmt: skip
def test_no_location(data: str | None) -> None:
    assert parse_location_untrusted(data) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.dictionaries(st.sampled_from(["loc", "lat", "lon", "lck"]), inner),
    )
)
def test_any_json_is_a_location_or_none(value: Any) -> None:
    found = parse_location_untrusted(json.dumps(value))
    assert found is None or (-90 <= found.latitude <= 90 and -180 <= found.longitude <= 180)
