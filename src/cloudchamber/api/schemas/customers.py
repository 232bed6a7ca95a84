"""Customers of a product."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Anything, DeviceId, Maybe, ObjectId, Page, Pages


class NewCustomer(Struct):
    """`password`, or `no_password` for a shadow customer, who does not log in. A client's id and secret come by Basic
    or in the body; with `response_type=token` a web client's id is enough, and the token comes by redirect."""

    email: Annotated[str, Meta(examples=["jane@example.com"])]
    password: str | Maybe = UNSET
    no_password: bool | Maybe = UNSET
    account_info: Anything | Maybe = UNSET
    expires_in: int | Maybe = UNSET
    expires_at: str | Maybe = UNSET
    client_id: str | Maybe = UNSET
    client_secret: str | Maybe = UNSET
    response_type: str | Maybe = UNSET
    redirect_uri: str | Maybe = UNSET
    state: str | Maybe = UNSET


class CustomerPassword(Struct):
    password: str


class CustomerReset(Struct):
    email: Annotated[str, Meta(examples=["jane@example.com"])]
    client_id: str | Maybe = UNSET
    client_secret: str | Maybe = UNSET


class CustomersQuery(Page):
    all: Annotated[bool, Meta(description="Also those who own no device.")] = False


class Customer(Struct):
    id: ObjectId
    full_name: str
    username: str
    devices: list[DeviceId]


class CustomersDevice(Struct):
    id: DeviceId
    product_id: int | None
    last_ip_address: str | None
    firmware_version: int | None
    online: bool


class CustomerList(Struct):
    customers: list[Customer]
    devices: list[CustomersDevice]
    meta: Pages
