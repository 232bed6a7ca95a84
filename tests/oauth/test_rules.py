from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.access.requester import UNLIMITED
from cloudchamber.clock import DAY, SECOND, Millis, iso
from cloudchamber.ids import ClientId, OrganizationId, ProductId, SecretHash, slugify
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Client, ClientType, Principal, PrincipalKind, RefreshToken
from cloudchamber.oauth.rules import (
    MAX_LIFETIME_S,
    NEVER,
    Lifetimes,
    Rotation,
    Successor,
    client_id_for,
    client_id_is_well_formed,
    customer_in,
    customer_scope,
    lifetime_s,
    log_in_counts,
    redirect_is_safe,
    redirect_matches,
    rotation,
    scopes_of,
)

NOW = Millis(1_504_915_200_000)  # 2017-09-09


@pytest.mark.parametrize(
    ("expires_in", "expires_at", "seconds"),
    [
        (None, None, 7_776_000),
        ("", "", 7_776_000),
        ("0", None, NEVER),
        ("1", None, 1),
        ("3600", "2017-12-07", 3600),
        ("999999999999", None, MAX_LIFETIME_S),
        (None, "2017-12-07", 89 * 86_400),
        (None, "2017-09-09T00:00:01.500Z", 1),
        (None, "2017-09-09T02:00:10+02:00", 10),
        (None, "9999-12-31", MAX_LIFETIME_S),
    ],
)
def test_a_lifetime(expires_in, expires_at, seconds) -> None:
    assert lifetime_s(expires_in, expires_at, NOW) == seconds


@pytest.mark.parametrize(
    ("expires_in", "expires_at"),
    [
        *(("-1", None), ("1.5", None), ("1e3", None), ("ten", None), ("١", None), ("1" * 13, None), (" 1", None)),
        *((None, "2017-09-09"), (None, "2017-09-09T00:00:00.999Z"), (None, "tomorrow"), (None, "1504915200")),
    ],
)
def test_a_lifetime_that_cannot_be(expires_in, expires_at) -> None:
    with pytest.raises(OAuthError) as failed:
        lifetime_s(expires_in, expires_at, NOW)
    assert (failed.value.error, failed.value.http_status) == ("invalid_request", 400)


@pytest.mark.parametrize(
    ("log_ins_from", "began", "now", "counts"),
    [
        (100, 100, 200, True),
        (100, 99, 200, False),
        (300, 200, 250, False),  # while it waited for the database
        (250 + 300_000, 200, 250, False),
        (251 + 300_000, 200, 250, True),  # the clock was ahead, and was set right
        (86_400_000, 200, 250, True),
    ],
)
def test_21_which_log_ins_count(log_ins_from: int, began: int, now: int, counts: bool) -> None:
    times = (Millis(log_ins_from), Millis(began), Millis(now))
    assert log_in_counts(*times, is_disabled=False) is counts
    assert not log_in_counts(*times, is_disabled=True)


def test_a_lifetime_under_the_servers_caps() -> None:
    capped, no_endless = Lifetimes(max_s=3600), Lifetimes(has_endless=False)
    assert lifetime_s(None, None, NOW, capped) == lifetime_s("7200", None, NOW, capped) == capped.capped(7200) == 3600
    assert lifetime_s("60", None, NOW, capped) == capped.capped(60) == 60
    assert lifetime_s(None, None, NOW, no_endless) == no_endless.capped(7_776_000) == 7_776_000
    for lifetimes in (capped, no_endless):
        with pytest.raises(OAuthError, match="no tokens without end"):
            lifetime_s("0", None, NOW, lifetimes)


@given(st.none() | st.text(max_size=20), st.none() | st.text(max_size=30) | st.datetimes().map(str))
def test_whatever_is_asked_for_a_lifetime_is_in_range_or_refused(expires_in, expires_at) -> None:
    try:
        seconds = lifetime_s(expires_in, expires_at, NOW)
    except OAuthError:
        return
    assert 0 <= seconds <= MAX_LIFETIME_S


@given(st.integers(1, MAX_LIFETIME_S - 1), st.integers(0, 999))
def test_expires_at_is_the_seconds_left(seconds, millis) -> None:
    assert lifetime_s(None, iso(NOW + seconds * 1000 + millis), NOW) == seconds


