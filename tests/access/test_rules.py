"""decide(): every kind of requester, against every kind of resource, for every action."""

import itertools

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import (
    Account,
    Action,
    DeviceResource,
    OwnedByCustomer,
    OwnedByUser,
    OwnThings,
    ProductDeviceResource,
    ProductResource,
    Role,
)
from cloudchamber.access.requester import (
    UNLIMITED,
    Anonymous,
    Customer,
    Device,
    ProductClient,
    Scopes,
    User,
    describe,
)
from cloudchamber.access.rules import ALLOWED, MINIMUM_ROLE, Reason, Refused, decide, may_own, owner_of
from cloudchamber.access.service import require
from cloudchamber.ids import ClientId, CustomerId, DeviceId, ProductId, UserId

P, OTHER = ProductId(1000), ProductId(2000)
CLIENT = ClientId("app-1")
DEVICE = DeviceId("0" * 24)

ANN = User(UserId("a" * 24), CLIENT)
EVE = User(UserId("e" * 24), CLIENT)
KIM = Customer(CustomerId("c" * 24), P, CLIENT)
# The same id as a user's: it must count for nothing.
TWIN = Customer(CustomerId("a" * 24), P, CLIENT)
SERVER = ProductClient(CLIENT, P)
FOREIGN = ProductClient(CLIENT, OTHER)
NOBODY = Anonymous()
THING = Device(DEVICE)

OWNER_ACTIONS = {
    Action.DEVICES_GET,
    Action.DEVICES_UPDATE,
    Action.DEVICES_RELEASE,
    Action.DEVICES_PING,
    Action.DEVICES_SIGNAL,
    Action.VARIABLE_GET,
    Action.FUNCTION_CALL,
    Action.EVENTS_GET,
}
OWN_ACTIONS = OWNER_ACTIONS | {
    Action.DEVICES_LIST,
    Action.DEVICES_CLAIM,
    Action.CLAIM_CODES_CREATE,
    Action.EVENTS_SEND,
    Action.TOKENS_GET,
    Action.TOKENS_REVOKE,
}
ACCOUNT_ACTIONS = {
    *(Action.ACCOUNT_GET, Action.ACCOUNT_UPDATE),
    *(Action.CLIENTS_LIST, Action.CLIENTS_CREATE, Action.CLIENTS_UPDATE, Action.CLIENTS_REMOVE),
    *(Action.INTEGRATIONS_LIST, Action.INTEGRATIONS_GET, Action.INTEGRATIONS_CREATE),
    *(Action.INTEGRATIONS_UPDATE, Action.INTEGRATIONS_REMOVE),
    *(Action.PRODUCTS_LIST, Action.PRODUCTS_CREATE, Action.ORGANIZATIONS_LIST),
}
PRODUCT_CLIENTS_OWN = {Action.DEVICES_LIST, Action.TOKENS_GET, Action.TOKENS_REVOKE}
TEAM_ACTIONS = set(MINIMUM_ROLE)
USES = {Action.VARIABLE_GET, Action.FUNCTION_CALL, Action.DEVICES_PING, Action.DEVICES_SIGNAL, Action.EVENTS_SEND}


def own(owner, product=None, **state):
    return DeviceResource(DEVICE, owner, product, **state)


def team(role, product=P):
    return ProductResource(product, role)


def in_product(role, product=P, **state):
    return ProductDeviceResource(DEVICE, team(role, product), **state)


ANNS = own(OwnedByUser(ANN.id))
KIMS = own(OwnedByCustomer(KIM.id), P)
FREE = own(None)


def allowed(requester, resource) -> set[Action]:
    return {action for action in Action if decide(requester, action, resource) is ALLOWED}


