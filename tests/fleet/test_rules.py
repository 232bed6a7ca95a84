from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Role
from cloudchamber.clock import Millis
from cloudchamber.fleet.model import DeviceRecord, Product
from cloudchamber.fleet.rules import (
    DeviceFilter,
    Trust,
    Verdict,
    ids_in_file,
    import_verdict,
    in_order,
    product_id_in,
    slugs,
    trust,
    unique,
)
from cloudchamber.fleet.service import key_algorithm
from cloudchamber.ids import CustomerId, DeviceId, OrganizationId, ProductId, UserId

ANN, BOB = OwnedByUser(UserId("ann")), OwnedByUser(UserId("bob"))
KIM = OwnedByCustomer(CustomerId("ann"))  # the id of a user in the team
P = ProductId(1000)


def device(number: int = 1, **fields) -> DeviceRecord:
    empty = dict.fromkeys(DeviceRecord.__dataclass_fields__)
    return DeviceRecord(
        **(
            empty
            | {"id": DeviceId(f"{number:024x}"), "is_quarantined": False, "is_denied": False, "groups": ()}
            | fields
        )
    )


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
        (device(), Verdict.ADD),
        (device(platform_id=6), Verdict.ADD),
        (device(platform_id=10), Verdict.INVALID),
        (device(owner=ANN), Verdict.ADD),
        (device(owner=BOB), Verdict.NONMEMBER),
        (device(owner=KIM), Verdict.NONMEMBER),
        (device(owner=BOB, platform_id=10), Verdict.INVALID),
        (device(product=P), Verdict.PRESENT),
        (device(product=P, owner=KIM), Verdict.PRESENT),
        (device(product=P, platform_id=10), Verdict.PRESENT),
        (device(product=P, is_quarantined=True), Verdict.APPROVE),
        (device(product=P, is_denied=True), Verdict.APPROVE),
        (device(product=ProductId(2000)), Verdict.INVALID),
        (device(product=ProductId(2000), owner=ANN), Verdict.INVALID),
        (device(product=ProductId(2000), owner=BOB), Verdict.INVALID),
    ],
)
def test_what_an_import_does_with_a_known_device(known, expected) -> None:
    for accepts_unknown in (True, False):
        assert import_verdict(known, PRODUCT, accepts_unknown=accepts_unknown) is expected


def test_what_an_import_does_with_an_unknown_id() -> None:
    assert import_verdict(None, PRODUCT, accepts_unknown=True) is Verdict.CREATE
    assert import_verdict(None, PRODUCT, accepts_unknown=False) is Verdict.INVALID


KNOWN, NEW = b"known", b"new"


@pytest.mark.parametrize("accepts_unknown", [True, False])
@pytest.mark.parametrize("on_first_use", [True, False])
@pytest.mark.parametrize("record", [None, device(), device(is_denied=True), device(is_quarantined=True)])
def test_a_key_on_record_is_the_only_one_that_will_do(record, on_first_use, accepts_unknown) -> None:
    switches = {"on_first_use": on_first_use, "accepts_unknown": accepts_unknown}
    assert trust(record, KNOWN, KNOWN, **switches) is Trust.KNOWN
    assert trust(record, KNOWN, None, **switches) is Trust.KNOWN  # old firmware sends its id alone
    assert trust(record, KNOWN, NEW, **switches) is Trust.REFUSED
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


def test_a_filter() -> None:
    one = device(0xA, name="Kitchen Lamp", groups=("a", "b"), serial_number="S1")
    for wanted, matches in [
        (DeviceFilter(), True),
        (DeviceFilter(device_id="00000000000000000000000A"), True),
        (DeviceFilter(device_id="A"), False),
        (DeviceFilter(name="lamp"), True),
        (DeviceFilter(name="x"), False),
        (DeviceFilter(groups=("c", "b")), True),
        (DeviceFilter(groups=("c",)), False),
        (DeviceFilter(serial_number="S1", is_quarantined=False), True),
        (DeviceFilter(serial_number="s1"), False),
        (DeviceFilter(is_quarantined=True), False),
    ]:
        assert wanted.matches(one) is matches
    assert not DeviceFilter(name="x").matches(device())


@pytest.mark.parametrize(
    ("sort", "field", "values"),
    [
        ("deviceName", "name", ["a", "B", "c"]),
        ("firmwareVersion", "firmware_version", [0, 2, 10]),
        ("lastConnection", "last_handshake_at", [0, 5, 9]),
    ],
)
def test_lists_are_sorted_with_the_unknown_last(sort, field, values) -> None:
    low, middle, high = (device(number, **{field: value}) for number, value in enumerate(values))
    none, nothing = device(7), device(8)
    shuffled = [none, high, nothing, low, middle]
    assert in_order(shuffled, sort, descending=False) == [low, middle, high, none, nothing]
    assert in_order(shuffled, sort, descending=True) == [high, middle, low, none, nothing]


def test_an_unknown_order_is_that_of_ids() -> None:
    one, two = device(1), device(2)
    assert (
        in_order([two, one], "x", descending=False) == in_order([two, one], "deviceId", descending=False) == [one, two]
    )
    assert in_order([one, two], "deviceId", descending=True) == [two, one]


def test_odds_and_ends() -> None:
    assert unique([DeviceId("b"), DeviceId("a"), DeviceId("b")]) == ["b", "a"]
    assert (key_algorithm(b"x" * 91), key_algorithm(b"x" * 162)) == ("ecc", "rsa")
    assert device(platform_id=10).is_cellular
    assert not device(platform_id=6).is_cellular
    assert device(platform_id=6).shown_product_id == 6
    assert replace(device(platform_id=6), product=P).shown_product_id == P
