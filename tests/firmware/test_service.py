"""Versions of a product's firmware: who may bring, release and delete them, and which."""

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import ProductClient, Scopes, User
from cloudchamber.clock import HOUR
from cloudchamber.firmware.errors import (
    FirmwareExists,
    FirmwareInvalid,
    FirmwareNotFound,
    FirmwareReleased,
    FirmwareUntested,
)
from cloudchamber.firmware.model import MAX_BINARY
from cloudchamber.firmware.service import Details, file_name
from cloudchamber.firmware.store import PIECE
from cloudchamber.fleet.groups.model import GroupChanges
from cloudchamber.fleet.model import Product
from cloudchamber.ids import ClientId
from cloudchamber.wire.update.module import Function, build_module
from tests.firmware.conftest import Works
from tests.world import World


@pytest.fixture
async def ann(world: World) -> User:
    return await world.user("ann")


@pytest.fixture
async def thing(world: World, ann: User) -> Product:
    return await world.product(ann)


async def test_a_version_from_its_upload_to_its_end(world: World, works: Works, ann: User, thing: Product) -> None:
    data = works.binary(thing, 3, bytes(range(256)) * 1000)
    assert len(data) > 3 * PIECE, "in several pieces"
    made = await works.firmware.upload(ann, thing, 3, ("folder\\three.bin", data), Details("Three", "The third"))
    assert (made.version, made.title, made.description, made.name) == (3, "Three", "The third", "three.bin")
    assert (made.size, made.uploaded_by, made.uploaded_by_name) == (len(data), ann.id, "ann")
    assert not any((made.is_mandatory, made.is_product_default, made.is_intelligent, made.has_run, made.groups))
    await works.upload(ann, thing, 1)
    assert [each.version for each in await works.firmware.of_product(ann, thing)] == [1, 3]

    world.clock.advance(1000)
    changed = await works.firmware.update(ann, thing, 3, Details(title="", is_mandatory=True))
    assert (changed.title, changed.description, changed.is_mandatory) == ("", "The third", True)
    assert changed.updated_at == world.clock.now()
    assert await works.firmware.get(ann, thing, 3) == changed

    found, kept = await works.firmware.binary(ann, thing, 3)
    assert (found, kept) == (changed, data)

    await works.firmware.delete(ann, thing, 3)
    for gone in (works.firmware.get, works.firmware.binary, works.firmware.delete):
        with pytest.raises(FirmwareNotFound):
            await gone(ann, thing, 3)
    with pytest.raises(FirmwareNotFound):
        await works.firmware.update(ann, thing, 3, Details(title="x"))


async def test_what_cannot_be_uploaded(works: Works, ann: User, thing: Product) -> None:
    good = works.binary(thing, 3)

    def built(**changes) -> bytes:
        given = {"platform_id": 6, "product_id": thing.id, "product_version": 3}
        return build_module(b"program", **(given | changes))

    for data, version, word in (
        (b"", 3, "not a firmware binary"),
        (b"void loop() {}", 3, "not a firmware binary"),
        (good[:-1], 3, "not a firmware binary"),
        (good[:30] + bytes([good[30] ^ 1]) + good[31:], 3, "not a firmware binary"),
        (good, 4, "it is version 3, and the request says 4"),
        (built(product_version=None), 3, "no product version"),
        (built(product_id=thing.id + 1), 3, f"product {thing.id + 1}, and this is {thing.id}"),
        (built(platform_id=8), 3, "platform 8, and the product's is 6"),
        (built(function=Function.SYSTEM_PART), 3, "part of Device OS"),
        (bytes(MAX_BINARY + 1), 3, f"at most {MAX_BINARY} bytes"),
    ):
        with pytest.raises(FirmwareInvalid, match=word):
            await works.firmware.upload(ann, thing, version, ("x.bin", data), Details())
    for details in (Details(title="x" * 201), Details(description="x" * 5001)):
        with pytest.raises(FirmwareInvalid, match="title has at most"):
            await works.firmware.upload(ann, thing, 3, ("x.bin", good), details)
    assert await works.firmware.of_product(ann, thing) == []

    # From 4.0 on a build names the platform in the place of the product, and some never named one.
    await works.firmware.upload(ann, thing, 3, ("x.bin", built(product_id=6)), Details())
    await works.firmware.upload(ann, thing, 4, ("x.bin", built(product_id=None, product_version=4)), Details())
    with pytest.raises(FirmwareExists):
        await works.firmware.upload(ann, thing, 3, ("y.bin", good), Details())


