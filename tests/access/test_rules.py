"""decide(): every kind of requester, against every kind of resource, for every action."""

import itertools
import re
from dataclasses import replace

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.explain import explain
from cloudchamber.access.model import (
    Account,
    Action,
    DeviceResource,
    OrganizationDeviceResource,
    OrganizationResource,
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
    ApiUser,
    Customer,
    Device,
    OrganizationClient,
    ProductClient,
    Scopes,
    User,
    describe,
)
from cloudchamber.access.rules import (
    ALLOWED,
    MINIMUM_ROLE,
    ORGANIZATION_ROLE,
    Allowed,
    Reason,
    Refused,
    decide,
    may_own,
    owner_of,
)
from cloudchamber.access.service import require
from cloudchamber.ids import ApiUserId, ClientId, CustomerId, DeviceId, OrganizationId, ProductId, UserId

P, OTHER = ProductId(1000), ProductId(2000)
O, ELSE = OrganizationId("0" * 23 + "1"), OrganizationId("0" * 23 + "2")  # noqa: E741
CLIENT = ClientId("app-1")
DEVICE = DeviceId("0" * 24)
ALL = Scopes(frozenset(action.value for action in Action))

ANN = User(UserId("a" * 24), CLIENT)
EVE = User(UserId("e" * 24), CLIENT)
KIM = Customer(CustomerId("c" * 24), P, CLIENT)
# A customer of the whole organization.
POOL = Customer(CustomerId("d" * 24), None, CLIENT, organization=O)
# The same id as a user's: it must count for nothing.
TWIN = Customer(CustomerId("a" * 24), P, CLIENT)
SERVER = ProductClient(CLIENT, P)
FOREIGN = ProductClient(CLIENT, OTHER)
ORG_SERVER = OrganizationClient(CLIENT, O)
ORG_FOREIGN = OrganizationClient(CLIENT, ELSE)
ROBOT = ApiUser(ApiUserId("a" * 24), CLIENT, ALL, product=P)
ORG_ROBOT = ApiUser(ApiUserId("a" * 24), CLIENT, ALL, organization=O)
ROBOT_ELSEWHERE = ApiUser(ApiUserId("a" * 24), CLIENT, ALL, product=OTHER)
ORG_ROBOT_ELSEWHERE = ApiUser(ApiUserId("a" * 24), CLIENT, ALL, organization=ELSE)
NOBODY = Anonymous()
THING = Device(DEVICE)

LIMITABLE = [ANN, KIM, POOL, SERVER, ORG_SERVER, ROBOT, ORG_ROBOT]
EVERYBODY = [*LIMITABLE, EVE, TWIN, FOREIGN, ORG_FOREIGN, ROBOT_ELSEWHERE, ORG_ROBOT_ELSEWHERE, NOBODY, THING]

OWNER_ACTIONS = {
    Action.DEVICES_GET,
    Action.DEVICES_UPDATE,
    Action.DEVICES_RELEASE,
    Action.DEVICES_PING,
    Action.DEVICES_SIGNAL,
    *(Action.DIAGNOSTICS_GET, Action.DIAGNOSTICS_SUMMARY_GET, Action.DIAGNOSTICS_UPDATE),
    Action.VARIABLE_GET,
    Action.FUNCTION_CALL,
    Action.EVENTS_GET,
}
OWN_ACTIONS = OWNER_ACTIONS | {
    Action.DEVICES_LIST,
    Action.DEVICES_CLAIM,
    Action.DEVICES_TRANSFER,
    Action.SERIAL_NUMBERS_GET,
    Action.CLAIM_CODES_CREATE,
    Action.EVENTS_SEND,
    Action.TOKENS_GET,
    Action.TOKENS_REVOKE,
}
ACCOUNT_ACTIONS = {
    *(Action.ACCOUNT_GET, Action.ACCOUNT_UPDATE),
    *(Action.CLIENTS_LIST, Action.CLIENTS_CREATE, Action.CLIENTS_UPDATE, Action.CLIENTS_REMOVE),
    *(Action.INTEGRATIONS_LIST, Action.INTEGRATIONS_GET, Action.INTEGRATIONS_CREATE),
    *(Action.INTEGRATIONS_UPDATE, Action.INTEGRATIONS_REMOVE, Action.INTEGRATIONS_TEST),
    *(Action.PRODUCTS_LIST, Action.PRODUCTS_CREATE, Action.ORGANIZATIONS_LIST, Action.ORGANIZATIONS_CREATE),
}
CLIENTS_OWN = {Action.DEVICES_LIST, Action.TOKENS_GET, Action.TOKENS_REVOKE}
USES = {
    *(Action.VARIABLE_GET, Action.FUNCTION_CALL, Action.DEVICES_PING, Action.DEVICES_SIGNAL),
    *(Action.DIAGNOSTICS_UPDATE, Action.EVENTS_SEND),
}

