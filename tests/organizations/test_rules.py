from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.access.model import Action, OrganizationResource, ProductResource, Role
from cloudchamber.access.requester import ApiUser, Scopes, User
from cloudchamber.access.rules import MINIMUM_ROLE
from cloudchamber.ids import ApiUserId, ClientId, OrganizationId, ProductId, UserId
from cloudchamber.organizations.errors import OrganizationInvalid, TeamChangeInvalid
from cloudchamber.organizations.model import Member
from cloudchamber.organizations.rules import (
    DEFAULT_ROLE,
    MAX_SLUG_LENGTH,
    ROLE_IDS,
    api_domain,
    api_user_name,
    check_name,
    check_role,
    check_scopes,
    check_slug,
    check_target,
    id_in,
    merged,
    role_in,
    slugs,
)

CLIENT = ClientId("c")
ANN = User(UserId("a" * 24), CLIENT)
PRODUCT = ProductResource(ProductId(1000), Role.ADMINISTRATOR, OrganizationId("0" * 24))
ORGANIZATION = OrganizationResource(OrganizationId("0" * 24), Role.OWNER)


def limited(*scopes: str) -> ApiUser:
    return ApiUser(ApiUserId("b" * 24), CLIENT, Scopes(frozenset(scopes)), product=PRODUCT.id)


@given(st.text(max_size=200))
def test_slugs_of_any_name_can_be_slugs_and_are_no_ids(name) -> None:
    for slug in islice(slugs(name), 3):
        check_slug(slug)
        assert id_in(slug) is None


def test_slugs_are_made_of_the_name() -> None:
    assert list(islice(slugs("Example Corp."), 3)) == ["example-corp", "example-corp-2", "example-corp-3"]
    assert next(slugs("owner@example.com")) == "owner-example-com"
    assert next(slugs("!!!")) == "organization"
    assert next(slugs("a" * 24)) == f"{'a' * 24}-2"
    assert len(next(slugs("x" * 200))) <= MAX_SLUG_LENGTH


@pytest.mark.parametrize("slug", ["", "A", "a b", "-a", "a-", "a--b", "ä", "x" * 41, "0" * 24, "a/b", "a.b"])
def test_what_no_slug_can_be(slug) -> None:
    with pytest.raises(OrganizationInvalid):
        check_slug(slug)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "\0"])
def test_what_no_name_can_be(name) -> None:
    with pytest.raises(OrganizationInvalid):
        check_name(name)


def test_roles_have_the_vendors_names_and_ids() -> None:
    assert ROLE_IDS[Role.ADMINISTRATOR] == "000000000000000000000002"
    assert sorted(ROLE_IDS.values()) == [f"{number:024d}" for number in range(1, 6)]
    for role in Role:
        for text in (ROLE_IDS[role], role.title, role.title.upper(), f" {role.title.lower()} ", role.name):
            assert role_in(text) is role
    for text in (None, "", " "):
        assert role_in(text) is DEFAULT_ROLE is Role.DEVELOPER
    for text in ("Boss", "6", "000000000000000000000006", "view only", "*"):
        with pytest.raises(TeamChangeInvalid, match="View-only"):
            role_in(text)


def test_nobody_makes_another_owner() -> None:
    with pytest.raises(TeamChangeInvalid, match="organization"):
        check_role(ANN, PRODUCT, Role.OWNER)
    with pytest.raises(TeamChangeInvalid, match="hand it"):
        check_role(ANN, ORGANIZATION, Role.OWNER)
    for role in (Role.VIEW_ONLY, Role.ADMINISTRATOR):
        check_role(ANN, PRODUCT, role)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OWNER])
def test_a_limited_token_gives_no_role_that_may_more_than_itself(role) -> None:
    needed = {action.value for action, minimum in MINIMUM_ROLE.items() if minimum <= role}
    check_role(limited(*needed), PRODUCT, role)
    check_role(limited(*needed, "teams.users:invite"), PRODUCT, role)
    with pytest.raises(TeamChangeInvalid, match="lacks devices:list"):
        check_role(limited(*(needed - {"devices:list"})), PRODUCT, role)
    with pytest.raises(TeamChangeInvalid):
        check_role(limited("teams.users:invite", "teams.users:update"), PRODUCT, role)


def test_scopes_of_api_users() -> None:
    assert check_scopes(ANN, ["devices:list", "events:get", "devices:list"]) == ("devices:list", "events:get")
    assert check_scopes(ANN, ["binary:compile"]) == ("binary:compile",)
    assert check_scopes(limited("devices:list"), ["devices:list"]) == ("devices:list",)
    for scopes in ([], ["*:*"], ["devices:*"], ["devices"], ["account:get"], ["products:remove"], ["devices:claim"]):
        with pytest.raises(TeamChangeInvalid):
            check_scopes(ANN, scopes)
    with pytest.raises(TeamChangeInvalid, match="within its own"):
        check_scopes(limited("devices:list", "teams.users:invite"), ["devices:list", "devices:get"])


def test_an_api_user_can_be_given_whatever_an_administrator_may_and_no_more() -> None:
    for action in Action:
        if MINIMUM_ROLE.get(action, Role.OWNER) <= Role.ADMINISTRATOR:
            assert check_scopes(ANN, [action.value]) == (action.value,)


def test_names_of_api_users() -> None:
    assert api_user_name("My Build Server", "0a1b", "api.example.com") == "my-build-server+0a1b@api.example.com"
    assert api_user_name("ß", "0a1b", "api.localhost") == "api-user+0a1b@api.localhost"
    for name in ("", " ", "x" * 101, "a\nb"):
        with pytest.raises(TeamChangeInvalid, match="friendly_name"):
            api_user_name(name, "0", "x")
    assert api_domain("cloud.example.com") == "api.cloud.example.com"
    assert {api_domain(host) for host in ("", "127.0.0.1", "::1", "fe80::1", "localhost")} == {"api.localhost"}


def test_everybody_stands_once_in_the_highest_of_their_roles() -> None:
    def member(name: str, role: Role) -> Member:
        return Member(UserId(name), name, role)

    owner = member("zoe", Role.OWNER)
    team = merged(
        owner,
        [member("bob", Role.SUPPORT), member("cid", Role.DEVELOPER), owner],
        [member("bob", Role.ADMINISTRATOR), member("cid", Role.VIEW_ONLY), member("amy", Role.SUPPORT)],
    )
    assert [(each.username, each.role, each.is_inherited) for each in team] == [
        ("zoe", Role.OWNER, False),
        ("amy", Role.SUPPORT, True),
        ("bob", Role.ADMINISTRATOR, False),
        ("cid", Role.DEVELOPER, False),
    ]
    assert merged(None, [], []) == ()
    check_target(member("bob", Role.ADMINISTRATOR), "bob")
    for target in (owner, team[1]):
        with pytest.raises(TeamChangeInvalid):
            check_target(target, target.username)