@pytest.mark.parametrize(
    ("requester", "resource", "expected"),
    [
        (ANN, ANNS, OWNER_ACTIONS),
        (EVE, ANNS, set()),
        (KIM, ANNS, set()),
        (TWIN, ANNS, set()),
        (SERVER, ANNS, set()),
        (KIM, KIMS, OWNER_ACTIONS),
        (ANN, KIMS, set()),
        (SERVER, KIMS, set()),
        (ANN, FREE, set()),
        (KIM, FREE, set()),
        (SERVER, FREE, set()),
        (ANN, OwnThings(), OWN_ACTIONS),
        (KIM, OwnThings(), OWN_ACTIONS),
        (SERVER, OwnThings(), PRODUCT_CLIENTS_OWN),
        (ANN, Account(), ACCOUNT_ACTIONS),
        (KIM, Account(), set()),
        (SERVER, Account(), set()),
        (ANN, team(None), set()),
        (ANN, in_product(None), set()),
        (SERVER, team(None), TEAM_ACTIONS),
        (SERVER, in_product(None), TEAM_ACTIONS),
        (FOREIGN, team(None), set()),
        (FOREIGN, in_product(None), set()),
        (KIM, team(None), {Action.CLAIM_CODES_CREATE}),
        (KIM, team(None, OTHER), set()),
        *((who, where, set()) for who in (NOBODY, THING) for where in (ANNS, FREE, OwnThings(), Account(), team(None))),
    ],
)
def test_what_each_kind_of_requester_may_do_where(requester, resource, expected) -> None:
    assert allowed(requester, resource) == expected


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("where", [team, in_product])
def test_each_role_may_do_what_the_one_below_may_and_its_own(role, where) -> None:
    assert allowed(ANN, where(role)) == {action for action, minimum in MINIMUM_ROLE.items() if minimum <= role}


@pytest.mark.parametrize("action", [action for action in Action if action not in MINIMUM_ROLE])
def test_what_the_table_of_roles_misses_no_role_and_no_product_client_may(action) -> None:
    for role, requester in itertools.product([None, *Role], [ANN, SERVER]):
        assert isinstance(decide(requester, action, team(role)), Refused)
        assert isinstance(decide(requester, action, in_product(role)), Refused)


def test_view_only_reads_and_no_more() -> None:
    assert {action.value.partition(":")[2] for action in allowed(ANN, team(Role.VIEW_ONLY))} == {"list", "get"}


@pytest.mark.parametrize("action", Action)
def test_a_limited_token_needs_the_scope_whoever_holds_it(action) -> None:
    pairs = [
        (ANN, ANNS),
        (KIM, KIMS),
        (ANN, OwnThings()),
        (ANN, Account()),
        (ANN, team(Role.OWNER)),
        (SERVER, team(None)),
    ]
    for requester, resource in pairs:
        if decide(requester, action, resource) is not ALLOWED:
            continue
        other = Scopes(frozenset({"devices:nothing", "*", f"{action.value.partition(':')[0]}:*"}))
        assert decide(_with(requester, other), action, resource) == Refused(Reason.SCOPE)
        assert decide(_with(requester, Scopes(frozenset({action.value}))), action, resource) is ALLOWED


def _with(requester, scopes):
    match requester:
        case User(id=id_, client=client):
            return User(id_, client, scopes)
        case Customer(id=id_, product=product, client=client):
            return Customer(id_, product, client, scopes)
        case ProductClient(client=client, product=product):
            return ProductClient(client, product, scopes)


def test_a_create_customer_only_client_can_do_one_thing() -> None:
    limited = ProductClient(CLIENT, P, Scopes.parse("create_customer"))
    everywhere = [ANNS, KIMS, FREE, OwnThings(), Account(), team(None), in_product(None)]
    assert set().union(*(allowed(limited, resource) for resource in everywhere)) == {Action.CUSTOMERS_CREATE}