# The vendor's list of permissions; whoever builds what one of them allows finds it here.
PERMISSIONS = set(
    re.split(
        r"\s+",
        """
clients:list clients:create clients:update clients:remove configuration:get configuration:update customers:list
customers:update customers:remove customers:create devices:list devices:get devices:import devices:update
devices:remove devices:release devices:ping devices.variable:get devices.function:call devices.diagnostics:get
devices.diagnostics:update devices.diagnostics.summary:get events:get events:send firmware:get firmware:list
firmware:create firmware:update firmware:release firmware:remove firmware.binary:get groups:list groups:get
groups:create groups:update groups:remove groups.impact:get integrations:list integrations:get integrations:create
integrations:update integrations:remove integrations:test locations:get metrics.online:get metrics.events:get
metrics.integrations:get products:list products:get sims:list sims:get sims:update sims:import sims:remove
sims.usage:get sims.status:get service_agreements:list teams.users:list teams.users:invite teams.users:update
teams.users:remove binary:compile""".strip(),
    )
)


def up_to(role, table=MINIMUM_ROLE) -> set[Action]:
    return {action for action, minimum in table.items() if minimum <= role}


def own(owner, product=None, **state):
    return DeviceResource(DEVICE, owner, product, **state)


def team(role, product=P, organization=O):
    return ProductResource(product, role, organization)


def in_product(role, product=P, **state):
    return ProductDeviceResource(DEVICE, team(role, product), **state)


def org(role, organization=O):
    return OrganizationResource(organization, role)


def in_org(role, organization=O, product=P, **state):
    """A device of O's product, asked for below `organization`."""
    return OrganizationDeviceResource(DEVICE, organization, team(role, product), **state)


ANNS = own(OwnedByUser(ANN.id))
KIMS = own(OwnedByCustomer(KIM.id), P)
POOLS = own(OwnedByCustomer(POOL.id), P)
FREE = own(None)
PLACES = [ANNS, KIMS, POOLS, FREE, OwnThings(), Account(), team(None), in_product(None), org(None), in_org(None)]

CLIENTS = up_to(Role.DEVELOPER)
ROBOTS = up_to(Role.ADMINISTRATOR)


def allowed(requester, resource) -> set[Action]:
    return {action for action in Action if decide(requester, action, resource) is ALLOWED}


