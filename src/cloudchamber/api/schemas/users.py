"""Accounts of people."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Anything, Date, Maybe, ObjectId

EndsLogIns = Annotated[
    bool | str, Meta(description="true: all tokens end; `others`: all but those of the log-in that asks.")
]
Email = Annotated[str, Meta(examples=["jane@example.com"])]


class NewUser(Struct):
    username: Email
    password: str
    account_info: Anything | Maybe = UNSET
    email: Annotated[str, Meta(description="Read where `username` is missing.")] | Maybe = UNSET


class Mfa(Struct):
    enabled: bool


class Profile(Struct):
    username: str
    subscription_ids: list[int]
    account_info: Anything
    mfa: Mfa
    wifi_device_count: int
    cellular_device_count: int
    scim_provisioned: bool
    no_password: bool


class ProfileChange(Struct):
    """One of three: `account_info`; `username` with `current_password`; `password` with `current_password`."""

    account_info: Annotated[Anything, Meta(description="Fields to change; null takes one away.")] | Maybe = UNSET
    username: Email | Maybe = UNSET
    password: str | Maybe = UNSET
    current_password: str | Maybe = UNSET
    invalidate_tokens: EndsLogIns | Maybe = UNSET


class AccountEnd(Struct):
    password: str


class Identity(Struct):
    """`id` is a user's or customer's; for a product's token, its client's."""

    id: str
    email: str | None


class MfaEnrolment(Struct):
    """`qr_url` is what an authenticator app scans as a QR code, `secret` what is typed into one that cannot."""

    mfa_token: str
    qr_url: str
    secret: str


class MfaConfirmation(Struct):
    mfa_token: str
    otp: Annotated[str, Meta(description="The app's first code.", examples=["123456"])]
    invalidate_tokens: EndsLogIns | Maybe = UNSET
    name: Annotated[str, Meta(description="What the app or its phone is called.")] | Maybe = UNSET
    current_password: Annotated[str, Meta(description="A must where the switch `mfa_by_token` is off.")] | Maybe = UNSET


class MfaEnrolled(Struct):
    """`recovery_codes` with the first app, and never again."""

    enrolled: bool
    recovery_codes: list[str] | Maybe = UNSET


class CurrentPassword(Struct):
    current_password: str
    invalidate_tokens: EndsLogIns | Maybe = UNSET


class MfaFactor(Struct):
    id: ObjectId
    name: str
    created_at: Date
    last_used_at: Date | None


class MfaFactors(Struct):
    factors: list[MfaFactor]
    recovery_codes_left: int


class RecoveryCodes(Struct):
    recovery_codes: list[str]


class ResetRequest(Struct):
    username: Email


class PasswordReset(Struct):
    """`token` is the one that was mailed."""

    token: str
    password: str
