"""Tokens."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Date, Maybe, Secret


class Grant(Struct):
    """A form. The client's id and secret come by Basic, or as `client_id` and `client_secret`."""

    grant_type: Annotated[
        str,
        Meta(
            description="`password`, `client_credentials`, `refresh_token`, `urn:custom:mfa-otp`,"
            " `urn:custom:recovery-code`",
            examples=["password"],
            max_length=200,
        ),
    ]
    username: str | Maybe = UNSET
    password: str | Maybe = UNSET
    refresh_token: str | Maybe = UNSET
    scope: Annotated[str, Meta(description="`customer=<email>`, for a customer's token.")] | Maybe = UNSET
    expires_in: Annotated[int, Meta(description="Seconds; 0: never.", examples=[7_776_000])] | Maybe = UNSET
    expires_at: Annotated[str, Meta(description="A date, instead of `expires_in`.")] | Maybe = UNSET
    mfa_token: Annotated[str, Meta(description="Of the first step of a log-in.")] | Maybe = UNSET
    otp: str | Maybe = UNSET
    recovery_code: str | Maybe = UNSET
    client_id: str | Maybe = UNSET
    client_secret: str | Maybe = UNSET


class Token(Struct):
    """A fresh token. One that never expires has no refresh token."""

    token_type: Literal["bearer"]
    access_token: Secret
    expires_in: Annotated[int, Meta(description="Seconds; 0: never.")]
    refresh_token: Secret | Maybe = UNSET
    scope: str | Maybe = UNSET


class ListedToken(Struct):
    """`token` is whole where the server keeps tokens for this list, else its end."""

    token: str
    expires_at: Date | None
    client: str


class CurrentToken(Struct):
    expires_at: Date | None
    client: str
    client_id: str
    scopes: list[str]
    orgs: list[str]