@given(st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - strategy's bounds
def test_a_date_is_read_to_the_millisecond(when) -> None:
    seconds = (int(when.timestamp()) * 1000 + when.microsecond // 1000 - NOW) // 1000
    text = when.isoformat()
    if seconds > 0:
        assert lifetime_s(None, text, NOW) == min(seconds, MAX_LIFETIME_S)


@pytest.mark.parametrize("scope", [None, ""])
def test_no_scope_asks_for_no_customer(scope) -> None:
    assert customer_in(scope) is None


@given(st.text(min_size=1))
def test_a_customer_scope_says_whose_it_is(name) -> None:
    assert customer_in(customer_scope(name)) == name


@pytest.mark.parametrize("scope", ["customer=", "customer", "Customer=ann", " customer=ann", "devices:list", "*:*"])
def test_any_other_scope_is_refused(scope) -> None:
    with pytest.raises(OAuthError) as failed:
        customer_in(scope)
    assert failed.value.error == "invalid_scope"


@given(st.text(max_size=200), st.integers(0, 9999))
def test_a_client_id_is_made_of_any_name(name, number) -> None:
    made = client_id_for(name, number)
    assert client_id_is_well_formed(made)
    assert made.endswith(f"-{number}")


def test_a_client_id_reads_as_its_name() -> None:
    assert client_id_for("Test 1", 7141) == "test-1-7141"
    assert client_id_for("ParticleRB Installed Client", 331) == "particlerb-installed-client-331"
    assert client_id_for("///", 0) == "client-0"


@given(st.text(max_size=60))
def test_a_slug_is_of_one_alphabet_and_slugs_to_itself(name) -> None:
    slug = slugify(name)
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slugify(slug) == slug == slug.strip("-")


def test_which_client_ids_are_looked_up_at_all() -> None:
    assert all(map(client_id_is_well_formed, ["spark", "CLI2", "__PASSWORD_ONLY__", "a" * 40]))
    assert not any(map(client_id_is_well_formed, ["", "ab", "a" * 41, "a b c", "abc\n", "äbc", "a'b--"]))


def _client(scope: str | None) -> Client:
    return Client(
        id=ClientId("shop-1"),
        secret_hash=None,
        name="shop",
        type=ClientType.INSTALLED,
        redirect_uri=None,
        scope=scope,
        user=None,
        product=ProductId(1000),
        is_builtin=False,
        is_enabled=True,
        created_at=NOW,
    )


def test_a_clients_scope_limits_it_and_its_users_but_no_customer() -> None:
    product = Principal(PrincipalKind.PRODUCT, "shop-1", ProductId(1000))
    user = Principal(PrincipalKind.USER, "u")
    customer = Principal(PrincipalKind.CUSTOMER, "c", ProductId(1000))
    limited = _client("customers:create")
    for principal in (product, user, Principal(PrincipalKind.ORGANIZATION, "c-1", None, OrganizationId("o"))):
        assert scopes_of(limited, principal, None).names == {"customers:create"}
        assert scopes_of(_client(None), principal, None) == UNLIMITED
    assert scopes_of(limited, customer, "customer=kim") == UNLIMITED


@pytest.mark.parametrize("scope", [None, "", " "])
def test_an_api_user_without_scopes_may_nothing(scope) -> None:
    robot = Principal(PrincipalKind.API_USER, "r", ProductId(1000))
    assert scopes_of(_client(None), robot, scope).names == frozenset()
    assert scopes_of(_client(None), robot, "devices:list *:*").names == {"devices:list", "*:*"}
    assert not scopes_of(_client(None), robot, "*:*").allow("devices:list")


@pytest.mark.parametrize(
    "given_",
    [
        *("https://a.example/cb/", "https://a.example/cb?x", "https://A.example/cb", "http://a.example/cb"),
        *("https://a.example:443/cb", "https://u@a.example/cb", "https://a.example/%63b", "", "https://a.example"),
    ],
)
def test_a_redirect_is_the_registered_one_or_none(given_) -> None:
    registered = "https://a.example/cb"
    assert redirect_matches(registered, registered)
    assert redirect_matches(registered, None)
    assert not redirect_matches(registered, given_)
    assert not redirect_matches(None, given_)
    assert not redirect_matches(None, None)


def _refresh_token(*, used_at: int | None = None) -> RefreshToken:
    return RefreshToken(
        hash=SecretHash(b"h"),
        client=ClientId("particle"),
        principal=Principal(PrincipalKind.USER, "u"),
        scope=None,
        family="f",
        access_lifetime_s=3600,
        issued_at=NOW,
        expires_at=Millis(NOW + DAY),
        used_at=None if used_at is None else Millis(used_at),
    )


@pytest.mark.parametrize(
    ("used", "successor", "after", "expected"),
    [
        (False, None, 0, Rotation.ROTATE),
        (False, None, DAY - 1, Rotation.ROTATE),
        (False, None, DAY, Rotation.EXPIRED),
        (True, Successor(is_used=False), 30 * SECOND, Rotation.REPEAT),
        (True, Successor(is_used=False), 30 * SECOND + 1, Rotation.REPLAYED),
        (True, Successor(is_used=True), 0, Rotation.REPLAYED),
        (True, Successor(is_used=True), 2 * DAY, Rotation.REPLAYED),
        (True, None, 30 * SECOND, Rotation.FORGOTTEN),
        (True, None, 30 * SECOND + 1, Rotation.REPLAYED),
        (True, None, 2 * DAY, Rotation.REPLAYED),
    ],
)
def test_what_becomes_of_a_refresh_token(used, successor, after, expected) -> None:
    token = _refresh_token(used_at=NOW if used else None)
    assert rotation(token, successor, Millis(NOW + after), grace_s=30) is expected


@pytest.mark.parametrize(
    ("uri", "is_safe"),
    [
        *(
            (uri, True)
            for uri in ("https://app.example.com/setup", "https://a.example:8443/?x=1", "com.example.app:/cb")
        ),
        *((uri, True) for uri in ("http://localhost:3000/cb", "http://127.0.0.1/", "http://[::1]:8080/cb")),
        *(
            (uri, False)
            for uri in ("http://app.example.com/", "http://127.0.0.1.example.com/", "http://localhost@a.b/")
        ),
        *((uri, False) for uri in ("javascript:alert(1)", "data:text/html,x", "//a.example", "/cb", "https://", "x")),
        *((uri, False) for uri in ("https://a.example/\r\nSet-Cookie: a=b", "https://a.example/ b", "https://[::1")),
        *((uri, False) for uri in ("https://a.example/#x", "https://" + "a" * 2048, "https://ä.example")),
    ],
)
def test_where_tokens_may_be_sent(uri, is_safe) -> None:
    assert redirect_is_safe(uri) is is_safe
