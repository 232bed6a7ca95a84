"""Where tokens may stand, and the exact refusals."""

import base64
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudchamber.api.auth import FORM, basic_credentials, bearer_in_header, bearer_token, client_credentials
from cloudchamber.oauth.errors import OAuthError

TOKEN = "0123456789abcdef0123456789abcdef01234567"
NOT_FOUND = "The access token was not found"
ONLY_ONE = "Only one method may be used to authenticate at a time (Auth header,  GET or POST)."
MALFORMED = "Malformed auth header"
NOT_GET = "Method cannot be GET When putting the token in the body."
NOT_FORM = "When putting the token in the body, content type must be application/x-www-form-urlencoded."


def token_of(
    *,
    method: str = "POST",
    header: str | None = None,
    query: dict[str, Any] | None = None,
    body: dict[str, Any] | None = None,
    content_type: str = FORM,
    allow_query: bool = True,
    allow_body: bool = True,
) -> str:
    return bearer_token(
        method, header, query or {}, body or {}, content_type, allow_query=allow_query, allow_body=allow_body
    )


@pytest.mark.parametrize(
    "where",
    [
        {"header": f"Bearer {TOKEN}"},
        {"header": f"Authorization: Bearer {TOKEN}"},
        {"header": f"bearer   {TOKEN}"},
        {"query": {"access_token": TOKEN}},
        {"query": {"access_token": TOKEN}, "method": "GET"},
        {"body": {"access_token": TOKEN}},
        {"body": {"access_token": TOKEN}, "method": "DELETE"},
    ],
)
def test_a_token_is_found_in_each_of_its_places(where: dict[str, Any]) -> None:
    assert token_of(**where) == TOKEN


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, NOT_FOUND),
        ({"query": {"access_token": ""}}, NOT_FOUND),
        ({"body": {"access_token": ""}}, NOT_FOUND),
        ({"header": f"Bearer {TOKEN}", "query": {"access_token": TOKEN}}, ONLY_ONE),
        ({"header": f"Bearer {TOKEN}", "body": {"access_token": TOKEN}}, ONLY_ONE),
        ({"query": {"access_token": TOKEN}, "body": {"access_token": TOKEN}}, ONLY_ONE),
        ({"header": "Basic eDp5", "query": {"access_token": TOKEN}}, ONLY_ONE),
        ({"header": "Basic eDp5"}, MALFORMED),
        ({"header": "Bearer"}, MALFORMED),
        ({"header": "Bearer "}, MALFORMED),
        ({"header": TOKEN}, MALFORMED),
        ({"header": f"Bearer {TOKEN},Bearer {TOKEN}"}, MALFORMED),
        ({"method": "GET", "body": {"access_token": TOKEN}}, NOT_GET),
        ({"method": "HEAD", "body": {"access_token": TOKEN}}, NOT_GET),
        ({"body": {"access_token": TOKEN}, "content_type": "application/json"}, NOT_FORM),
        ({"body": {"access_token": TOKEN}, "content_type": "multipart/form-data"}, NOT_FORM),
        ({"body": {"access_token": TOKEN}, "content_type": ""}, NOT_FORM),
        ({"query": {"access_token": [TOKEN, TOKEN]}}, "A parameter was sent more than once"),
        ({"body": {"access_token": {"a": TOKEN}}}, "A parameter was sent more than once"),
    ],
)
def test_every_other_request_is_refused_in_the_vendors_words(where: dict[str, Any], message: str) -> None:
    with pytest.raises(OAuthError) as refused:
        token_of(**where)
    assert (refused.value.error, refused.value.message, refused.value.http_status) == ("invalid_request", message, 400)


@pytest.mark.parametrize(
    "where",
    [
        {"query": {"access_token": TOKEN}, "allow_query": False},
        {"body": {"access_token": TOKEN}, "allow_body": False},
    ],
)
def test_a_switch_closes_a_place_and_says_where_else_to_put_the_token(where: dict[str, Any]) -> None:
    with pytest.raises(OAuthError, match="send an Authorization header") as refused:
        token_of(**where)
    assert "access token" not in refused.value.message, "the CLI would take it for a bad token and log out"


@given(st.text())
@example("Bearer \x00")
@example("BearerBearer x")
@example("Basic " + "=" * 1000)
def test_no_header_does_anything_but_give_a_token_or_the_one_refusal(header: str) -> None:
    try:
        token = bearer_in_header(header)
    except OAuthError as refused:
        token = refused.message
    assert token == MALFORMED or (token and not any(character.isspace() for character in token))
    credentials = basic_credentials(header)
    assert credentials is None or all(isinstance(part, str) for part in credentials)


@given(st.text().filter(lambda text: ":" not in text), st.text())
def test_basic_credentials_come_back_as_they_were_sent(user: str, password: str) -> None:
    header = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    assert basic_credentials(header) == (user, password)
    assert basic_credentials(header.rstrip("=")) == (user, password)


@given(st.binary())
def test_basic_credentials_of_any_bytes_do_not_raise(raw: bytes) -> None:
    found = basic_credentials("Basic " + base64.b64encode(raw).decode())
    assert (found is None) == (b":" not in raw)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer null", "Basic", "Basic !!!!", "Basic eHk=", "Basic eDp5,Basic eDp6"]
)
def test_what_is_no_basic_header_counts_as_none(header: str | None) -> None:
    """`Bearer null` is what the CLI sends when it logs in."""
    assert basic_credentials(header) is None


def test_the_token_endpoint_gets_plain_fields() -> None:
    basic, form = client_credentials("Basic eDp5", {"grant_type": "password", "scope": None})
    assert basic == ("x", "y")
    assert form == {"grant_type": "password"}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"grant_type": ["password", "password"]}, "Invalid or missing grant_type parameter"),
        ({"grant_type": {"a": "b"}}, "Invalid or missing grant_type parameter"),
        ({"grant_type": "password", "client_id": ["a", "b"]}, "A parameter was sent more than once"),
        ({"grant_type": "password", "username": ["a", "a"]}, "A parameter was sent more than once"),
    ],
)
def test_a_parameter_sent_twice_is_refused(form: dict[str, Any], message: str) -> None:
    with pytest.raises(OAuthError) as refused:
        client_credentials(None, form)
    assert (refused.value.error, refused.value.message) == ("invalid_request", message)
