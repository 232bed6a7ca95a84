"""Saved sessions: durable, encrypted, found by what a device shows, one for each device."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from cloudchamber.clock import DAY, FixedClock
from cloudchamber.resumption.model import SavedSession
from cloudchamber.resumption.service import SavedSessions
from cloudchamber.resumption.store import SessionStore
from cloudchamber.sealing import KEY_BYTES, Sealer
from cloudchamber.storage.database import Database

DEVICE = "0123456789abcdef01234567"
MASTER = b"a master secret that decrypts traffic"
SESSION = SavedSession(b"i" * 32, b"c" * 8, None, "192.0.2.1:5684", MASTER, None)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def sessions(database: Database, clock: FixedClock) -> SavedSessions:
    return SavedSessions(database, SessionStore(), Sealer(b"k" * KEY_BYTES), clock)


async def test_a_session_is_found_by_what_its_device_shows(sessions: SavedSessions) -> None:
    await sessions.save(SESSION)
    assert await sessions.by_cid(b"c" * 8) == SESSION
    assert await sessions.by_cid(b"x" * 8) is None
    assert await sessions.by_device(DEVICE) is None
    known = replace(SESSION, device=DEVICE, memory=b"{}", address="192.0.2.9:5684")
    await sessions.save(known)
    assert await sessions.by_device(DEVICE) == known
    # Without news, what the device told stays.
    await sessions.save(replace(known, memory=None))
    assert await sessions.by_device(DEVICE) == known


async def test_only_sessions_without_a_connection_id_are_looked_for_by_address(sessions: SavedSessions) -> None:
    await sessions.save(SESSION)
    assert await sessions.by_address("192.0.2.1:5684") is None
    plain = replace(SESSION, id=b"j" * 32, cid=None)
    await sessions.save(plain)
    assert await sessions.by_address("192.0.2.1:5684") == plain


async def test_a_new_session_of_a_device_takes_the_place_of_the_old(sessions: SavedSessions) -> None:
    await sessions.save(replace(SESSION, device=DEVICE))
    newer = SavedSession(b"n" * 32, b"d" * 8, DEVICE, "192.0.2.1:1", MASTER, None)
    await sessions.save(newer)
    assert await sessions.by_cid(b"c" * 8) is None
    assert await sessions.by_device(DEVICE) == newer
    await sessions.forget(newer.id)
    assert await sessions.by_device(DEVICE) is None


async def test_what_is_saved_at_once_is_saved_as_one_after_the_other(sessions: SavedSessions) -> None:
    known = replace(SESSION, device=DEVICE, memory=b"{}")
    later = replace(known, state=b"later", memory=None)
    others = [
        SavedSession(bytes((n,)) * 32, bytes((n,)) * 8, f"{n:024x}", "192.0.2.2:1", MASTER, None) for n in range(60)
    ]
    newest = SavedSession(b"n" * 32, b"n" * 8, others[0].device, "192.0.2.1:1", MASTER, b"new")
    plain = replace(SESSION, id=b"p" * 32, cid=None)
    await asyncio.gather(*(sessions.save(each) for each in (plain, known, *others, later, newest)))
    assert await sessions.by_device(DEVICE) == replace(later, memory=b"{}"), "what the device told stays"
    assert await sessions.by_device(f"{0:024x}") == newest
    assert await sessions.by_cid(bytes(8)) is None, "an older session of the device"
    for each in others[1:]:
        assert each.cid is not None
        assert await sessions.by_cid(each.cid) == each
    assert await sessions.by_address("192.0.2.1:5684") == plain


async def test_a_session_that_learns_its_device_meanwhile_is_one_session(sessions: SavedSessions) -> None:
    older = replace(SESSION, id=b"o" * 32, cid=b"o" * 8, device=DEVICE)
    known = replace(SESSION, device=DEVICE)
    await asyncio.gather(*map(sessions.save, (older, replace(older, id=b"1" * 32, cid=b"1" * 8, device=None))))
    some = (replace(SESSION, memory=b"{}"), older, known, replace(known, state=b"later"))
    # Alone goes what comes first; the others wait for it, and go together.
    await asyncio.gather(*map(sessions.save, (replace(older, state=b"first"), *some)))
    assert await sessions.by_device(DEVICE) == replace(known, state=b"later", memory=b"{}")
    assert await sessions.by_cid(b"o" * 8) is None


async def test_a_session_that_cannot_be_saved_takes_no_other_with_it(sessions: SavedSessions) -> None:
    await sessions.save(SESSION)
    taken = replace(SESSION, id=b"t" * 32, device=DEVICE)  # its connection id is another session's
    good = SavedSession(b"g" * 32, b"g" * 8, "f" * 24, "192.0.2.1:1", MASTER, None)
    found = await asyncio.gather(*map(sessions.save, (good, taken, replace(good, state=b"x"))), return_exceptions=True)
    assert [isinstance(each, Exception) for each in found] == [False, True, False]
    assert await sessions.by_cid(b"g" * 8) == replace(good, state=b"x")
    assert await sessions.by_cid(b"c" * 8) == SESSION


async def test_another_key_opens_nothing(database: Database, sessions: SavedSessions, clock: FixedClock) -> None:
    await sessions.save(SESSION)
    other = SavedSessions(database, SessionStore(), Sealer(b"z" * KEY_BYTES), clock)
    assert await other.by_cid(b"c" * 8) is None


async def test_sessions_of_devices_that_never_came_back_are_purged(sessions: SavedSessions, clock: FixedClock) -> None:
    await sessions.save(SESSION)
    clock.advance(399 * DAY)
    assert await sessions.purge() == 0
    clock.advance(2 * DAY)
    assert await sessions.purge() == 1
    assert await sessions.by_cid(b"c" * 8) is None


async def test_no_key_lies_in_the_database(sessions: SavedSessions, database_url: str) -> None:
    await sessions.save(SESSION)
    if database_url.startswith("sqlite:"):
        path = Path("/" + database_url.removeprefix("sqlite:///").lstrip("/"))
        files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
        assert files
        assert all(MASTER not in file.read_bytes() for file in files)
