from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Role
from cloudchamber.clock import Millis
from cloudchamber.fleet.imports.model import Standing
from cloudchamber.fleet.imports.rules import Verdict, ids_in_file, is_iccid, is_imei, serial_number_in, verdict
from cloudchamber.fleet.model import SEEN_ONLY, DeviceRecord, Product, RecordedKey
from cloudchamber.fleet.rules import Place, Trust, place, product_id_in, slugs, trust
from cloudchamber.fleet.service import key_algorithm
from cloudchamber.ids import CustomerId, DeviceId, OrganizationId, ProductId, UserId

ANN, BOB = OwnedByUser(UserId("ann")), OwnedByUser(UserId("bob"))
KIM = OwnedByCustomer(CustomerId("ann"))  # the id of a user in the team
P = ProductId(1000)


def device(number: int = 1, **fields) -> DeviceRecord:
    empty = {name: False if name.startswith("is_") else None for name in DeviceRecord.__struct_fields__}
    return DeviceRecord(**(empty | {"id": DeviceId(f"{number:024x}"), "groups": ()} | fields))


def standing(**fields) -> Standing:
    empty = {name: False if name.startswith("is_") else None for name in Standing.__struct_fields__}
    return Standing(**(empty | fields))


PRODUCT = Product(
    id=P,
    name="Thing",
    slug="thing",
    description="",
    platform_id=6,
    type=None,
    hardware_version=None,
    organization=OrganizationId("0" * 24),
    organization_slug="ann",
    is_personal=True,
    owner=ANN.id,
    owner_name="ann",
    settings={},
    team={ANN.id: Role.OWNER},
    has_open_invitations=False,
    created_at=Millis(0),
    updated_at=Millis(0),
)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (standing(), Verdict.ADD),
        (standing(platform_id=6), Verdict.ADD),
        (standing(platform_id=10), Verdict.INVALID),
        (standing(owner=ANN), Verdict.ADD),
        (standing(owner=BOB), Verdict.NONMEMBER),
        (standing(owner=KIM), Verdict.NONMEMBER),
        (standing(owner=BOB, platform_id=10), Verdict.INVALID),
        (standing(product=P), Verdict.PRESENT),
        (standing(product=P, owner=KIM), Verdict.PRESENT),
        (standing(product=P, platform_id=10), Verdict.PRESENT),
        (standing(product=P, is_quarantined=True), Verdict.APPROVE),
        (standing(product=P, is_denied=True), Verdict.APPROVE),
        (standing(product=ProductId(2000)), Verdict.INVALID),
        (standing(product=ProductId(2000), is_quarantined=True), Verdict.INVALID),
        (standing(product=ProductId(2000), is_quarantined=True, is_seen_only=True), Verdict.ADD),
        (standing(product=ProductId(2000), is_quarantined=True, is_seen_only=True, platform_id=10), Verdict.INVALID),
        (standing(product=ProductId(2000), owner=ANN), Verdict.INVALID),
        (standing(product=ProductId(2000), owner=BOB), Verdict.INVALID),
    ],
)
def test_what_an_import_does_with_a_known_device(known, expected) -> None:
    for accepts_unknown in (True, False):
        assert verdict(known, PRODUCT, accepts_unknown=accepts_unknown) is expected


def test_what_an_import_does_with_an_unknown_id() -> None:
    assert verdict(None, PRODUCT, accepts_unknown=True) is Verdict.CREATE
    assert verdict(None, PRODUCT, accepts_unknown=False) is Verdict.INVALID


KNOWN, NEW = b"known", b"new"
RECORDED, SEEN = RecordedKey(KNOWN, "first-use"), RecordedKey(KNOWN, SEEN_ONLY)


@pytest.mark.parametrize("accepts_unknown", [True, False])
@pytest.mark.parametrize("on_first_use", [True, False])
@pytest.mark.parametrize("record", [None, device(), device(is_quarantined=True)])
def test_a_key_on_record_is_the_only_one_that_will_do(record, on_first_use, accepts_unknown) -> None:
    switches = {"on_first_use": on_first_use, "accepts_unknown": accepts_unknown}
    assert trust(record, RECORDED, KNOWN, **switches) is Trust.KNOWN
    assert trust(record, RECORDED, None, **switches) is Trust.KNOWN  # old firmware sends its id alone
    assert trust(record, RECORDED, NEW, **switches) is Trust.REFUSED
    assert trust(record, None, None, **switches) is Trust.REFUSED


@pytest.mark.parametrize(
    ("record", "on_first_use", "accepts_unknown", "expected"),
    [
        (device(), True, False, Trust.FIRST_USE),
        (device(is_quarantined=True), True, True, Trust.FIRST_USE),
        (device(is_denied=True), True, True, Trust.REFUSED),
        (device(), False, True, Trust.REFUSED),
        (None, True, True, Trust.PROVISIONAL),
        (None, True, False, Trust.REFUSED),
        (None, False, True, Trust.REFUSED),
    ],
)
def test_a_first_key(record, on_first_use, accepts_unknown, expected) -> None:
    assert trust(record, None, NEW, on_first_use=on_first_use, accepts_unknown=accepts_unknown) is expected


