"""How people log in: in the strict profile, which has no password grant, through the services as an operator does it;
and what their authenticator app shows."""

import base64
import time

from cloudchamber.access.requester import User
from cloudchamber.app import Cloud
from cloudchamber.identity.totp import STEP_S, hotp
from cloudchamber.ids import ClientId
from cloudchamber.oauth.model import Principal, PrincipalKind


async def token_without_password_grant(cloud: Cloud, username: str, password: str, lifetime_s: int = 3600) -> str:
    """A person's token, by a client of the person's own."""
    user = await cloud.users.with_password(username, password)
    assert user is not None
    client, _ = await cloud.clients.create(
        User(user.id, ClientId("")), None, name="own", type_="installed", redirect_uri=None, scope=None
    )
    issued = await cloud.tokens.issue(client, Principal(PrincipalKind.USER, user.id), None, lifetime_s)
    return issued.access_token


def code_of(secret: str, ahead: int = 0) -> str:
    """What an app shows now, or `ahead` steps from now (the server takes one)."""
    return hotp(base64.b32decode(secret), int(time.time()) // STEP_S + ahead)
