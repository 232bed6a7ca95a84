"""Authorization codes and the implicit flow: from a client's request to the redirect that answers it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloudchamber.clock import Clock, Millis
from cloudchamber.ids import ClientId, hash_secret, new_id, new_token
from cloudchamber.oauth.clients import Clients
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import DEFAULT_LIFETIME_S, Client, Principal
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.oauth.web.model import AuthorizationCode, AuthorizationRequest, BrowserSession, Consent, ResponseType
from cloudchamber.oauth.web.rules import (
    CODE_LIFETIME_MS,
    Exchange,
    Presented,
    Refusal,
    asked,
    client_asked,
    code_redirect,
    error_redirect,
    exchange,
    redirect_of,
    token_redirect,
)
from cloudchamber.oauth.web.store import AuthorizationCodeStore, ConsentStore
from cloudchamber.storage.database import Database, Transaction

_IMPLICIT_LIFETIME_S = DEFAULT_LIFETIME_S


class RefusedByRedirect(Exception):
    """The client is right and its request is not: `url` takes the error to it."""

    def __init__(self, url: str) -> None:
        super().__init__("refused by redirect")
        self.url = url


@dataclass(frozen=True, slots=True)
class Asked:
    client: Client
    request: AuthorizationRequest


class Authorization:
    def __init__(
        self,
        db: Database,
        codes: AuthorizationCodeStore,
        consents: ConsentStore,
        clients: Clients,
        tokens: Tokens,
        clock: Clock,
        issuer: str,
        *,
        allows_implicit: bool,
        compat_uses: Counter[str],
    ) -> None:
        self._db = db
        self._codes = codes
        self._consents = consents
        self._clients = clients
        self._tokens = tokens
        self._clock = clock
        self.issuer = issuer
        self._allows_implicit = allows_implicit
        self._compat_uses = compat_uses

    async def check(self, params: Mapping[str, str]) -> Asked:
        """What a client asks for.

        Raises OAuthError where nothing may be sent anywhere, RefusedByRedirect after that.
        """
        client_id = client_asked(params, allows_implicit=self._allows_implicit)
        client = await self._clients.find(client_id)
        redirect_uri = redirect_of(params, client)
        assert client is not None, "only a known client has a redirect"
        try:
            return Asked(client, asked(params, client, redirect_uri))
        except Refusal as error:
            raise RefusedByRedirect(
                self._error(redirect_uri, params.get("response_type"), error, params.get("state"))
            ) from error

    def deny(self, asked_for: Asked) -> str:
        """Where a person goes who said no."""
        request = asked_for.request
        refusal = Refusal("access_denied", "The user denied access to your application")
        return self._error(request.redirect_uri, request.response_type, refusal, request.state)

    async def approve(self, asked_for: Asked, session: BrowserSession) -> str:
        """Where a person goes who said yes. What they allowed is on record, to be looked at and taken back.

        Raises OAuthError (invalid_grant) when the account's log-ins ended while they thought about it.
        """
        principal = session.principal
        request, client = asked_for.request, asked_for.client
        now = self._clock.now()
        if request.response_type is ResponseType.TOKEN:
            issued = await self._tokens.issue(
                client,
                principal,
                request.scope,
                _IMPLICIT_LIFETIME_S,
                with_refresh=False,
                began=session.created_at,
            )
            await self._remember(principal, client.id, request.scope, now)
            self._compat_uses["implicit_grant"] += 1
            return token_redirect(request, issued.access_token, issued.expires_in)
        secret = new_token()
        code = AuthorizationCode(
            hash=hash_secret(secret),
            client=client.id,
            principal=principal,
            scope=request.scope,
            redirect_uri=request.redirect_uri if request.is_redirect_given else None,
            code_challenge=request.code_challenge,
            expires_at=Millis(now + CODE_LIFETIME_MS),
            used_at=None,
            family=new_id(),
        )

        async def write(tx: Transaction) -> None:
            await self._tokens.require_counts(tx, principal, session.created_at)
            await self._codes.insert(tx, code)
            await self._consents.put(tx, principal, client.id, request.scope, now)

        await self._db.transaction(write)
        return code_redirect(request, secret, self.issuer)

    async def redeem(self, client: Client, secret: str, presented: Presented) -> AuthorizationCode:
        """A code that is good, used up now. Raises OAuthError (invalid_grant)."""
        hash_ = hash_secret(secret)
        now = self._clock.now()

        async def write(tx: Transaction) -> tuple[Exchange, AuthorizationCode | None]:
            code = await self._codes.by_hash(tx, hash_)
            verdict = exchange(code, presented, now)
            # A code is spent by every attempt of its own client: a wrong verifier gets no second guess.
            is_spent = verdict in {Exchange.GOOD, Exchange.VERIFIER_WRONG, Exchange.OTHER_REDIRECT}
            if is_spent and not await self._codes.mark_used(tx, hash_, now):
                verdict = Exchange.REPLAYED
            if verdict is Exchange.REPLAYED:
                await self._codes.spoil(tx, hash_)
            return verdict, code

        verdict, code = await self._db.transaction(write)
        match verdict:
            case Exchange.GOOD:
                assert code is not None, "only a code is good"
                return code
            case Exchange.EXPIRED:
                raise OAuthError("invalid_grant", "Code has expired")
            case Exchange.REPLAYED:
                assert code is not None, "what was used is known"
                await self._tokens.revoke_family(code.family)
                raise OAuthError("invalid_grant", "Invalid code", detail=f"used twice: {code.family} is revoked")
            case Exchange.NEEDS_SECRET:
                raise OAuthError("invalid_grant", "This code needs code_verifier (PKCE), or the client's secret")
            case _:
                raise OAuthError("invalid_grant", "Invalid code", detail=verdict.name)

    # -- what people allowed ------------------------------------------------------------------------------------------

    async def consents(self, principal: Principal) -> Sequence[Consent]:
        return await self._consents.of_principal(self._db, principal)

    async def take_back(self, principal: Principal, client: ClientId) -> None:
        """Ends every token that the client has for this person."""

        async def write(tx: Transaction) -> None:
            await self._consents.delete(tx, principal, client)

        await self._db.transaction(write)
        await self._tokens.revoke_of_client(principal, client)

    async def remember(self, principal: Principal, client: ClientId, scope: str | None) -> None:
        await self._remember(principal, client, scope, self._clock.now())

    async def _remember(self, principal: Principal, client: ClientId, scope: str | None, now: Millis) -> None:
        async def write(tx: Transaction) -> None:
            await self._consents.put(tx, principal, client, scope, now)

        await self._db.transaction(write)

    async def purge(self) -> int:
        now = self._clock.now()

        async def delete(tx: Transaction) -> int:
            return await self._codes.delete_expired(tx, now)

        return await self._db.transaction(delete)

    def _error(self, redirect_uri: str, response_type: str | None, refusal: Refusal, state: str | None) -> str:
        return error_redirect(
            redirect_uri,
            refusal.error,
            refusal.description,
            state,
            self.issuer,
            in_fragment=response_type == ResponseType.TOKEN,
        )
