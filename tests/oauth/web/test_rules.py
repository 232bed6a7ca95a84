"""Pure rules of log-ins through a browser. Statements are those of the security checklist."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.clock import SECOND, Millis
from cloudchamber.ids import ClientId, ProductId, SecretHash
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Client, ClientType, Principal, PrincipalKind
from cloudchamber.oauth.web.model import (
    AuthorizationCode,
    AuthorizationRequest,
    DeviceGrant,
    GrantState,
    ResponseType,
)
from cloudchamber.oauth.web.rules import (
    CODE_LIFETIME_MS,
    USER_CODE_ALPHABET,
    Exchange,
    Poll,
    Presented,
    Refusal,
    asked,
    client_asked,
    code_redirect,
    error_redirect,
    exchange,
    poll,
    redirect_fits,
    redirect_of,
    s256,
    shown_user_code,
    slower,
    token_redirect,
    typed_user_code,
    user_code_from,
    verifier_fits,
)

NOW = Millis(1_600_000_000_000)
REDIRECT = "https://app.example/back?x=1"
# RFC 7636, appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
KIM = Principal(PrincipalKind.CUSTOMER, "k" * 24, ProductId(1))


def client(redirect_uri: str | None = REDIRECT, kind: ClientType = ClientType.WEB, scope: str | None = None) -> Client:
    return Client(
        id=ClientId("app-1"),
        secret_hash=None,
        name="App",
        type=kind,
        redirect_uri=redirect_uri,
        scope=scope,
        user=None,
        product=ProductId(1),
        is_builtin=False,
        is_enabled=True,
        created_at=NOW,
    )


PARAMS = {"response_type": "code", "client_id": "app-1", "redirect_uri": REDIRECT, "state": "s"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"response_type": ""}, 'Invalid response_type parameter (must be "code")'),
        ({"response_type": "id_token"}, 'Invalid response_type parameter (must be "code")'),
        ({"response_type": "token"}, 'Invalid response_type parameter (must be "code")'),
        ({"client_id": ""}, "Invalid or missing client_id parameter"),
        ({"client_id": "a b"}, "Invalid or missing client_id parameter"),
    ],
)
def test_the_first_checks_and_their_messages(change: dict[str, str], message: str) -> None:
    with pytest.raises(OAuthError) as caught:
        client_asked(PARAMS | change, allows_implicit=False)
    assert (caught.value.error, caught.value.message) == ("invalid_request", message)


def test_the_implicit_flow_is_a_switch() -> None:
    assert client_asked(PARAMS | {"response_type": "token"}, allows_implicit=True) == "app-1"


def test_where_answers_go() -> None:
    assert redirect_of(PARAMS, client()) == REDIRECT
    assert redirect_of({**PARAMS, "redirect_uri": ""}, client()) == REDIRECT
    for params, known, error, message in [
        (PARAMS, None, "invalid_client", "Invalid client credentials"),
        (PARAMS, client(None), "invalid_client", "Invalid client credentials"),
        ({**PARAMS, "redirect_uri": ""}, client(None), "invalid_request", "Invalid or missing redirect_uri parameter"),
        ({**PARAMS, "redirect_uri": REDIRECT + "/"}, client(), "invalid_request", "redirect_uri does not match"),
    ]:
        with pytest.raises(OAuthError) as caught:
            redirect_of(params, known)
        assert (caught.value.error, caught.value.message) == (error, message)


@pytest.mark.parametrize(
    "variant",
    [
        "https://app.example/back",
        "https://app.example/back?x=1/",
        "https://app.example/back?x=1&y=2",
        "https://app.example/back?x=1#f",
        "https://app.example/BACK?x=1",
        "https://APP.example/back?x=1",
        "https://app.example:443/back?x=1",
        "https://user@app.example/back?x=1",
        "https://app.example/b%61ck?x=1",
        "https://app.example/./back?x=1",
        "https://app.example.evil.example/back?x=1",
        "http://app.example/back?x=1",
        " https://app.example/back?x=1",
        "",
    ],
)
def test_23_a_redirect_is_compared_as_an_exact_string(variant: str) -> None:
    assert redirect_fits(client(), REDIRECT)
    assert not redirect_fits(client(), variant)


def test_24_native_apps_on_their_own_machine_come_by_any_port() -> None:
    native = client("http://127.0.0.1/cb", ClientType.INSTALLED)
    for good in ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb"):
        assert redirect_fits(native, good)
    for bad in (
        "http://127.0.0.1:1/",
        "http://127.0.0.1:1/cb?x",
        "http://127.0.0.1:1/cb#x",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:01/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1@evil.example/cb",
        "http://a@127.0.0.1:1/cb",
        "http://127.0.0.2:1/cb",
        "http://[::1]:1/cb",
        "http://localhost:1/cb",
        "https://127.0.0.1:1/cb",
        "http://evil.example:1/cb",
    ):
        assert not redirect_fits(native, bad), bad
    assert redirect_fits(client("http://[::1]:3/cb", ClientType.INSTALLED), "http://[::1]:9/cb")
    # A name may resolve to something else, and a web app has one port.
    assert not redirect_fits(client("http://localhost/cb", ClientType.INSTALLED), "http://localhost:9/cb")
    assert not redirect_fits(client("http://127.0.0.1/cb", ClientType.WEB), "http://127.0.0.1:9/cb")


def test_the_rest_of_a_request() -> None:
    request = asked(PARAMS | {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}, client(), REDIRECT)
    assert request == AuthorizationRequest(ResponseType.CODE, ClientId("app-1"), REDIRECT, True, "s", None, CHALLENGE)
    narrow = client(scope="devices:list devices:get")
    assert asked(PARAMS | {"scope": "devices:get"}, narrow, REDIRECT).scope == "devices:get"
    assert asked(PARAMS, narrow, REDIRECT).scope is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_challenge": CHALLENGE}, "invalid_request"),
        ({"code_challenge": CHALLENGE, "code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "S256"}, "invalid_request"),
        ({"code_challenge": "short", "code_challenge_method": "S256"}, "invalid_request"),
        ({"scope": "devices:list clients:create"}, "invalid_scope"),
        ({"state": "s" * 2_049}, "invalid_request"),
    ],
)
def test_26_what_is_refused_by_redirect(change: dict[str, str], error: str) -> None:
    with pytest.raises(Refusal) as caught:
        asked(PARAMS | change, client(scope="devices:list"), REDIRECT)
    assert caught.value.error == error


def test_26_pkce() -> None:
    assert s256(VERIFIER) == CHALLENGE
    assert verifier_fits(CHALLENGE, VERIFIER)
    for challenge, verifier in [
        (CHALLENGE, None),
        (CHALLENGE, ""),
        (CHALLENGE, VERIFIER[:-1]),
        (CHALLENGE, VERIFIER + "x"),
        (CHALLENGE, CHALLENGE),
        (CHALLENGE, "é" * 43),
        (None, VERIFIER),
        (None, None),
    ]:
        assert not verifier_fits(challenge, verifier)


def test_redirects_carry_what_they_have_to() -> None:
    request = AuthorizationRequest(ResponseType.CODE, ClientId("app-1"), REDIRECT, True, "a&b=c#d", None, None)
    found = parse_qs(urlsplit(code_redirect(request, "the-code", "https://cloud.example")).query)
    assert found == {"x": ["1"], "code": ["the-code"], "state": ["a&b=c#d"], "iss": ["https://cloud.example"]}
    implicit = token_redirect(replace(request, response_type=ResponseType.TOKEN), "f" * 40, 60)
    assert implicit.startswith(f"{REDIRECT}#token={'f' * 40}&state=a%26b%3Dc%23d&access_token=")
    denied = error_redirect(REDIRECT, "access_denied", "The user", None, "https://i", in_fragment=False)
    assert parse_qs(urlsplit(denied).query)["error"] == ["access_denied"]
    assert "state" not in denied
    assert "\n" not in code_redirect(replace(request, state="a\r\nb"), "c", "i")


CODE = AuthorizationCode(
    SecretHash(b"h"), ClientId("app-1"), KIM, None, REDIRECT, CHALLENGE, Millis(NOW + CODE_LIFETIME_MS), None, "family"
)
GOOD = Presented("app-1", REDIRECT, VERIFIER, has_secret=False)


@pytest.mark.parametrize(
    ("code", "presented", "now", "expected"),
    [
        (CODE, GOOD, NOW, Exchange.GOOD),
        (None, GOOD, NOW, Exchange.UNKNOWN),
        (CODE, replace(GOOD, client="other-1", has_secret=True), NOW, Exchange.UNKNOWN),
        (CODE, GOOD, NOW + CODE_LIFETIME_MS, Exchange.EXPIRED),
        (replace(CODE, used_at=NOW), GOOD, NOW, Exchange.REPLAYED),
        (replace(CODE, used_at=NOW), GOOD, NOW + CODE_LIFETIME_MS, Exchange.REPLAYED),
        (CODE, replace(GOOD, redirect_uri=REDIRECT + "x"), NOW, Exchange.OTHER_REDIRECT),
        (CODE, replace(GOOD, redirect_uri=None), NOW, Exchange.OTHER_REDIRECT),
        (CODE, replace(GOOD, redirect_uri=None, has_secret=True), NOW, Exchange.GOOD),
        (replace(CODE, redirect_uri=None), GOOD, NOW, Exchange.GOOD),
        (CODE, replace(GOOD, verifier=VERIFIER[::-1]), NOW, Exchange.VERIFIER_WRONG),
        (CODE, replace(GOOD, verifier=None, has_secret=True), NOW, Exchange.VERIFIER_WRONG),
        (replace(CODE, code_challenge=None), replace(GOOD, has_secret=True), NOW, Exchange.VERIFIER_WRONG),
        (replace(CODE, code_challenge=None), replace(GOOD, verifier=None, has_secret=True), NOW, Exchange.GOOD),
        (replace(CODE, code_challenge=None), replace(GOOD, verifier=None), NOW, Exchange.NEEDS_SECRET),
    ],
)
def test_27_when_a_code_becomes_tokens(
    code: AuthorizationCode | None, presented: Presented, now: int, expected: Exchange
) -> None:
    assert exchange(code, presented, Millis(now)) is expected


def test_27_a_code_lives_a_minute_at_the_most() -> None:
    assert CODE_LIFETIME_MS <= 60 * SECOND


WAITING = DeviceGrant(
    *(SecretHash(b"d"), SecretHash(b"u"), ClientId("cli-1"), None, GrantState.PENDING, None, 5, None),
    expires_at=Millis(NOW + 600_000),
)
APPROVED = replace(WAITING, state=GrantState.APPROVED, principal=KIM)


@pytest.mark.parametrize(
    ("grant", "client_id", "now", "expected"),
    [
        (None, "cli-1", NOW, Poll.UNKNOWN),
        (WAITING, "other-1", NOW, Poll.UNKNOWN),
        (WAITING, "cli-1", NOW, Poll.PENDING),
        (replace(WAITING, polled_at=NOW), "cli-1", NOW + 4_999, Poll.SLOW_DOWN),
        (replace(WAITING, polled_at=NOW), "cli-1", NOW + 5_000, Poll.PENDING),
        (replace(APPROVED, polled_at=NOW), "cli-1", NOW + 1_000, Poll.SLOW_DOWN),
        (APPROVED, "cli-1", NOW, Poll.GOOD),
        (APPROVED, "cli-1", NOW + 600_000, Poll.EXPIRED),
        (replace(WAITING, state=GrantState.DENIED), "cli-1", NOW, Poll.DENIED),
        (replace(APPROVED, state=GrantState.USED), "cli-1", NOW, Poll.UNKNOWN),
    ],
)
def test_31_what_a_waiting_device_hears(grant: DeviceGrant | None, client_id: str, now: int, expected: Poll) -> None:
    assert poll(grant, client_id, Millis(now)) is expected


def test_31_who_asks_too_often_is_slowed_down_more_and_more() -> None:
    assert [slower(interval) for interval in (5, 10, 58, 60)] == [10, 15, 60, 60]


def test_31_user_codes_are_not_guessed() -> None:
    assert len(USER_CODE_ALPHABET) ** 8 > 2**20
    assert shown_user_code("BCDFGHJK") == "BCDF-GHJK"
    for typed in ("BCDF-GHJK", "bcdfghjk", " bcdf ghjk "):
        assert typed_user_code(typed) == "BCDFGHJK"
    for no_code in ("", "BCDFGHJ", "BCDFGHJKL", "ABCDEFGH", "12345678", "BCDF-GHJé"):
        assert typed_user_code(no_code) is None


@given(st.binary(min_size=64, max_size=64))
def test_user_codes_are_letters_of_the_alphabet(draw: bytes) -> None:
    if sum(byte < 240 for byte in draw) >= 8:
        code = user_code_from(draw)
        assert typed_user_code(code) == code
