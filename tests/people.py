"""Log-ins in the strict profile, which has no password grant: what an operator does through the services."""

from cloudchamber.access.requester import User
from cloudchamber.app import Cloud
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