@pytest.mark.parametrize(("state", "reason"), [("is_quarantined", Reason.QUARANTINED), ("is_denied", Reason.DENIED)])
def test_a_device_that_is_shut_out_is_seen_but_not_used(state, reason) -> None:
    for requester, resource in [
        (ANN, own(OwnedByUser(ANN.id), P, **{state: True})),
        (KIM, own(OwnedByCustomer(KIM.id), P, **{state: True})),
        (ANN, in_product(Role.OWNER, **{state: True})),
        (SERVER, in_product(None, **{state: True})),
    ]:
        for action in USES - {Action.EVENTS_SEND} if isinstance(resource, DeviceResource) else USES:
            assert decide(requester, action, resource) == Refused(reason)
        assert decide(requester, Action.DEVICES_GET, resource) is ALLOWED
    # A stranger is not told of the state.
    assert decide(EVE, Action.FUNCTION_CALL, own(OwnedByUser(ANN.id), **{state: True})) == Refused(Reason.NOT_OWNER)


@pytest.mark.parametrize(
    ("requester", "action", "resource", "reason"),
    [
        (NOBODY, Action.DEVICES_LIST, OwnThings(), Reason.NOT_SIGNED_IN),
        (THING, Action.DEVICES_GET, ANNS, Reason.NOT_SIGNED_IN),
        (EVE, Action.DEVICES_GET, ANNS, Reason.NOT_OWNER),
        (EVE, Action.DEVICES_LIST, team(None), Reason.NOT_IN_TEAM),
        (EVE, Action.DEVICES_IMPORT, team(Role.SUPPORT), Reason.ROLE),
        (EVE, Action.CLAIM_CODES_CREATE, team(Role.OWNER), Reason.WRONG_KIND),
        (FOREIGN, Action.DEVICES_LIST, team(None), Reason.OTHER_PRODUCT),
        (KIM, Action.CLAIM_CODES_CREATE, team(None, OTHER), Reason.OTHER_PRODUCT),
        (KIM, Action.DEVICES_LIST, team(None), Reason.WRONG_KIND),
        (SERVER, Action.DEVICES_CLAIM, OwnThings(), Reason.WRONG_KIND),
        (KIM, Action.ACCOUNT_GET, Account(), Reason.WRONG_KIND),
    ],
)
def test_a_refusal_says_why(requester, action, resource, reason) -> None:
    assert decide(requester, action, resource) == Refused(reason)
    with pytest.raises(AccessRefused) as refused:
        require(requester, action, resource)
    assert (refused.value.status, refused.value.reason, refused.value.message) == (403, reason, reason.value)


def test_scopes_are_parsed() -> None:
    assert Scopes.parse(None) is Scopes.parse("") is Scopes.parse("  ") is Scopes.parse("a:b *:*") is UNLIMITED
    assert Scopes.parse("create_customer devices:list ").names == {"customers:create", "devices:list"}
    assert not Scopes.parse("devices:list").allow("devices:get")


def test_who_owns_and_who_may() -> None:
    assert owner_of(ANN) == OwnedByUser(ANN.id)
    assert owner_of(TWIN) == OwnedByCustomer(TWIN.id) != owner_of(ANN)
    assert owner_of(SERVER) is owner_of(THING) is owner_of(NOBODY) is None
    assert may_own(ANN, None, is_member=False)
    assert may_own(ANN, P, is_member=True)
    assert not may_own(ANN, P, is_member=False)
    assert may_own(KIM, P, is_member=False)
    assert not may_own(KIM, None, is_member=True)
    assert not may_own(KIM, OTHER, is_member=True)
    assert not may_own(SERVER, P, is_member=True)


def test_a_requester_is_named_without_its_token() -> None:
    hash_ = b"\x01" * 32
    named = [describe(User(ANN.id, CLIENT, token=hash_)), describe(KIM), describe(SERVER), describe(THING)]
    assert named == [f"user:{ANN.id}", f"customer:{KIM.id}", f"client:{CLIENT}", f"device:{DEVICE}"]
    assert describe(NOBODY) == "anonymous"
