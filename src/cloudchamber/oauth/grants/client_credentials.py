"""`grant_type=client_credentials` (RFC 6749 4.4), with the vendor's `scope=customer=<name>`.

Without a scope the token acts for the client's owner: its product, its organization, or its user. With it, a product's
or an organization's server speaks for one of its customers (two-legged authentication). A client's id or owner never
counts as somebody's name (RFC 9700 4.15): the principal's kind is part of every token.
"""

from cloudchamber.identity.service import Customers
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.grants.model import Form, Granted
from cloudchamber.oauth.model import Client, Principal, PrincipalKind, customer_principal
from cloudchamber.oauth.rules import customer_in, customer_scope


class ClientCredentialsGrant:
    def __init__(self, customers: Customers) -> None:
        self._customers = customers

    async def grant(self, client: Client, form: Form) -> Granted:
        """Raises OAuthError."""
        principal = _owner(client)
        if principal is None:
            raise OAuthError("invalid_grant", "Client credentials are invalid", detail="the client has no owner")
        username = customer_in(form.get("scope"))
        if username is None:
            return Granted(principal, None)
        # A client made for sign-ups alone must not become every customer of its product.
        if client.scopes.names is not None:
            raise OAuthError("invalid_scope", "Client scope does not allow this")
        # A product's client speaks for the product's own customers alone: one of its organization may own devices of
        # other products, which are none of its business.
        customer = await self._customers.find(client.product, username, client.organization)
        if customer is None:
            raise OAuthError("invalid_scope", "Customer not found")
        return Granted(customer_principal(customer), customer_scope(customer.username))


def _owner(client: Client) -> Principal | None:
    if client.product is not None:
        return Principal(PrincipalKind.PRODUCT, client.id, client.product)
    if client.organization is not None:
        return Principal(PrincipalKind.ORGANIZATION, client.id, organization=client.organization)
    return Principal(PrincipalKind.USER, client.user) if client.user is not None else None
