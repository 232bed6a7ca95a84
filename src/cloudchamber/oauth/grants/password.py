"""`grant_type=password` (RFC 6749 4.3): users, and customers when the client belongs to their
product or organization.

RFC 9700 forbids this grant; every client of the vendor logs in with it. The switch `compat.password_grant` turns it
off.
"""

from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.identity.service import Customers, Users
from cloudchamber.oauth.errors import OAuthError, user_credentials_invalid
from cloudchamber.oauth.grants.model import Form, Granted
from cloudchamber.oauth.model import Client, Principal, PrincipalKind, customer_principal
from cloudchamber.oauth.rules import customer_scope


class PasswordGrant:
    def __init__(self, users: Users, customers: Customers, factors: SecondFactors) -> None:
        self._users = users
        self._customers = customers
        self._factors = factors

    async def grant(self, client: Client, form: Form) -> Granted:
        """Raises OAuthError."""
        username, password = form.get("username"), form.get("password")
        if not username or not password:
            raise OAuthError(
                "invalid_client",
                'Missing parameters. "username" and "password" are required',
                standard=(400, "invalid_request"),
            )
        if client.product is not None or client.organization is not None:
            customer = await self._customers.with_password(client.product, username, password, client.organization)
            if customer is None:
                raise user_credentials_invalid()
            return Granted(customer_principal(customer), customer_scope(customer.username))
        user = await self._users.with_password(username, password)
        if user is None:
            raise user_credentials_invalid()
        principal = Principal(PrincipalKind.USER, user.id)
        return Granted(principal, None, needs_second_factor=await self._factors.is_on(user.id))
