from dataclasses import replace
from itertools import product as every

import pytest

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser
from cloudchamber.clock import Millis
from cloudchamber.ids import CustomerId, DeviceId, OrganizationId, ProductId, SecretHash, UserId
from cloudchamber.ownership.model import ClaimCode
from cloudchamber.ownership.rules import Circumstances, Claim, CodeState, claim, code_reaches, code_state
from tests.fleet.test_rules import device

ANN, TWIN, BOB = OwnedByUser(UserId("a")), OwnedByCustomer(CustomerId("a")), OwnedByUser(UserId("b"))
P, O = ProductId(1000), OrganizationId("o")  # noqa: E741
ANYHOW = [Circumstances(*switches) for switches in every([True, False], repeat=4)]


def given(*, may_own=True, online=True, code=False, by_id=True) -> Circumstances:
    return Circumstances(may_own, online, code, by_id)


@pytest.mark.parametrize("circumstances", ANYHOW)
def test_nobody_takes_a_device_from_its_owner(circumstances) -> None:
    for owner in (BOB, TWIN):
        assert claim(device(owner=owner), ANN, circumstances) in {Claim.BELONGS_TO_ANOTHER, Claim.OUT_OF_REACH}
        assert claim(device(owner=owner, product=P), ANN, circumstances) is not Claim.TAKE
    assert claim(device(owner=ANN, is_quarantined=True), ANN, circumstances) is Claim.YOURS_ALREADY
    for shut_out in ({"is_denied": True}, {"is_quarantined": True}):
        assert claim(device(**shut_out), ANN, circumstances) is Claim.OUT_OF_REACH
    if not circumstances.may_own:
        assert claim(device(), ANN, circumstances) is Claim.OUT_OF_REACH
        assert claim(device(owner=BOB), ANN, circumstances) is Claim.OUT_OF_REACH  # not even told that it has an owner


@pytest.mark.parametrize(
    ("known", "circumstances", "expected"),
    [
        (device(), given(), Claim.TAKE),
        (device(), given(online=False), Claim.OFFLINE),
        (device(), given(by_id=False), Claim.OUT_OF_REACH),
        (device(), given(by_id=False, code=True), Claim.TAKE),
        (device(product=P), given(online=False, by_id=False), Claim.TAKE),
        (device(owner=BOB), given(), Claim.BELONGS_TO_ANOTHER),
        (device(owner=BOB, product=P), given(code=True), Claim.BELONGS_TO_ANOTHER),
    ],
)
def test_a_claim(known, circumstances, expected) -> None:
    assert claim(known, ANN, circumstances) is expected


def code(owner=ANN, product=None, used_by=None) -> ClaimCode:
    return ClaimCode(SecretHash(b"h"), owner, product, Millis(0), Millis(100), used_by)


@pytest.mark.parametrize(
    ("used_by", "now", "expected"),
    [
        (None, 99, CodeState.GOOD),
        (None, 100, CodeState.EXPIRED),
        ("d", 99, CodeState.REPEATED),
        ("d", 500, CodeState.REPEATED),
        ("e", 99, CodeState.SPENT),
    ],
)
def test_a_code_works_once(used_by, now, expected) -> None:
    assert code_state(code(used_by=used_by), DeviceId("d"), Millis(now)) is expected


def test_a_customers_code_reaches_their_product_only() -> None:
    kims = code(TWIN, P)
    for organization in (None, O):
        assert code_reaches(kims, device(product=P), organization)
        assert not code_reaches(kims, device(product=ProductId(2000)), organization)
        assert not code_reaches(kims, device(), organization)
        assert code_reaches(code(), device(), organization)
        assert code_reaches(code(), device(product=P), organization)


def test_an_organizations_customers_code_reaches_all_of_its_products() -> None:
    pools = replace(code(TWIN), organization=O)
    assert code_reaches(pools, device(product=P), O)
    assert code_reaches(pools, device(product=ProductId(2000)), O)
    assert not code_reaches(pools, device(product=P), OrganizationId("else"))
    assert not code_reaches(pools, device(product=P), None)
    assert not code_reaches(pools, device(), O)
    assert not code_reaches(code(TWIN), device(product=P), None)
    limited = replace(pools, product=P)
    assert code_reaches(limited, device(product=P), O)
    assert not code_reaches(limited, device(product=ProductId(2000)), O)
