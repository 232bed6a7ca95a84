import pytest

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser
from cloudchamber.clock import Millis
from cloudchamber.ids import CustomerId, DeviceId, OrganizationId, ProductId, UserId
from cloudchamber.messaging.errors import EventInvalid
from cloudchamber.messaging.model import (
    FROM_API,
    Event,
    OrganizationEvents,
    OwnAndPublicEvents,
    OwnDeviceEvents,
    OwnEvents,
    ProductDeviceEvents,
    ProductEvents,
)
from cloudchamber.messaging.rules import MAX_TTL_S, check_publication, hears, is_reserved, spelling

ANN, TWIN = OwnedByUser(UserId("a")), OwnedByCustomer(CustomerId("a"))
P, OTHER = ProductId(1000), ProductId(2000)
D, E = DeviceId("d" * 24), DeviceId("e" * 24)


O, ELSE = OrganizationId("0" * 24), OrganizationId("1" * 24)  # noqa: E741


def event(name="temp/kitchen", *, owner=ANN, product=P, source=D, public=False, organization=None) -> Event:
    return Event(name, "1", 60, Millis(0), source, public, owner, product, organization=organization)


def to_organization(organization=O, **more) -> Event:
    return event(owner=None, product=None, source=FROM_API, organization=organization, **more)


@pytest.mark.parametrize(
    ("listening", "heard", "unheard"),
    [
        (OwnEvents(ANN), [event(), event(source=FROM_API)], [event(owner=TWIN, public=True), event(owner=None)]),
        (OwnAndPublicEvents(ANN), [event(), event(owner=TWIN, public=True)], [event(owner=TWIN), event(owner=None)]),
        (OwnDeviceEvents(ANN, D), [event()], [event(source=E), event(owner=TWIN), event(owner=None, public=True)]),
        (
            ProductEvents(P, O),
            [event(), event(owner=TWIN), event(owner=None), to_organization()],
            [
                event(product=OTHER),
                event(product=None),
                event(product=OTHER, organization=O),
                # Published by a customer of the organization, who is nobody's in particular.
                event(owner=TWIN, product=None, organization=O),
                to_organization(ELSE),
            ],
        ),
        (
            ProductDeviceEvents(P, O, D),
            [event(), event(owner=TWIN)],
            [event(source=E), event(product=OTHER), to_organization()],
        ),
    ],
)
def test_who_hears_what(listening, heard, unheard) -> None:
    for one in heard:
        assert hears(listening, "", one)
        assert hears(listening, "temp/k", one)
        assert hears(listening, "temp/kitchen", one)
        for prefix in ("Temp", "kitchen", "temp/kitchen2", " "):
            assert not hears(listening, prefix, one)
    for one in unheard:
        assert not hears(listening, "", one)


def test_an_organization_hears_what_is_its_own_and_its_products() -> None:
    listening = OrganizationEvents(O)
    for one in (event(), event(owner=TWIN), to_organization(), event(owner=TWIN, product=None, organization=O)):
        assert hears(listening, "temp/", one, O)
        assert not hears(listening, "Temp", one, O)
        assert not hears(listening, "", one, ELSE)
        assert not hears(listening, "", one, None)
    # A public event of somebody else's is not the organization's.
    assert not hears(listening, "", event(product=None, public=True), None)
    for own in (OwnEvents(ANN), OwnDeviceEvents(ANN, D)):
        assert not hears(own, "", to_organization(), O)


@pytest.mark.parametrize(
    ("name", "data", "ttl"), [("x", None, 0), ("x" * 64, "y" * 1024, MAX_TTL_S), ("ä" * 32, "", 60)]
)
def test_what_may_be_published(name, data, ttl) -> None:
    check_publication(name, data, ttl)


@pytest.mark.parametrize(
    ("name", "data", "ttl", "message"),
    [
        ("", None, 60, "Name is required"),
        ("x" * 65, None, 60, "at most 64 bytes"),
        ("ä" * 33, None, 60, "at most 64 bytes"),
        ("a\nb", None, 60, "control characters"),
        ("a\rb", None, 60, "control characters"),
        ("\0", None, 60, "control characters"),
        ("\ud800", None, 60, "control characters"),
        ("spark/status", None, 60, "reserved"),
        ("SPARKle", None, 60, "reserved"),
        ("particle/x", None, 60, "reserved"),
        ("x", "y" * 1025, 60, "at most 1024 bytes"),
        ("x", "ä" * 513, 60, "at most 1024 bytes"),
        ("x", "\ud800", 60, "Unicode"),
        ("x", None, -1, "ttl"),
        ("x", None, MAX_TTL_S + 1, "ttl"),
    ],
)
def test_what_may_not(name, data, ttl, message) -> None:
    with pytest.raises(EventInvalid, match=message):
        check_publication(name, data, ttl)


def test_names_of_the_system() -> None:
    assert is_reserved("spark/status")
    assert is_reserved("particle")
    assert not is_reserved("x/spark")


def test_a_name_is_spelled_as_the_device_spells_it() -> None:
    names = ("brew", "Brew", "LED")
    for wanted, found in [
        ("Brew", "Brew"),
        ("brew", "brew"),
        ("BREW", "brew"),
        ("led", "LED"),
        ("le", None),
        ("", None),
    ]:
        assert spelling(names, wanted) == found