@pytest.mark.parametrize(
    ("requester", "resource", "expected"),
    [
        # Devices of one's own
        (ANN, ANNS, OWNER_ACTIONS | {Action.KEYS_UPDATE}),
        (KIM, KIMS, OWNER_ACTIONS),
        (POOL, POOLS, OWNER_ACTIONS),
        *((who, ANNS, set()) for who in EVERYBODY if who is not ANN),
        *((who, KIMS, set()) for who in EVERYBODY if who is not KIM),
        *((who, POOLS, set()) for who in EVERYBODY if who is not POOL),
        *((who, FREE, set()) for who in EVERYBODY),
        # What is one's own besides
        (ANN, OwnThings(), OWN_ACTIONS | {Action.BINARY_COMPILE, Action.KEYS_UPDATE}),
        (KIM, OwnThings(), OWN_ACTIONS),
        (POOL, OwnThings(), OWN_ACTIONS),
        (SERVER, OwnThings(), CLIENTS_OWN),
        (ORG_SERVER, OwnThings(), CLIENTS_OWN),
        (ROBOT, OwnThings(), {Action.BINARY_COMPILE}),
        (ORG_ROBOT, OwnThings(), {Action.BINARY_COMPILE}),
        *((who, OwnThings(), set()) for who in (NOBODY, THING)),
        (ANN, Account(), ACCOUNT_ACTIONS),
        *((who, Account(), set()) for who in EVERYBODY if not isinstance(who, User)),
        # A product and its devices
        *(
            row
            for where in (team, in_product)
            for row in (
                (ANN, where(None), set()),
                (SERVER, where(None), CLIENTS),
                (ORG_SERVER, where(None), CLIENTS),
                (ROBOT, where(None), ROBOTS),
                (ORG_ROBOT, where(None), ROBOTS),
                (KIM, where(None), {Action.CLAIM_CODES_CREATE}),
                (POOL, where(None), {Action.CLAIM_CODES_CREATE}),
                *(
                    (who, where(None), set())
                    for who in (FOREIGN, ORG_FOREIGN, ROBOT_ELSEWHERE, ORG_ROBOT_ELSEWHERE, NOBODY, THING)
                ),
                # Another product of the same organization
                (SERVER, where(None, OTHER), set()),
                (ROBOT, where(None, OTHER), set()),
                (KIM, where(None, OTHER), set()),
                (ORG_SERVER, where(None, OTHER), CLIENTS),
                (ORG_ROBOT, where(None, OTHER), ROBOTS),
                (POOL, where(None, OTHER), {Action.CLAIM_CODES_CREATE}),
            )
        ),
        # A product whose organization is not known is nobody's by its organization.
        *((who, team(None, P, None), set()) for who in (ORG_SERVER, ORG_ROBOT, POOL)),
        # An organization, and devices through it
        (ORG_SERVER, org(None), up_to(Role.DEVELOPER, ORGANIZATION_ROLE)),
        (ORG_ROBOT, org(None), up_to(Role.ADMINISTRATOR, ORGANIZATION_ROLE)),
        *((who, org(None), set()) for who in EVERYBODY if who not in (ORG_SERVER, ORG_ROBOT)),
        (ORG_SERVER, in_org(None), CLIENTS),
        (ORG_ROBOT, in_org(None), ROBOTS),
        *((who, in_org(None), set()) for who in EVERYBODY if who not in (ORG_SERVER, ORG_ROBOT)),
        # Asked for below an organization that its product is not in
        *((who, in_org(Role.OWNER, ELSE), set()) for who in EVERYBODY),
    ],
)
def test_what_each_kind_of_requester_may_do_where(requester, resource, expected) -> None:
    assert allowed(requester, resource) == expected


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("where", [team, in_product, in_org])
def test_each_role_may_do_what_the_one_below_may_and_its_own(role, where) -> None:
    assert allowed(ANN, where(role)) == up_to(role)


@pytest.mark.parametrize("role", Role)
def test_each_role_in_an_organization_itself(role) -> None:
    assert allowed(ANN, org(role)) == up_to(role, ORGANIZATION_ROLE)


def test_whoever_may_do_it_to_their_device_may_do_it_to_what_is_theirs() -> None:
    """So that the second need not be asked first, where a device is found at once."""
    devices = [
        own(owner, P, is_quarantined=state) for owner in (ANNS.owner, KIMS.owner, None) for state in (True, False)
    ]
    found = 0
    for who, action in itertools.product([*EVERYBODY, *(replace(who, scopes=ALL) for who in LIMITABLE)], Action):
        for device in devices:
            if decide(who, action, device) is ALLOWED:
                found += 1
                assert decide(who, action, OwnThings()) is ALLOWED
    assert found


