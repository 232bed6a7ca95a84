"""`/setup`: a customer sets a new device up and sees their devices, with nothing but a browser.

The page is a static script; what it needs of the server is a token for the customer who is signed in. It gets one that
lives as long as a visit, by its session's cookie and its form's value, and keeps it in memory.
"""

from typing import Any, Final
from urllib.parse import urlencode

from cloudchamber.api.call import Call
from cloudchamber.api.pages.account import BRAND, People
from cloudchamber.api.pages.shell import Realm, Shell, Visit
from cloudchamber.api.pages.sign_in import Place, SignIn
from cloudchamber.api.reply import Reply
from cloudchamber.errors import CloudError
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import Client
from cloudchamber.oauth.rules import customer_scope
from cloudchamber.oauth.tokens import Tokens

PATH: Final = "/setup"
TOKEN_PATH: Final = "/setup/token"  # noqa: S105 - a path
_TOKEN_LIFETIME_S: Final = 3_600
_DEVICE_ADDRESS: Final = "192.168.0.1"


class SetupPages:
    def __init__(self, shell: Shell, people: People, sign_in: SignIn, tokens: Tokens) -> None:
        self._shell = shell
        self._people = people
        self._sign_in = sign_in
        self._tokens = tokens

    async def setup(self, call: Call) -> Any:
        """GET and POST."""
        visit: Visit | None = None
        realm = Realm("users", BRAND)
        try:
            visit = self._shell.visit(call)
            client = await self._products_client(visit)
            realm = await self._people.realm(client)
            action = f"{PATH}?{urlencode({'client_id': client.id})}"
            return await self._step(visit, Place(realm, client, action, "to set your devices up"))
        except CloudError as error:
            return self._shell.failure(visit, error, realm.brand)

    async def token(self, call: Call) -> Any:
        """POST, by the page's script. Raises OAuthError, FormForged."""
        visit = self._shell.visit(call)
        client = await self._products_client(visit)
        session = await self._people.current(visit, await self._people.realm(client))
        if session is None:
            raise OAuthError("invalid_token", "Nobody is signed in")
        name = await self._people.username(session.principal)
        assert name is not None, "whoever is signed in has an account"
        issued = await self._tokens.issue(
            client,
            session.principal,
            customer_scope(name),
            _TOKEN_LIFETIME_S,
            with_refresh=False,
            began=session.created_at,
        )
        return self._shell.json(visit, {"access_token": issued.access_token, "expires_in": issued.expires_in})

    async def _step(self, visit: Visit, place: Place) -> Reply:
        session = await self._sign_in.require(visit, place)
        if isinstance(session, Reply):
            return session
        return self._shell.page(
            visit,
            "setup.html",
            title="Devices",
            brand=place.realm.brand,
            reaches_devices=True,
            action=place.action,
            username=await self._people.username(session.principal),
            product=place.client.product,
            token_url=f"{TOKEN_PATH}?{urlencode({'client_id': place.client.id})}",
            device_address=_DEVICE_ADDRESS,
        )

    async def _products_client(self, visit: Visit) -> Client:
        """Raises OAuthError."""
        client = await self._people.client(visit.query.get("client_id", ""))
        if client.product is None:
            raise OAuthError("invalid_client", "This client_id is no product's: customers belong to products")
        return client
