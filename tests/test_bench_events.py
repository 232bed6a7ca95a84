"""The benchmarks of events still run. What they measure in slices this short says nothing."""

import sys
from pathlib import Path

import pytest

from bench import events, tcp
from bench.processes import CannotStart
from bench.report import OURS, Section
from bench.run import Run, Steps, progress

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another process's CPU clock is read")


def measured(name: str, folder: Path) -> Section:
    with progress() as bars:
        return events.measure(name, Run(0.1, 1, 10, 1.0, None, folder, Steps(bars, name)))


def absent(*_about: object):
    raise CannotStart("it is not on this machine.")


def test_every_listener_has_every_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "SIZES", (3,))
    for peer in ("nats-server", "spark-server"):  # the latter takes seconds to start
        monkeypatch.setitem(events.PEERS, peer, absent)
    section = measured("fanout", tmp_path)
    assert section.missing["nats-server"] == "it is not on this machine"
    subjects = [row.subject for row in section.rows]
    assert subjects[0] == OURS
    assert len(subjects) == 1 + len(events.PEERS) - len(section.missing)
    for row in section.rows:
        (found,) = row.rounds
        assert found["per_s"] > 0
        assert found["cpu_us"] > 0
        assert 0 < found["p50_ms"] <= found["p99_ms"]


def test_events_of_devices_are_taken_and_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "WORKS", (events.WORKS[0], events.WORKS[-1]))
    monkeypatch.setattr(tcp, "spark_server", absent)
    section = measured("events-in", tmp_path)
    assert section.missing["spark-server"] == "it is not on this machine"
    assert [row.setting for row in section.rows] == ["nobody waits", "a webhook waits for each"] * 2
    for row in section.rows:
        (found,) = row.rounds
        assert found["per_s"] > 0
        assert found["failed"] == 0


def test_deliveries_are_measured_until_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "TARGETS", events.TARGETS[:1])
    section = measured("webhooks", tmp_path)
    assert section.rows[0].subject == OURS
    assert len(section.rows) == 2 - len(section.missing)
    for row in section.rows:
        (found,) = row.rounds
        assert found["per_s"] > 0
        assert found["cpu_us"] > 0