@pytest.mark.parametrize("action", [action for action in Action if action not in MINIMUM_ROLE])
def test_what_the_table_of_roles_misses_no_role_no_client_and_no_api_user_may(action) -> None:
    for role, requester in itertools.product([None, *Role], [ANN, SERVER, ORG_SERVER, ROBOT, ORG_ROBOT]):
        assert isinstance(decide(requester, action, team(role)), Refused)
        assert isinstance(decide(requester, action, in_product(role)), Refused)
        assert isinstance(decide(requester, action, in_org(role)), Refused)


def test_every_permission_of_the_vendors_is_an_action_and_somebodys() -> None:
    assert {action.value for action in Action} >= PERMISSIONS
    account_or_own = {Action.BINARY_COMPILE}
    assert {Action(name) for name in PERMISSIONS} - account_or_own <= MINIMUM_ROLE.keys() | ORGANIZATION_ROLE.keys()


def test_view_only_reads_and_no_more() -> None:
    for where in (team, org):
        assert {action.value.partition(":")[2] for action in allowed(ANN, where(Role.VIEW_ONLY))} == {"list", "get"}


def test_what_each_role_adds() -> None:
    """The published table of roles, spelled out: a change of MINIMUM_ROLE is a change of what people were promised."""

    def adds(role) -> set[str]:
        return {action.value for action, minimum in MINIMUM_ROLE.items() if minimum is role}

    assert adds(Role.SUPPORT) == {
        *("devices.variable:get", "devices.function:call", "devices:ping", "devices:signal"),
        *("devices.diagnostics:update", "sims:update"),
    }
    assert adds(Role.DEVELOPER) == {
        *("events:send", "devices:import", "devices:update", "devices:remove", "devices:release"),
        *("configuration:update", "customers:create", "customers:update", "customers:remove"),
        *("clients:create", "clients:update", "clients:remove"),
        *("firmware:create", "firmware:update", "firmware:release", "firmware:remove"),
        *("groups:create", "groups:update", "groups:remove"),
        *("integrations:create", "integrations:update", "integrations:remove", "integrations:test"),
        *("sims:import", "sims:remove"),
        "keys:update",
    }
    assert adds(Role.ADMINISTRATOR) == {
        *("teams.users:invite", "teams.users:update", "teams.users:remove", "products:update"),
        *("service_agreements:list", "service_agreements.notifications:list"),
        "service_agreements.usage_reports:list",
    }
    assert adds(Role.OWNER) == {"products:remove"}
    assert [role.title for role in Role] == ["View-only", "Support", "Developer", "Administrator", "Owner"]


@pytest.mark.parametrize("requester", [SERVER, ORG_SERVER])
def test_a_client_cannot_lift_the_developer_who_made_it(requester) -> None:
    for action in (Action.TEAM_INVITE, Action.TEAM_UPDATE, Action.TEAM_REMOVE, Action.PRODUCTS_UPDATE):
        assert decide(requester, action, team(None)) == Refused(Reason.PERSON)


@pytest.mark.parametrize("action", Action)
def test_a_limited_token_needs_the_scope_whoever_holds_it(action) -> None:
    for requester, resource in itertools.product(LIMITABLE, [*PLACES, team(Role.OWNER), org(Role.OWNER)]):
        if decide(requester, action, resource) is not ALLOWED:
            continue
        other = Scopes(frozenset({"devices:nothing", "*", f"{action.value.partition(':')[0]}:*"}))
        assert decide(replace(requester, scopes=other), action, resource) == Refused(Reason.SCOPE)
        assert decide(replace(requester, scopes=Scopes(frozenset())), action, resource) == Refused(Reason.SCOPE)
        assert decide(replace(requester, scopes=Scopes(frozenset({action.value}))), action, resource) is ALLOWED


