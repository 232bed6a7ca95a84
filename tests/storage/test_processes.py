"""Processes of one database hear of each other, whoever came first, and say what cannot go well."""

import pytest

from cloudchamber.clock import FixedClock
from cloudchamber.storage.database import Database
from cloudchamber.storage.processes import PROCESS_NOTICE, Process, Processes

KEYS = {"sealing.key": "1", "server-tcp.pem": "2"}


class Told:
    """A process, and what it reads of the others' notices."""

    def __init__(self, db: Database, name: str, keys: dict[str, str]) -> None:
        self._db, self._name, self._heard = db, name, set[str]()
        self.processes = Processes(db, FixedClock(), Process(name, f"host-{name}", "/data", keys))

    async def follow(self) -> int:
        rows = await self._db.fetch_all(
            "SELECT about FROM notices WHERE subject = $1 AND origin <> $2", PROCESS_NOTICE, self._name
        )
        new = {row[0] for row in rows} - self._heard
        self._heard |= new
        for about in new:
            await self.processes.hear(about, FixedClock().now())
        return len(new)


async def settled(*all_: Told) -> None:
    for _ in range(10):
        if not sum([await each.follow() for each in all_]):
            return
    raise AssertionError("they answer each other for ever")


async def test_each_of_two_says_that_the_other_is_there(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Told(database, "a", KEYS), Told(database, "b", KEYS)
    await first.processes.start()
    await settled(first)
    await second.processes.start()
    assert not caplog.records, "a row may be all that is left of a process"
    await settled(first, second)
    assert sorted(record.args[0] for record in caplog.records) == ["host-a", "host-b"]
    assert {record.levelname for record in caplog.records} == {"WARNING"}

    # A third one, and its server key is another one.
    caplog.clear()
    third = Told(database, "c", KEYS | {"server-tcp.pem": "x"})
    await third.processes.start()
    await settled(first, second, third)
    warned = sorted(record.args[0] for record in caplog.records if record.levelname == "WARNING")
    assert warned == ["host-a", "host-b", "host-c", "host-c"]
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 4
    assert all("another server-tcp.pem:" in error for error in errors)
