"""OAuth clients."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Maybe, Secret

ScopeNames = Annotated[Any, Meta(description="Names with blanks between them, a list of names, or an object of them.")]

PasswordGrant = Annotated[bool, Meta(description="May people log in with their password through it?")]


class OAuthClient(Struct):
    """`secret` is shown once, when the client is made."""

    name: str
    type: str
    id: str
    secret: Secret | Maybe = UNSET
    redirect_uri: str | Maybe = UNSET
    scope: str | Maybe = UNSET
    product_id: int | Maybe = UNSET
    org_id: str | Maybe = UNSET
    password_grant: Annotated[bool, Meta(description="Shown where it is false.")] | Maybe = UNSET


class OAuthClientList(Struct):
    ok: bool
    clients: list[OAuthClient]


class OAuthClientAnswer(Struct):
    ok: bool
    client: OAuthClient


class NewOAuthClient(Struct):
    """`redirect_uri` is required for a client of type `web`."""

    name: str
    type: Annotated[str, Meta(description="`installed` or `web`.", examples=["installed"])]
    redirect_uri: str | Maybe = UNSET
    scope: ScopeNames | Maybe = UNSET
    password_grant: PasswordGrant | Maybe = UNSET


class NewOwnClient(NewOAuthClient):
    organization: Annotated[str, Meta(description="An organization's slug: the client acts for it.")] | Maybe = UNSET


class OAuthClientChanges(Struct):
    name: str | Maybe = UNSET
    scope: Annotated[Any, Meta(description="As at creation; `none` clears it.")] | Maybe = UNSET
    password_grant: PasswordGrant | Maybe = UNSET
