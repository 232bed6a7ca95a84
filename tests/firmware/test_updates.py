"""Who gets which firmware when, what is told of it, and what becomes of it when things go wrong."""

import asyncio

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import User
from cloudchamber.clock import DAY, HOUR, MINUTE
from cloudchamber.firmware.errors import FirmwareInvalid, FirmwareNotFound, FlashRefused, FlashTimedOut, UpdateRunning
from cloudchamber.firmware.model import Releases, UpdateState
from cloudchamber.firmware.store import FirmwareStore
from cloudchamber.firmware.updates import PENDING_EVENT, Pace
from cloudchamber.fleet.groups.model import GroupChanges
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.updates import DeviceChanges
from cloudchamber.ids import ProductId
from cloudchamber.storage.database import Reader
from cloudchamber.wire.coap import Code
from cloudchamber.wire.describe import Describe
from cloudchamber.wire.events import (
    Busy,
    Disconnected,
    Outcome,
    Refused,
    TimedOut,
    TooLarge,
    Updated,
    UpdateFailed,
)
from cloudchamber.wire.messages import HelloFlag
from cloudchamber.wire.update.module import build_module, parse_module_untrusted
from cloudchamber.wire.update.sending import Image
from tests.firmware.conftest import Works
from tests.world import World, device_id

STARTED, SUCCESS, FAILED = (f"spark/flash/status {what} v2.bin" for what in ("started", "success", "failed"))


@pytest.fixture
async def ann(world: World) -> User:
    return await world.user("ann")


@pytest.fixture
async def thing(world: World, works: Works, ann: User) -> Product:
    """With the devices 1 to 5, and the versions 1 and 2, of which both have run somewhere."""
    thing = await world.product(ann)
    await world.import_(ann, thing, *range(1, 6))
    await works.upload(ann, thing, 1, 2)
    for version in (2, 1):
        await works.connect(thing, 5, version)
        await works.rest()
        await works.disconnect(5)
    await works.listen(ann, thing)
    return thing


async def lock(world: World, user: User, number: int, version: int | None, *, at_once: bool = False) -> None:
    record = await world.record(number)
    changes = DeviceChanges(desired_firmware_version=version, flashes=at_once)
    await world.updates.update(user, record, changes, through="product")


# --- which devices, and when -----------------------------------------------------------------------------------------


async def test_a_device_is_updated_when_it_connects(world: World, works: Works, ann: User, thing: Product) -> None:
    await works.connect(thing, 1, 1)
    await works.rest()
    await works.release(ann, thing, 2)
    await works.rest()
    assert works.sent == [], "it waits for the next connect"
    await works.back(thing, 1, 1)
    assert works.sent == [(1, works.binary(thing, 2))]
    assert await works.heard() == [STARTED, SUCCESS]
    assert await works.state(1) is UpdateState.SENT
    await works.back(thing, 1, 2)
    assert await works.state(1) is UpdateState.DONE
    await works.back(thing, 1, 2)
    assert len(works.sent) == 1
    assert await works.heard() == []
    assert works.updates.outcomes == {"Updated": 1}


async def test_an_intelligent_release_reaches_who_is_online(works: Works, ann: User, thing: Product) -> None:
    await works.connect(thing, 1, 1)
    await works.connect(thing, 2, 2)
    await works.rest()
    await works.release(ann, thing, 2, is_intelligent=True)
    await works.rest()
    assert [number for number, _ in works.sent] == [1]


async def test_a_new_default_takes_devices_back_to_a_lower_version(works: Works, ann: User, thing: Product) -> None:
    await works.connect(thing, 1, 2)
    await works.rest()
    await works.release(ann, thing, 1, is_intelligent=True)
    await works.rest()
    assert works.sent == [(1, works.binary(thing, 1))]