def test_a_create_customer_only_client_can_do_one_thing() -> None:
    limited = ProductClient(CLIENT, P, Scopes.parse("create_customer"))
    assert set().union(*(allowed(limited, resource) for resource in PLACES)) == {Action.CUSTOMERS_CREATE}


@pytest.mark.parametrize(("state", "reason"), [("is_quarantined", Reason.QUARANTINED), ("is_denied", Reason.DENIED)])
def test_a_device_that_is_shut_out_is_seen_but_not_used(state, reason) -> None:
    for requester, resource in [
        (ANN, own(OwnedByUser(ANN.id), P, **{state: True})),
        (KIM, own(OwnedByCustomer(KIM.id), P, **{state: True})),
        (ANN, in_product(Role.OWNER, **{state: True})),
        (SERVER, in_product(None, **{state: True})),
        (ROBOT, in_product(None, **{state: True})),
        (ANN, in_org(Role.OWNER, **{state: True})),
        (ORG_SERVER, in_org(None, **{state: True})),
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
        (EVE, Action.PRODUCTS_REMOVE, team(Role.ADMINISTRATOR), Reason.ROLE),
        (EVE, Action.CLAIM_CODES_CREATE, team(Role.OWNER), Reason.WRONG_KIND),
        (EVE, Action.PRODUCTS_LIST, org(None), Reason.NOT_IN_TEAM),
        (EVE, Action.ORGANIZATIONS_REMOVE, org(Role.ADMINISTRATOR), Reason.ROLE),
        (FOREIGN, Action.DEVICES_LIST, team(None), Reason.OTHER_PRODUCT),
        (ORG_FOREIGN, Action.DEVICES_LIST, team(None), Reason.OTHER_ORGANIZATION),
        (ORG_FOREIGN, Action.PRODUCTS_LIST, org(None), Reason.OTHER_ORGANIZATION),
        (ORG_SERVER, Action.ORGANIZATIONS_REMOVE, org(None), Reason.PERSON),
        (SERVER, Action.PRODUCTS_LIST, org(None), Reason.WRONG_KIND),
        (SERVER, Action.DEVICES_GET, in_org(None), Reason.WRONG_KIND),
        (KIM, Action.DEVICES_GET, in_org(None), Reason.WRONG_KIND),
        (KIM, Action.CLAIM_CODES_CREATE, team(None, OTHER), Reason.OTHER_PRODUCT),
        (KIM, Action.DEVICES_LIST, team(None), Reason.WRONG_KIND),
        (SERVER, Action.DEVICES_CLAIM, OwnThings(), Reason.WRONG_KIND),
        (KIM, Action.ACCOUNT_GET, Account(), Reason.WRONG_KIND),
        (ROBOT, Action.ACCOUNT_GET, Account(), Reason.API_USER),
        (ROBOT, Action.DEVICES_LIST, OwnThings(), Reason.API_USER),
        (ROBOT, Action.DEVICES_GET, ANNS, Reason.API_USER),
        (ROBOT, Action.PRODUCTS_REMOVE, team(None), Reason.PERSON),
        (ROBOT_ELSEWHERE, Action.DEVICES_LIST, team(None), Reason.OTHER_PRODUCT),
        (ORG_ROBOT_ELSEWHERE, Action.DEVICES_LIST, team(None), Reason.OTHER_ORGANIZATION),
        (ROBOT, Action.PRODUCTS_LIST, org(None), Reason.WRONG_KIND),
    ],
)
def test_a_refusal_says_why(requester, action, resource, reason) -> None:
    assert decide(requester, action, resource) == Refused(reason)
    with pytest.raises(AccessRefused) as refused:
        require(requester, action, resource)
    assert (refused.value.status, refused.value.reason, refused.value.message) == (403, reason, reason.value)