@pytest.mark.parametrize("presented", [KNOWN, NEW, None])
@pytest.mark.parametrize("recorded", [RECORDED, SEEN, None])
def test_a_denied_device_does_not_connect(recorded, presented) -> None:
    record = device(is_denied=True)
    assert trust(record, recorded, presented, on_first_use=True, accepts_unknown=True) is Trust.REFUSED


def test_a_key_that_was_only_seen_binds_nobody() -> None:
    record = device(is_quarantined=True, is_seen_only=True)
    assert trust(record, SEEN, KNOWN, on_first_use=True, accepts_unknown=True) is Trust.KNOWN
    assert trust(record, SEEN, NEW, on_first_use=True, accepts_unknown=True) is Trust.FIRST_USE
    assert trust(record, SEEN, NEW, on_first_use=False, accepts_unknown=True) is Trust.REFUSED


@pytest.mark.parametrize(
    ("settings", "platform_id", "expected"),
    [
        ({}, 6, Place.QUARANTINE),
        ({"quarantine": True}, 6, Place.QUARANTINE),
        ({"quarantine": None}, 6, Place.QUARANTINE),  # whatever is not a clear no is a yes
        ({"quarantine": False}, 6, Place.MEMBER),
        ({"quarantine": False}, 10, Place.NOWHERE),
        ({}, 10, Place.NOWHERE),
        ({}, None, Place.NOWHERE),
    ],
)
def test_where_a_device_belongs_that_nobody_has_named(settings, platform_id, expected) -> None:
    assert place(replace(PRODUCT, settings=settings), platform_id) is expected
    assert place(None, platform_id) is Place.NOWHERE


def test_a_core_does_not_say_its_platform() -> None:
    assert place(replace(PRODUCT, platform_id=0), None) is Place.QUARANTINE


IDS = st.text(alphabet="0123456789abcdef", min_size=24, max_size=24)


@given(st.lists(IDS), st.sampled_from(["\n", "\r\n", "\n\n", " \n\t", ",\n", ";"]), st.booleans(), st.booleans())
def test_a_file_of_ids_is_read_however_it_was_written(ids, separator, has_header, has_mark) -> None:
    text = separator.join(["Device ID\n", *ids] if has_header else ids)
    assert list(ids_in_file(("\ufeff" if has_mark else "") + text)) == ids


@given(st.text())
def test_any_file_is_read(text) -> None:
    for word in ids_in_file(text):
        assert word
        assert not any(character.isspace() or character in ",;" for character in word)


def test_an_id_without_digits_is_no_header() -> None:
    ids = ["ab" * 12, "CD" * 12]
    assert list(ids_in_file("\n".join(ids))) == ids


def test_a_bad_line_is_kept_to_be_reported() -> None:
    assert list(ids_in_file("1\nnot an id\n\n2")) == ["1", "not", "an", "id", "2"]
    assert list(ids_in_file("")) == []


@pytest.mark.parametrize(
    ("text", "serial", "imei", "iccid"),
    [
        ("P046AD450ABCDEF", "P046AD450ABCDEF", False, False),
        ("p046ad450abcdef", "P046AD450ABCDEF", False, False),
        ("353162070080014", "353162070080014", True, False),
        ("8934076500002586220", "8934076500002586220", False, True),
        ("89340765000025862202F", "89340765000025862202F", False, True),
        ("abc", None, False, False),
        ("not an id", None, False, False),
        ("<script>", None, False, False),
        ("", None, False, False),
    ],
)
def test_numbers_that_are_printed_on_devices(text, serial, imei, iccid) -> None:
    assert (serial_number_in(text), is_imei(text), is_iccid(text)) == (serial, imei, iccid)


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("My Product", None, ["my-product", "my-product-2", "my-product-3"]),
        ("electrontest1", "v1.0", ["electrontest1-v10", "electrontest1-v10-2"]),
        ("TempMon", "v1.0.0", ["tempmon-v100"]),
        ("x", "beta", ["x"]),
        ("温度", None, ["product", "product-2"]),
    ],
)
def test_slugs(name, version, expected) -> None:
    assert list(islice(slugs(name, version), len(expected))) == expected


@given(st.text(), st.none() | st.text())
def test_a_slug_can_stand_in_a_path_and_no_two_are_alike(name, version) -> None:
    first = list(islice(slugs(name, version), 5))
    assert len(set(first)) == 5
    assert all(slug.isascii() for slug in first)


@pytest.mark.parametrize(
    ("reference", "number"),
    [
        ("1319", 1319),
        ("01319", 1319),
        ("99999", 99999),
        ("100000", None),
        ("-1", None),
        ("my-1", None),
        ("", None),
        ("١", None),
    ],
)
def test_a_product_is_named_by_number_or_slug(reference, number) -> None:
    assert product_id_in(reference) == number


def test_odds_and_ends() -> None:
    assert (key_algorithm(b"x" * 91), key_algorithm(b"x" * 162)) == ("ecc", "rsa")
    assert device(platform_id=10).is_cellular
    assert not device(platform_id=6).is_cellular
    assert device(platform_id=6).shown_product_id == 6
    assert device(platform_id=6, product=P).shown_product_id == P