async def test_groups_come_before_the_default(world: World, works: Works, ann: User, thing: Product) -> None:
    for number in (1, 2):
        await works.connect(thing, number, 1)
    await world.groups.create(ann, thing, GroupChanges(name="Beta"))
    await works.rest()
    await world.updates.update(ann, await world.record(2), DeviceChanges(groups=("beta",)), through="product")
    await works.release(ann, thing, 1)
    await works.release(ann, thing, 2, "beta")
    for number in (1, 2):
        await works.back(thing, number, 1)
    assert [number for number, _ in works.sent] == [2]
    assert await works.updates.released_version(await world.record(2)) == 2
    assert await works.updates.released_version(await world.record(1)) == 1

    # The group has another name, and is gone: neither may be judged by what was remembered of it.
    await world.groups.update(ann, thing, "beta", GroupChanges(name="early"))
    assert await works.updates.released_version(await world.record(2)) == 2
    await world.groups.remove(ann, thing, "early")
    assert await works.updates.released_version(await world.record(2)) == 1


async def test_what_is_released_while_releases_are_read_is_not_forgotten(
    world: World, works: Works, ann: User, thing: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    await works.connect(thing, 1, 1)
    await works.rest()
    await works.release(ann, thing, 1)
    read = FirmwareStore.releases

    async def slowly(store: FirmwareStore, reader: Reader, product: ProductId) -> Releases:
        found = await read(store, reader, product)
        monkeypatch.undo()
        await works.release(ann, thing, 2)
        return found

    monkeypatch.setattr(FirmwareStore, "releases", slowly)
    assert await works.updates.released_version(await world.record(1)) == 1
    assert works.updates.releases_now(thing.id) is None
    assert await works.updates.released_version(await world.record(1)) == 2
    assert works.updates.releases_now(thing.id) == Releases(2)


async def test_a_lock_counts_at_once_or_from_the_next_connect(
    world: World, works: Works, ann: User, thing: Product
) -> None:
    await works.release(ann, thing, 1)
    for number in (1, 2):
        await works.connect(thing, number, 1)
    await works.rest()
    await lock(world, ann, 1, 2)
    await lock(world, ann, 2, 2, at_once=True)
    await works.rest()
    assert [number for number, _ in works.sent] == [2]
    await works.back(thing, 1, 1)
    assert [number for number, _ in works.sent] == [2, 1]
    await works.back(thing, 2, 2)
    await lock(world, ann, 2, None, at_once=True)
    await works.rest()
    assert len(works.sent) == 2, "a lock that is taken away flashes nothing"
    await works.back(thing, 2, 2)
    assert works.sent[2:] == [(2, works.binary(thing, 1))], "from then on the default counts again"
    with pytest.raises(FirmwareNotFound):
        await works.updates.check_version(thing.id, 3)
    await works.updates.check_version(thing.id, 1)


async def test_development_devices_are_left_alone(world: World, works: Works, ann: User, thing: Product) -> None:
    await works.connect(thing, 1, 1)
    await works.rest()
    await world.updates.update(ann, await world.record(1), DeviceChanges(is_development=True), through="product")
    await works.release(ann, thing, 2, is_intelligent=True)
    await lock(world, ann, 1, 2)
    await works.back(thing, 1, 1)
    assert works.sent == []
    await lock(world, ann, 1, 2, at_once=True)
    await works.rest()
    assert len(works.sent) == 1, "but for what somebody wants on it now"


async def test_who_is_shut_out_gets_nothing(world: World, works: Works, ann: User, thing: Product) -> None:
    await works.connect(thing, 1, 1)
    await works.rest()
    await world.updates.update(ann, await world.record(1), DeviceChanges(is_quarantined=True), through="product")
    await works.release(ann, thing, 2, is_intelligent=True)
    await works.back(thing, 1, 1)
    with pytest.raises(AccessRefused):
        await works.updates.flash(await world.record(1), "x.bin", works.binary(thing, 2))
    assert works.sent == []


# --- devices that are busy -------------------------------------------------------------------------------------------


async def test_a_busy_device_is_told_and_says_when_it_is_ready(
    world: World, works: Works, ann: User, thing: Product
) -> None:
    await works.connect(thing, 1, 1)
    await works.inbox.updates_enabled(device_id(1), enabled=False)
    await works.rest()
    await works.heard()
    await works.release(ann, thing, 2, is_intelligent=True)
    await works.release(ann, thing, 2, is_intelligent=True)
    await works.rest()
    assert works.sent == []
    assert world.connected.system_events == [(device_id(1), PENDING_EVENT, b"true")]
    assert await works.heard() == [f"{PENDING_EVENT} true"], "once"
    with pytest.raises(FlashRefused, match="firmware_updates_forced"):
        await works.updates.flash(await world.record(1), "x.bin", works.binary(thing, 2))

    await works.inbox.updates_enabled(device_id(1), enabled=True)
    await works.rest()
    assert [number for number, _ in works.sent] == [1]
    assert await works.heard() == ["particle/device/updates/enabled true", STARTED, SUCCESS]


async def test_forcing_overrules_a_busy_device(world: World, works: Works, ann: User, thing: Product) -> None:
    await works.connect(thing, 1, 1)
    await works.inbox.updates_enabled(device_id(1), enabled=False)
    await works.release(ann, thing, 2, is_intelligent=True)
    await works.rest()
    assert works.sent == []
    forced = DeviceChanges(firmware_updates_forced=True)
    await world.updates.update(ann, await world.record(1), forced, through="product")
    await works.rest()
    assert len(works.sent) == 1


async def test_people_can_forbid_updates(world: World, works: Works, ann: User, thing: Product) -> None:
    await works.connect(thing, 1, 1)
    await works.rest()
    await world.updates.update(ann, await world.record(1), DeviceChanges(allows_updates=False), through="product")
    await works.release(ann, thing, 2, is_intelligent=True)
    await works.back(thing, 1, 1)
    assert works.sent == []
    await world.updates.update(ann, await world.record(1), DeviceChanges(allows_updates=True), through="product")
    await works.rest()
    assert len(works.sent) == 1


async def test_a_device_that_says_so_only_when_asked(works: Works, ann: User, thing: Product) -> None:
    """Old firmware tells nobody that its updates are disabled: it refuses."""
    works.begins = False
    works.answers(Refused(Code.UNAVAILABLE, ""), Updated())
    await works.connect(thing, 1, 1)
    await works.rest()
    await works.release(ann, thing, 2, is_intelligent=True)
    await works.rest()
    assert works.sent == []
    await works.inbox.updates_enabled(device_id(1), enabled=True)
    works.begins = True
    await works.rest()
    assert len(works.sent) == 0, "it rests, for it refused"


# --- what goes wrong -------------------------------------------------------------------------------------------------


async def test_a_lost_connection_is_gone_on_from(works: Works, ann: User, thing: Product) -> None:
    await works.release(ann, thing, 2)
    works.answers(Disconnected(), Disconnected(), Updated())
    await works.connect(thing, 1, 1)
    await works.rest()
    assert await works.heard() == [STARTED], "nothing has failed yet"
    await works.back(thing, 1, 1)
    await works.back(thing, 1, 1)
    assert await works.heard() == [STARTED, STARTED, SUCCESS]


async def test_an_attempt_that_failed_is_repeated_after_a_rest(
    world: World, works: Works, ann: User, thing: Product
) -> None:
    await works.release(ann, thing, 2)
    works.answers(UpdateFailed("bad CRC"), Updated())
    await works.connect(thing, 1, 1)
    await works.rest()
    assert await works.heard() == [STARTED, FAILED]
    update = await works.on_record(1)
    assert update is not None
    assert (update.state, update.attempts, update.error) == (UpdateState.WAITING, 4, "bad CRC")
    assert update.not_before == world.clock.now() + 5 * MINUTE
    await works.back(thing, 1, 1)
    assert works.sent == [], "a connect does not make it better"
    world.clock.advance(5 * MINUTE)
    await works.back(thing, 1, 1)
    assert len(works.sent) == 1


@pytest.mark.parametrize("pace", [Pace(settle_s=0.0, restart_s=0.0)])
async def test_a_device_that_takes_a_file_and_does_not_start(world: World, works: Works, thing: Product) -> None:
    """Over datagrams a device may be back in its session without the update, and say to all questions that it is done
    with it."""
    await works.connect(thing, 1, 1)
    await works.rest()
    data = build_module(b"mine", platform_id=6)
    await works.updates.flash(await world.record(1), "mine.bin", data)
    await works.rest()
    update = await works.on_record(1)
    assert update is not None
    assert (update.state, update.error) == (UpdateState.WAITING, "the device did not start with it")
    assert update.not_before == world.clock.now() + 5 * MINUTE
    assert works.sent == [(1, data)] * 2, "at once, and then after a rest"
    once = [f"spark/flash/status {what} mine.bin" for what in ("started", "success", "failed")]
    assert await works.heard() == once * 2


@pytest.mark.parametrize("pace", [Pace(settle_s=0.0, restart_s=0.0)])
async def test_the_file_that_a_device_runs_already(world: World, works: Works, thing: Product) -> None:
    """Nothing tells that it started anew with the same, so it is not sent the same again and again."""
    await works.connect(thing, 1, 1)
    data = build_module(b"mine", platform_id=6)
    hash_ = parse_module_untrusted(data).sha256.hex()
    described = Describe((), {}, {"p": 6, "m": [{"f": "u", "n": "1", "u": hash_.upper()}]})
    await works.inbox.described(device_id(1), described)
    await works.rest()
    await works.updates.flash(await world.record(1), "mine.bin", data)
    await works.rest()
    assert await works.state(1) is UpdateState.DONE
    assert works.sent == [(1, data)]
    flashed = [f"spark/flash/status {what} mine.bin" for what in ("started", "success")]
    assert await works.heard() == [*flashed, f"spark/device/app-hash {hash_}"]


async def test_a_version_that_a_device_never_runs_is_given_up(
    world: World, works: Works, ann: User, thing: Product
) -> None:
    await works.release(ann, thing, 2)
    await works.connect(thing, 1, 1)
    await works.rest()
    for _ in range(5):  # it takes the file, and comes back without it
        await works.back(thing, 1, 1)
        world.clock.advance(6 * HOUR)
    assert len(works.sent) == 3, "three times four attempts are more than ten"
    update = await works.on_record(1)
    assert update is not None
    assert (update.state, update.error) == (UpdateState.FAILED, "the device came back without it")
    assert (await works.heard())[-1] == FAILED
    world.clock.advance(DAY)
    await works.back(thing, 1, 1)
    assert len(works.sent) == 4, "once a day is left"
    await lock(world, ann, 1, 2, at_once=True)
    await works.rest()
    assert len(works.sent) == 5, "a person's word does not wait"


async def test_another_version_starts_from_the_beginning(works: Works, ann: User, thing: Product) -> None:
    await works.release(ann, thing, 2)
    works.answers(TooLarge())
    await works.connect(thing, 1, 1)
    await works.rest()
    await works.upload(ann, thing, 3)
    await works.connect(thing, 5, 3)
    await works.rest()
    await works.release(ann, thing, 3)
    works.answers(Updated())
    await works.back(thing, 1, 1)
    update = await works.on_record(1)
    assert update is not None
    assert (update.version, update.attempts, update.state) == (3, 0, UpdateState.SENT)


async def test_a_target_that_is_not_wanted_any_more_is_forgotten(works: Works, ann: User, thing: Product) -> None:
    await works.release(ann, thing, 2)
    works.answers(Disconnected())
    await works.connect(thing, 1, 1)
    await works.rest()
    assert await works.state(1) is UpdateState.WAITING
    await works.release(ann, thing, 1)
    await works.back(thing, 1, 1)
    assert await works.state(1) is None


async def test_a_restart_of_the_cloud_goes_on(
    world: World, works: Works, pace: Pace, ann: User, thing: Product
) -> None:
    await works.release(ann, thing, 2)
    hangs = asyncio.Event()

    async def hang(number: int, image: Image) -> Outcome:
        await hangs.wait()
        return Updated()

    works.takes = hang
    data = build_module(b"mine", platform_id=6)
    await works.connect(thing, 1, 1)
    await works.connect(thing, 2, 2)
    await works.connect(thing, 4, 2)
    await asyncio.sleep(0.05)
    await works.updates.flash(await world.record(2), "mine.bin", data)
    await works.updates.stop()
    assert [await works.state(number) for number in (1, 2)] == [UpdateState.SENDING] * 2
    for number in (1, 2, 4):
        await works.disconnect(number)

    again = Works(world, pace)
    await again.updates.start()
    await again.connect(thing, 1, 1)
    await again.connect(thing, 2, 2)
    await again.connect(thing, 4, 2)
    await again.rest()
    await again.updates.stop()
    assert sorted(again.sent) == [(1, works.binary(thing, 2)), (2, data)]


# --- flashing --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def online(world: World, works: Works, thing: Product) -> int:
    await works.connect(thing, 1, 1)
    await works.rest()
    return 1


async def test_a_file_for_one_device(world: World, works: Works, thing: Product, online: int) -> None:
    data = build_module(b"mine", platform_id=6)
    await works.updates.flash(await world.record(online), "/build/mine.bin", data)
    await works.rest()
    assert works.sent == [(online, data)]
    assert await works.heard() == [f"spark/flash/status {what} mine.bin" for what in ("started", "success")]
    assert await works.state(online) is UpdateState.SENT

    # What runs on it then, it says itself: as the vendor's cloud did it, for clients that wait for that.
    await works.disconnect(online)
    await works.connect(thing, online, 0)
    modules = [{"f": "s", "n": "1", "v": 3000}, {"f": "u", "n": "1", "u": "AB" * 32}]
    described = Describe((), {}, {"p": 6, "m": modules})
    await works.inbox.described(device_id(online), described)
    await works.inbox.described(device_id(online), described)
    await works.rest()
    assert await works.heard() == ["spark/device/app-hash " + "AB" * 32]
    update = await works.on_record(online)
    assert update is not None
    assert (update.state, update.hash) == (UpdateState.DONE, None)


async def test_an_offline_device_cannot_be_flashed(world: World, works: Works, thing: Product) -> None:
    with pytest.raises(FlashTimedOut, match="Request Timed Out"):
        await works.updates.flash(await world.record(1), "x.bin", works.binary(thing, 2))
    assert await works.state(1) is None
    assert await works.heard() == []


@pytest.mark.parametrize(
    ("outcome", "error", "words"),
    [
        (Refused(Code.UNAVAILABLE, ""), FlashRefused, "takes no updates now"),
        (Refused(Code.BAD_REQUEST, "no room"), FlashRefused, "no room"),
        (Refused(Code.BAD_REQUEST, ""), FlashRefused, r"refuses to begin \(4\.00\)"),
        (TooLarge(), FlashRefused, "larger than the device can take"),
        (Busy(), UpdateRunning, "another update"),
        (TimedOut(), FlashTimedOut, "Request Timed Out"),
        (Disconnected(), FlashTimedOut, "Request Timed Out"),
    ],
)
async def test_a_device_that_does_not_begin(
    world: World, works: Works, thing: Product, online: int, outcome: Outcome, error: type[Exception], words: str
) -> None:
    works.begins = False
    works.answers(outcome)
    with pytest.raises(error, match=words):
        await works.updates.flash(await world.record(online), "v2.bin", works.binary(thing, 2))
    await works.rest()
    assert await works.state(online) is None, "whoever asked knows, and nobody else is told"
    assert await works.heard() == []
    await works.back(thing, online, 1)
    assert works.sent == []


@pytest.mark.parametrize("pace", [Pace(settle_s=0.0, start_timeout_s=0.05)])
async def test_nobody_waits_for_ever(world: World, works: Works, thing: Product, online: int) -> None:
    works.begins = False
    was_cancelled = False

    async def never(number: int, image: Image) -> Outcome:
        nonlocal was_cancelled
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled = True
        return Updated()

    works.takes = never
    with pytest.raises(FlashTimedOut):
        await works.updates.flash(await world.record(online), "x.bin", works.binary(thing, 2))
    assert was_cancelled
    assert await works.state(online) is None
    assert works.updates.running == 0


async def test_one_update_at_a_time(world: World, works: Works, ann: User, thing: Product, online: int) -> None:
    gate = asyncio.Event()

    async def hold(number: int, image: Image) -> Outcome:
        await gate.wait()
        return Updated()

    works.takes = hold
    data = build_module(b"mine", platform_id=6)
    await works.updates.flash(await world.record(online), "mine.bin", data)
    with pytest.raises(UpdateRunning):
        await works.updates.flash(await world.record(online), "mine.bin", data)
    await works.release(ann, thing, 2, is_intelligent=True)
    await asyncio.sleep(0.05)
    assert len(world.connected.images) == 1
    gate.set()
    await works.rest()
    assert works.sent == [(online, data)], "it has just been flashed, and is about to start again"


async def test_a_flash_that_began_is_the_clouds_matter(
    world: World, works: Works, ann: User, thing: Product, online: int
) -> None:
    works.answers(Disconnected(), UpdateFailed("x"), Updated())
    data = build_module(b"mine", platform_id=6)
    await works.updates.flash(await world.record(online), "mine.bin", data)
    await works.rest()
    await works.back(thing, online, 1)
    world.clock.advance(HOUR)
    assert await works.binaries.purge() == 0
    await works.back(thing, online, 1)
    assert works.sent == [(online, data)]


@pytest.mark.parametrize(
    ("had_all", "flags", "is_done"),
    [(True, HelloFlag.OTA_SUCCESSFUL, True), (True, 0, False), (False, HelloFlag.OTA_SUCCESSFUL, False)],
    ids=["runs it", "does not say so", "of another one"],
)
async def test_a_device_whose_word_of_a_flash_got_lost(
    world: World, works: Works, thing: Product, online: int, had_all: bool, flags: int, is_done: bool
) -> None:
    works.answers(Disconnected(had_all), Updated())
    data = build_module(b"mine", platform_id=6)
    await works.updates.flash(await world.record(online), "mine.bin", data)
    await works.rest()
    await works.back(thing, online, 1, flags)
    assert works.sent == ([] if is_done else [(online, data)])
    assert await works.state(online) is (UpdateState.DONE if is_done else UpdateState.SENT)
    again = [] if is_done else ["spark/flash/status started mine.bin"]
    assert await works.heard() == ["spark/flash/status started mine.bin", *again, "spark/flash/status success mine.bin"]


async def test_a_device_whose_word_of_a_version_got_lost(works: Works, ann: User, thing: Product) -> None:
    await works.release(ann, thing, 2)
    works.answers(Disconnected(had_all=True))
    await works.connect(thing, 1, 1)
    await works.rest()
    await works.back(thing, 1, 2, HelloFlag.OTA_SUCCESSFUL)
    assert await works.state(1) is UpdateState.DONE
    assert await works.heard() == [STARTED, SUCCESS]


async def test_a_flash_ends_with_the_owner(world: World, works: Works, ann: User, thing: Product, online: int) -> None:
    await world.ownership.claim(ann, device_id(online))
    works.answers(Disconnected())
    await works.updates.flash(await world.record(online), "mine.bin", build_module(b"mine", platform_id=6))
    await works.rest()
    await world.ownership.unclaim(ann, device_id(online))
    works.answers(Updated())
    await works.back(thing, online, 1)
    assert works.sent == []
    assert await works.state(online) is None


async def test_a_file_that_cannot_run_there(world: World, works: Works, thing: Product, online: int) -> None:
    for data, words in ((b"void setup() {}", "not a firmware"), (build_module(b"x", platform_id=8), "platform 8")):
        with pytest.raises(FirmwareInvalid, match=words):
            await works.updates.flash(await world.record(online), "x.bin", data)
    part = build_module(b"x", platform_id=6, function=4)
    await works.updates.flash(await world.record(online), "system-part1.bin", part)
    await works.rest()
    assert works.sent == [(online, part)], "parts of Device OS are flashed too"


# --- many devices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pace", [Pace(max_running=2, settle_s=0.0)])
async def test_so_many_at_a_time_and_flashes_besides(world: World, works: Works, ann: User) -> None:
    thing = await world.product(ann, "Fleet")
    await world.import_(ann, thing, *range(10, 20))
    await works.upload(ann, thing, 1, 2)
    await works.connect(thing, 10, 2)
    await works.rest()
    await works.release(ann, thing, 2)
    most = now = 0
    gate = asyncio.Event()

    async def hold(number: int, image: Image) -> Outcome:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await gate.wait()
        await asyncio.sleep(0.001)
        now -= 1
        return Updated()

    works.takes = hold
    for number in range(11, 20):
        await works.connect(thing, number, 1)
    await asyncio.sleep(0.1)
    assert (now, works.updates.running, works.updates.waiting) == (2, 2, 7)
    waits = next(n for n in range(11, 20) if device_id(n) in works.updates._due)
    data = build_module(b"mine", platform_id=6)
    await works.updates.flash(await world.record(waits), "mine.bin", data)
    assert now == 3
    gate.set()
    await works.rest()
    assert most == 3
    assert sorted(number for number, sent in works.sent if sent != data) == sorted({*range(11, 20)} - {waits})
    assert (works.updates.running, works.updates.waiting) == (0, 0)
