"""`/oauth/forgot` and `/oauth/reset`: a new password by mail."""

from typing import Any, Protocol
from urllib.parse import urlencode

from cloudchamber.api.call import Call
from cloudchamber.api.pages.account import BRAND, People
from cloudchamber.api.pages.shell import Realm, Shell, Visit
from cloudchamber.errors import CloudError
from cloudchamber.identity.resets import PasswordResets
from cloudchamber.ids import ProductId

FORGOT_PATH = "/oauth/forgot"
RESET_PATH = "/oauth/reset"
_SENT = "If there is an account with this address, a mail with a link is on its way to it."


class CustomerResets(Protocol):
    """Resets of a product's customers."""

    async def request(self, product: ProductId, username: str) -> None:
        """The same for an unknown name, in the same time."""
        ...

    async def complete(self, token: str, password: str) -> object:
        """Raises ResetTokenInvalid, PasswordUnusable."""
        ...


class PasswordPages:
    def __init__(
        self, shell: Shell, people: People, resets: PasswordResets, customer_resets: CustomerResets | None
    ) -> None:
        self._shell = shell
        self._people = people
        self._resets = resets
        self._customer_resets = customer_resets

    async def forgot(self, call: Call) -> Any:
        """GET and POST."""
        visit: Visit | None = None
        realm = Realm("users", BRAND)
        try:
            visit = self._shell.visit(call)
            client = await self._people.client(visit.query.get("client_id", ""))
            realm = await self._people.realm(client)
            done = None
            if call.req.method == "POST":
                name = visit.form.get("username", "")
                if client.product is None:
                    await self._resets.request(name)
                elif self._customer_resets is not None:
                    await self._customer_resets.request(client.product, name)
                done = _SENT
            return self._shell.page(
                visit,
                "forgot.html",
                title="A new password",
                brand=realm.brand,
                done=done,
                action=f"{FORGOT_PATH}?{urlencode(visit.query)}",
                username="",
                sign_in_url=_own_path(visit.query.get("back")),
            )
        except CloudError as error:
            return self._shell.failure(visit, error, realm.brand)

    async def reset(self, call: Call) -> Any:
        """GET and POST; the mailed token is the credential."""
        visit: Visit | None = None
        try:
            visit = self._shell.visit(call)
            token = visit.form.get("token", "") or visit.query.get("token", "")
            error, done = None, None
            if call.req.method == "POST":
                try:
                    await self._complete(visit, token)
                    done = "The new password is set. Sign in with it."
                except CloudError as refused:
                    if refused.status >= 429:
                        raise
                    error = refused.message
            return self._shell.page(
                visit,
                "reset.html",
                title="Choose a new password",
                brand=BRAND,
                status=200 if error is None else 400,
                error=error,
                done=done,
                action=RESET_PATH,
                token=token,
                shortest=self._people.shortest_password,
                sign_in_url=None,
            )
        except CloudError as failed:
            return self._shell.failure(visit, failed, BRAND)

    async def _complete(self, visit: Visit, token: str) -> None:
        password = visit.form.get("password", "")
        if self._customer_resets is not None and visit.form.get("kind") == "customer":
            await self._customer_resets.complete(token, password)
        else:
            await self._resets.complete(token, password)


def _own_path(back: str | None) -> str | None:
    """Only a path of this server: a link elsewhere would lend our page to somebody's trick."""
    is_own = back is not None and back.startswith("/") and not back.startswith(("//", "/\\"))
    return back if is_own else None
