"""Tokens."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Date, Maybe, Open, Page, Pages, Secret


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


class TokenInQuestion(Struct):
    """A form. The client's id and secret come by Basic, or as `client_id` and `client_secret`."""

    token: Annotated[str, Meta(description="An access token or a refresh token.")]
    token_type_hint: Annotated[str, Meta(description="Not needed.")] | Maybe = UNSET
    client_id: str | Maybe = UNSET
    client_secret: str | Maybe = UNSET


class Introspection(Struct):
    """`active` alone for every token that is not good, or that the client may not see. Times in seconds since 1970."""

    active: bool
    client_id: str | Maybe = UNSET
    token_type: str | Maybe = UNSET
    sub: Annotated[str, Meta(description="Whom it acts for: a user's, customer's or client's id.")] | Maybe = UNSET
    principal: Annotated[str, Meta(description="The kind of `sub`.")] | Maybe = UNSET
    scope: str | Maybe = UNSET
    iat: int | Maybe = UNSET
    exp: int | Maybe = UNSET
    product_id: int | Maybe = UNSET


class ListedToken(Struct):
    """`token` is whole where the server keeps tokens for this list, else its hash's first digits: enough to end it.

    A refresh token can be used until `refresh_expires_at`, and none of the same log-in after `log_in_ends_at`.
    """

    token: str
    expires_at: Date | None
    client: str
    created_at: Date
    created_by: Annotated[str, Meta(description="Who asked for it.", examples=["user:5aa86b2b3dd14b3a6b000000"])] | None
    last_used_at: Date | None
    last_used_ip: str | None
    refresh_expires_at: Date | None
    log_in_ends_at: Date | None


class ProductToken(ListedToken):
    acts_for: Annotated[str, Meta(examples=["customer:5aa86b2b3dd14b3a6b000000"])]


class ProductTokenList(Struct):
    access_tokens: list[ProductToken]
    meta: Pages


class ProductTokens(Page):
    endless: Annotated[bool, Meta(description="Only those that never expire.")] = False


class CurrentToken(Struct):
    expires_at: Date | None
    client: str
    client_id: str
    scopes: list[str]
    orgs: list[str]


class ServerMetadata(Struct):
    """RFC 8414 section 2."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    device_authorization_endpoint: str
    response_types_supported: list[str]
    response_modes_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    code_challenge_methods_supported: list[str]
    authorization_response_iss_parameter_supported: bool
    request_uri_parameter_supported: bool
    service_documentation: str


class NewDeviceAuthorization(Struct):
    """RFC 8628 3.1; the client's secret where it has one."""

    client_id: str
    client_secret: str | Maybe = UNSET
    scope: str | Maybe = UNSET


class DeviceAuthorization(Struct):
    """RFC 8628 3.2; times in seconds."""

    device_code: str
    user_code: Annotated[str, Meta(examples=["BCDF-GHJK"])]
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class SetupToken(Struct):
    access_token: Secret
    expires_in: int


class PageForm(Open):
    """A hosted page's form; it comes from the page itself."""

    csrf: str
    step: str | Maybe = UNSET
