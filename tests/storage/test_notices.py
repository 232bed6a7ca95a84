"""What other processes changed is told once for each change, and what this one changed is not."""

import pytest

from cloudchamber.clock import MINUTE, FixedClock, Millis
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import BrokenReference, StorageUnavailable
from cloudchamber.storage.notices import Notices, put_notice


async def test_what_others_change_is_told_once(database: Database) -> None:
    clock = FixedClock()
    notices, heard = Notices(database, clock), list[str]()
    notices.on("client", lambda about, _: heard.append(about))

    async def change(about: str, origin: str | None, subject: str = "client", late_ms: int = 0) -> None:
        async def write(tx: Transaction) -> None:
            more = () if origin is None else (origin,)
            await put_notice(tx, subject, about, clock.now() - late_ms, *more)

        await database.transaction(write)

    await change("own", None)
    await change("a", "elsewhere")
    await change("x", "elsewhere", subject="what a later version tells")
    assert await notices.follow() == 2
    assert [await notices.follow(), heard] == [0, ["a"]]
    clock.advance(100)
    await change("a", "elsewhere")
    assert [await notices.follow(), heard] == [1, ["a", "a"]]
    # At the same moment, by two of them: the second may have committed after the first was read.
    await change("a", "the third")
    assert [await notices.follow(), heard[2:]] == [1, ["a"]]
    # By a process whose clock is late, or whose commit took its time.
    await change("b", "elsewhere", late_ms=MINUTE // 2)
    assert [await notices.follow(), heard[3:]] == [1, ["b"]]
    # Who changes it here as well has told it here.
    await change("b", None)
    assert [await notices.follow(), heard[4:]] == [0, []]


async def test_one_that_cannot_be_understood_keeps_no_other_from_being_heard(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FixedClock()
    notices, heard = Notices(database, clock), list[str]()

    def hear(about: str, _: Millis) -> None:
        heard.append(about)
        if about == "odd":
            raise ValueError(about)
        if about == "gone":
            # No more than that of a disk that is full can be waited for.
            raise BrokenReference(about)

    notices.on("team", hear)

    async def write(tx: Transaction) -> None:
        for about in ("a", "odd", "gone", "b"):
            await put_notice(tx, "team", about, clock.now(), "elsewhere")

    await database.transaction(write)
    assert [await notices.follow(), sorted(heard)] == [4, ["a", "b", "gone", "odd"]]
    assert "a notice of team could not be followed" in caplog.text
    assert await notices.follow() == 0


async def test_what_could_not_be_read_is_told_again_and_what_takes_away_first(database: Database) -> None:
    clock = FixedClock()
    written = clock.now()
    notices, heard, fails = Notices(database, clock), list[str](), True

    async def hear(about: str, at: Millis) -> None:
        if fails:
            raise StorageUnavailable("no disk")
        assert at == written
        heard.append(about)

    notices.on("token", lambda about, _: heard.append(about))
    notices.on("device", hear)

    async def write(tx: Transaction) -> None:
        for subject, about in (("device", "a"), ("token", "x"), ("device", "b"), ("token", "y")):
            await put_notice(tx, subject, about, written, "elsewhere")

    await database.transaction(write)
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await notices.follow()
        assert sorted(heard) == ["x", "y"]
        # However long it takes.
        clock.advance(2 * MINUTE)
    fails = False
    await notices.follow()
    assert [sorted(heard[2:]), await notices.follow()] == [["a", "b"], 0]


async def test_rows_go_when_everybody_has_read_them(database: Database) -> None:
    clock = FixedClock()

    async def write(tx: Transaction) -> None:
        await put_notice(tx, "client", "a", clock.now(), "elsewhere")

    await database.transaction(write)
    clock.advance(MINUTE)
    notices = Notices(database, clock)
    assert await notices.purge() == 0
    clock.advance(10 * MINUTE)
    assert await notices.purge() == 1