@pytest.mark.parametrize(
    ("requester", "action", "resource", "words"),
    [
        (
            EVE,
            Action.DEVICES_IMPORT,
            team(Role.SUPPORT),
            (
                f"user:{EVE.id} asks for devices:import on product 1000: refused. The user's role in the team does not"
                " allow this: it is Support, and Developer is needed."
            ),
        ),
        (
            EVE,
            Action.DEVICES_GET,
            in_org(Role.VIEW_ONLY),
            (
                f"user:{EVE.id} asks for devices:get on device {DEVICE} of organization {O}: allowed, by the role"
                " View-only in the team."
            ),
        ),
        (
            replace(ROBOT, scopes=Scopes(frozenset({"devices:list", "devices:get"}))),
            Action.EVENTS_GET,
            team(None),
            (
                f"api-user:{ROBOT.id} asks for events:get on product 1000: refused. The token is limited to other"
                " things than this: it has devices:get devices:list."
            ),
        ),
        (
            KIM,
            Action.FUNCTION_CALL,
            KIMS,
            f"customer:{KIM.id} asks for devices.function:call on device {DEVICE}: allowed, as the device's owner.",
        ),
        (
            NOBODY,
            Action.DEVICES_LIST,
            OwnThings(),
            "anonymous asks for devices:list on what is their own: refused. This needs a token.",
        ),
    ],
)
def test_a_decision_in_words(requester, action, resource, words) -> None:
    assert explain(requester, action, resource) == words


def test_every_decision_can_be_said() -> None:
    resources = [*PLACES, *(where(role) for where in (team, in_product, org, in_org) for role in Role)]
    for requester, action, resource in itertools.product(EVERYBODY, Action, resources):
        said = explain(requester, action, resource)
        is_allowed = isinstance(decide(requester, action, resource), Allowed)
        assert (": allowed, " in said, ": refused. " in said) == (is_allowed, not is_allowed)
        assert said.endswith(".")
        assert "None" not in said


def test_scopes_are_parsed() -> None:
    assert Scopes.parse(None) is Scopes.parse("") is Scopes.parse("  ") is Scopes.parse("a:b *:*") is UNLIMITED
    assert Scopes.parse("create_customer devices:list ").names == {"customers:create", "devices:list"}
    assert not Scopes.parse("devices:list").allow("devices:get")


def test_who_owns_and_who_may() -> None:
    assert owner_of(ANN) == OwnedByUser(ANN.id)
    assert owner_of(TWIN) == OwnedByCustomer(TWIN.id) != owner_of(ANN)
    assert {owner_of(who) for who in (SERVER, ORG_SERVER, ROBOT, ORG_ROBOT, THING, NOBODY)} == {None}
    assert may_own(ANN, None, is_member=False)
    assert may_own(ANN, P, is_member=True)
    assert not may_own(ANN, P, is_member=False)
    assert may_own(KIM, P, is_member=False)
    assert may_own(KIM, P, is_member=False, organization=ELSE)
    assert not may_own(KIM, None, is_member=True)
    assert not may_own(KIM, OTHER, is_member=True, organization=O)
    assert may_own(POOL, P, is_member=False, organization=O)
    assert may_own(POOL, OTHER, is_member=False, organization=O)
    assert not may_own(POOL, P, is_member=True, organization=ELSE)
    assert not may_own(POOL, P, is_member=True)
    assert not may_own(POOL, None, is_member=True, organization=O)
    for who in (SERVER, ORG_SERVER, ROBOT, ORG_ROBOT, THING, NOBODY):
        assert not may_own(who, P, is_member=True, organization=O)


def test_a_requester_is_named_without_its_token() -> None:
    hash_ = b"\x01" * 32
    named = [describe(replace(who, token=hash_)) for who in LIMITABLE]
    assert named == [
        *(f"user:{ANN.id}", f"customer:{KIM.id}", f"customer:{POOL.id}", f"client:{CLIENT}", f"client:{CLIENT}"),
        *(f"api-user:{ROBOT.id}", f"api-user:{ORG_ROBOT.id}"),
    ]
    assert (describe(THING), describe(NOBODY)) == (f"device:{DEVICE}", "anonymous")
