"""`/oauth/forgot` and `/oauth/reset`: a new password by mail."""

from typing import Any
from urllib.parse import urlencode

from cloudchamber.api.call import Call
from cloudchamber.api.pages.account import BRAND, People
from cloudchamber.api.pages.shell import Realm, Shell, Visit
from cloudchamber.errors import CloudError
from cloudchamber.identity.customer_accounts import CustomerAccounts
from cloudchamber.identity.resets import PasswordResets

FORGOT_PATH = "/oauth/forgot"
RESET_PATH = "/oauth/reset"
_SENT = "If there is an account with this address, a mail with a link is on its way to it."


class PasswordPages:
    def __init__(
        self, shell: Shell, people: People, resets: PasswordResets, customer_accounts: CustomerAccounts
    ) -> None:
        self._shell = shell
        self._people = people
        self._resets = resets
        self._customer_accounts = customer_accounts

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
                if client.product is None and client.organization is None:
                    await self._resets.request(name)
                else:
                    await self._customer_accounts.request_reset(client.product, client.organization, name, realm.brand)
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
            kind = visit.form.get("kind", "") or visit.query.get("kind", "")
            error, done = None, None
            if call.req.method == "POST":
                try:
                    await self._complete(visit, token, kind)
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
                kind=kind,
                shortest=self._people.shortest_password,
                sign_in_url=None,
            )
        except CloudError as failed:
            return self._shell.failure(visit, failed, BRAND)

    async def _complete(self, visit: Visit, token: str, kind: str) -> None:
        """`kind` says whose link it is: a token opens nothing of the other kind."""
        password = visit.form.get("password", "")
        if kind == "customer":
            await self._customer_accounts.complete_reset(token, password)
        else:
            await self._resets.complete(token, password)


def _own_path(back: str | None) -> str | None:
    """Only a path of this server: a link elsewhere would lend our page to somebody's trick."""
    is_own = back is not None and back.startswith("/") and not back.startswith(("//", "/\\"))
    return back if is_own else None
