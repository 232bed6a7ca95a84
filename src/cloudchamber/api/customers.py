"""Customers of a product, or of an organization: creation, by three kinds of credentials, and the list."""

from typing import Any, ClassVar
from urllib.parse import urlencode

from cloudchamber.access.model import Action, OrganizationResource, OwnedByCustomer, ProductResource
from cloudchamber.access.requester import Bearer, describe
from cloudchamber.access.service import require
from cloudchamber.api import render
from cloudchamber.api.call import Call, Implicit
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.paging import paging
from cloudchamber.api.places import Places
from cloudchamber.api.reply import Reply
from cloudchamber.errors import CloudError
from cloudchamber.fleet.service import Devices
from cloudchamber.identity.customer_accounts import CustomerAccounts
from cloudchamber.identity.errors import CredentialsMissing
from cloudchamber.identity.model import CustomerAccount
from cloudchamber.identity.service import Customers
from cloudchamber.oauth.clients import Clients
from cloudchamber.oauth.errors import OAuthError, client_unknown
from cloudchamber.oauth.model import Issued, customer_principal
from cloudchamber.oauth.rules import customer_scope
from cloudchamber.oauth.tokens import Tokens


class EmailMissing(CredentialsMissing):
    code: ClassVar[str] = "email_missing"


class CustomersResource:
    def __init__(
        self,
        customers: Customers,
        accounts: CustomerAccounts,
        places: Places,
        devices: Devices,
        clients: Clients,
        tokens: Tokens,
    ) -> None:
        self._accounts = accounts
        self._customers = customers
        self._places = places
        self._devices = devices
        self._clients = clients
        self._tokens = tokens

    async def create(self, call: Call, requester: Bearer) -> Any:
        """201 with the new customer's token; for a web client that asked so, a redirect that carries it."""
        implicit = call.implicit
        if implicit is None or implicit.redirect_uri is None:
            return render.token_answer(await self._create(call, requester), 201)
        try:
            issued = await self._create(call, requester)
        except CloudError as error:
            if error.status >= 500:
                raise
            return _redirect(implicit, "&" if "?" in implicit.redirect_uri else "?", _error_parameters(error))
        # `token`, not `access_token`: the vendor's own name in this one place.
        return _redirect(implicit, "#", {"token": issued.access_token})

    async def _create(self, call: Call, requester: Bearer) -> Issued:
        data = call.data
        pool = await self._places.of(call, requester)
        # First of all: what else is wrong with the request is no business of those who may not make it.
        require(requester, Action.CUSTOMERS_CREATE, pool)
        email = data.text("email")
        if not email:
            raise EmailMissing("email is required")
        password = data.text("password") or None
        if data.flag("no_password"):
            if call.implicit is not None:
                # Everybody has a web client's id: without a password, they could make anybody's account and its token.
                raise EmailMissing("password is required: a web client's id alone makes no shadow customers")
            password = None
        elif password is None:
            raise EmailMissing("password is required, or no_password=true for a customer who does not log in")
        client = await self._clients.find(requester.client)
        if client is None:
            raise client_unknown()
        lifetime = await self._tokens.lifetime_s(client, data.text("expires_in"), data.text("expires_at"))
        customer = await self._customers.create(requester, pool, email, password)
        return await self._tokens.issue(
            client,
            customer_principal(customer),
            customer_scope(customer.username),
            lifetime,
            created_by=describe(requester),
        )

    async def set_password(self, call: Call, requester: Bearer) -> Any:
        pool = await self._places.of(call, requester)
        password = call.data.text("password") or ""
        await self._accounts.set_password(requester, pool, call.params["customer"], password)
        return {"ok": True}

    async def remove(self, call: Call, requester: Bearer) -> Any:
        pool = await self._places.of(call, requester)
        await self._accounts.remove(requester, pool, call.params["customer"])
        return {"ok": True}

    async def reset_password(self, call: Call, requester: Bearer) -> Any:
        """The same answer whether there is such a customer or not."""
        pool = await self._places.of(call, requester)
        require(requester, Action.CUSTOMERS_CREATE, pool)
        product = await self._places.product(call) if isinstance(pool, ProductResource) else None
        organization = pool.id if isinstance(pool, OrganizationResource) else None
        brand = product.brand if product is not None else (await self._places.organization(call)).name
        await self._accounts.request_reset(
            product.id if product is not None else None, organization, call.data.text("email") or "", brand
        )
        return {"ok": True}

    async def list(self, call: Call, requester: Bearer) -> Any:
        page, per_page = paging(call.query)
        pool = await self._places.of(call, requester)
        found, total = await self._customers.of(
            requester, pool, page=page, per_page=per_page, everybody=bool(call.query.flag("all"))
        )
        records = await self._devices.of_customers([customer.id for customer in found])
        if isinstance(pool, ProductResource):
            # A customer of the organization may own devices of its other products, which this one's team does not see.
            records = [record for record in records if record.product == pool.id]
        views = await self._devices.views(records)
        owned: dict[str, list[str]] = {}
        for record in records:
            if isinstance(record.owner, OwnedByCustomer):
                owned.setdefault(record.owner.id, []).append(record.id)
        return {
            "customers": [_customer(customer, owned.get(customer.id, [])) for customer in found],
            "devices": [
                {
                    "id": view.record.id,
                    "product_id": view.record.shown_product_id,
                    "last_ip_address": view.record.last_ip,
                    "firmware_version": view.record.firmware_version,
                    "online": view.is_online,
                }
                for view in views
            ],
            "meta": render.pages(total, per_page),
        }


def _customer(customer: CustomerAccount, devices: "list[str]") -> dict[str, Any]:
    return {"id": customer.id, "full_name": "", "username": customer.username, "devices": devices}


def _redirect(implicit: Implicit, joint: str, parameters: dict[str, str]) -> Reply:
    if implicit.state is not None:
        parameters = {**parameters, "state": implicit.state}
    return Reply(None, 302, (*NO_STORE, ("location", f"{implicit.redirect_uri}{joint}{urlencode(parameters)}")))


def _error_parameters(error: CloudError) -> dict[str, str]:
    code = error.error if isinstance(error, OAuthError) else "invalid_request"
    return {"error": code, "error_description": error.message}
