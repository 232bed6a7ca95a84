"""Accounts of people."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Anything, Maybe

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


class ResetRequest(Struct):
    username: Email


class PasswordReset(Struct):
    """`token` is the one that was mailed."""

    token: str
    password: str