async def test_nothing_is_released_that_did_not_run(world: World, works: Works, ann: User, thing: Product) -> None:
    await world.import_(ann, thing, 1)
    await works.upload(ann, thing, 1, 2)
    with pytest.raises(FirmwareUntested):
        await works.release(ann, thing, 2)
    with pytest.raises(FirmwareInvalid, match="Release to whom"):
        await works.firmware.release(ann, thing, 2, to_all=False, groups=(), is_intelligent=False)
    with pytest.raises(FirmwareNotFound):
        await works.release(ann, thing, 3)

    await works.connect(thing, 1, 2)
    await works.rest()
    assert (await works.firmware.get(ann, thing, 2)).device_count == 1
    await works.back(thing, 1, 1)
    assert (await works.firmware.get(ann, thing, 2)).device_count == 0
    # It ran once, on one of the product's; that it runs another one now does not matter.
    await works.release(ann, thing, 2)
    assert (await works.firmware.get(ann, thing, 2)).is_product_default
    with pytest.raises(FirmwareReleased):
        await works.firmware.delete(ann, thing, 2)

    # There is one default; what was released once stays for good.
    await works.release(ann, thing, 1, is_intelligent=True)
    assert [(each.is_product_default, each.is_intelligent) for each in await works.firmware.of_product(ann, thing)] == [
        (True, True),
        (False, False),
    ]
    with pytest.raises(FirmwareReleased):
        await works.firmware.delete(ann, thing, 2)


async def test_the_device_of_another_product_is_no_test(world: World, works: Works, ann: User, thing: Product) -> None:
    other = await world.product(ann, "Other")
    await world.import_(ann, other, 1)
    await works.upload(ann, thing, 1)
    await works.connect(other, 1, 1)
    await works.rest()
    with pytest.raises(FirmwareUntested):
        await works.release(ann, thing, 1)


async def test_releases_to_groups(world: World, works: Works, ann: User, thing: Product) -> None:
    await world.import_(ann, thing, 1)
    await works.upload(ann, thing, 1, 2)
    for version in (1, 2):
        await works.connect(thing, 1, version)
        await works.rest()
    for name in ("Beta", "night"):
        await world.groups.create(ann, thing, GroupChanges(name=name))
    await works.release(ann, thing, 1, "beta", "NIGHT")
    assert [each.groups for each in await works.firmware.of_product(ann, thing)] == [("Beta", "night"), ()]
    await works.release(ann, thing, 2, "beta")
    assert [each.groups for each in await works.firmware.of_product(ann, thing)] == [("night",), ("Beta",)]
    with pytest.raises(FirmwareInvalid, match="no group x"):
        await works.release(ann, thing, 1, "night", "x")
    assert (await works.firmware.get(ann, thing, 2)).groups == ("Beta",), "all of a release or nothing"
    await world.groups.remove(ann, thing, "Beta")
    assert (await works.firmware.get(ann, thing, 2)).groups == ()


async def test_who_may(world: World, works: Works, ann: User, thing: Product) -> None:
    roles = {role: await world.user(role) for role in ("DEVELOPER", "SUPPORT", "VIEW_ONLY", "ADMINISTRATOR")}
    for role, user in roles.items():
        thing = await world.join(thing, user, role)
    stranger, kim = await world.user("stranger"), await world.customer(ann, thing, "kim")
    server = ProductClient(ClientId("c-1"), thing.id, Scopes(frozenset({"firmware:get"})))
    await works.upload(roles["DEVELOPER"], thing, 1)
    for who in (*roles.values(), ann):
        await works.firmware.of_product(who, thing)
    for who in (stranger, kim):
        for reads in (works.firmware.get, works.firmware.binary, works.firmware.delete):
            with pytest.raises(AccessRefused):
                await reads(who, thing, 1)
    for who in (roles["VIEW_ONLY"], roles["SUPPORT"], stranger, kim, server):
        with pytest.raises(AccessRefused):
            await works.upload(who, thing, 2)
        with pytest.raises(AccessRefused):
            await works.firmware.delete(who, thing, 1)
        with pytest.raises(AccessRefused):
            await works.firmware.update(who, thing, 1, Details("x"))
        with pytest.raises(AccessRefused):
            await works.release(who, thing, 1)
    assert (await works.firmware.get(server, thing, 1)).uploaded_by == roles["DEVELOPER"].id


async def test_a_file_is_kept_once_and_as_long_as_somebody_has_it(
    world: World, works: Works, ann: User, thing: Product
) -> None:
    other = await world.product(ann, "Other")
    data = build_module(b"shared", platform_id=6, product_id=6, product_version=1)
    for product in (thing, other):
        await works.firmware.upload(ann, product, 1, ("x.bin", data), Details())
    assert await _count(world, "firmware_binaries") == await _count(world, "firmware_pieces") == 1
    await works.firmware.delete(ann, thing, 1)
    world.clock.advance(2 * HOUR)
    assert await works.binaries.purge() == 0
    assert (await works.firmware.binary(ann, other, 1))[1] == data
    await works.firmware.delete(ann, other, 1)
    assert await works.binaries.purge() == 1
    assert await _count(world, "firmware_pieces") == 0
    await works.firmware.upload(ann, thing, 1, ("x.bin", data), Details())
    assert await works.binaries.purge() == 0, "it is new"


async def _count(world: World, table: str) -> int:
    row = await world.db.fetch_one(f"SELECT count(*) FROM {table}")  # noqa: S608
    assert row is not None
    return int(row[0])


def test_a_files_name_is_one_word_of_one_line() -> None:
    assert file_name("C:\\build\\a.bin") == file_name("/build/a.bin") == file_name(" a.bin ") == "a.bin"
    assert file_name("../..") == ".."
    assert file_name("a\nb\0.bin") == "ab.bin"
    assert file_name("dir/") == file_name("") == "firmware.bin"
    assert len(file_name("x" * 500)) == 200
