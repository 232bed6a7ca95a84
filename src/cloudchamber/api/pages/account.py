"""Signing in, up and out on a hosted page, in the realm of the client that a page is about."""

import msgspec

from cloudchamber.access.model import OrganizationResource
from cloudchamber.access.requester import UNLIMITED, Anonymous, OrganizationClient, ProductClient, describe
from cloudchamber.api.auditing import log_in
from cloudchamber.api.limits import Limits
from cloudchamber.api.pages.shell import Realm, Shell, Visit
from cloudchamber.audit.model import Outcome
from cloudchamber.audit.service import AuditLog
from cloudchamber.fleet.products import Products
from cloudchamber.identity.errors import ChallengeUnknown, CodeWrong
from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.identity.rules import PasswordPolicy, check_password
from cloudchamber.identity.service import Customers, Users
from cloudchamber.ids import ClientId, CustomerId, UserId
from cloudchamber.oauth.clients import CONSOLE, Clients
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.model import DEFAULT_LIFETIME_S, Client, Principal, PrincipalKind, customer_principal
from cloudchamber.oauth.web.model import BrowserSession
from cloudchamber.oauth.web.sessions import BrowserSessions
from cloudchamber.organizations.service import Organizations

BRAND = "cloudchamber"


class NeedsCode(msgspec.Struct, frozen=True):
    """The password was right; a second factor is on."""

    mfa_token: str


class People:
    def __init__(
        self,
        shell: Shell,
        users: Users,
        customers: Customers,
        factors: SecondFactors,
        clients: Clients,
        products: Products,
        organizations: Organizations,
        sessions: BrowserSessions,
        policy: PasswordPolicy,
        limits: Limits | None,
        audit: AuditLog | None = None,
    ) -> None:
        self._shell = shell
        self._users = users
        self._customers = customers
        self._factors = factors
        self._clients = clients
        self._products = products
        self._organizations = organizations
        self._sessions = sessions
        self._policy = policy
        self._limits = limits
        self._audit = audit

    @property
    def shortest_password(self) -> int:
        return self._policy.min_length

    async def client(self, client_id: str) -> Client:
        """Raises OAuthError."""
        found = await self._clients.find(client_id) if client_id else None
        if found is None:
            raise OAuthError("invalid_client", "No application is known by this client_id")
        return found

    async def realm(self, client: Client) -> Realm:
        if client.product is not None:
            return Realm(f"p{client.product}", (await self._products.by_id(client.product)).brand)
        if client.organization is not None:
            return Realm(f"o{client.organization}", (await self._organizations.by_id(client.organization)).name)
        return Realm("users", BRAND)

    def may_sign_up(self, client: Client) -> bool:
        """Customers make their own account where the client is one that may make them; users in the console, where
        registration is open."""
        if client.id == CONSOLE:
            return self._users.is_open
        return _has_customers(client) and client.scopes.allow("customers:create")

    async def current(self, visit: Visit, realm: Realm) -> BrowserSession | None:
        """Who is signed in, as long as the account is there."""
        session = await self._sessions.find(self._shell.session_secret(visit, realm))
        if session is None or await self.username(session.principal) is None:
            return None
        visit.session = session
        return session

    async def username(self, principal: Principal) -> str | None:
        if principal.kind is PrincipalKind.CUSTOMER:
            customer = await self._customers.get(CustomerId(principal.id))
            return customer.username if customer is not None else None
        user = await self._users.get(UserId(principal.id))
        return user.username if user is not None else None

    async def sign_in(self, visit: Visit, client: Client, username: str, password: str) -> Principal | NeedsCode | None:
        """None where name or password is wrong. Raises TooManyRequests."""
        self._check_guess(visit)
        visit.began = self._sessions.now()
        if _has_customers(client):
            customer = await self._customers.with_password(client.product, username, password, client.organization)
            self._guessed(visit, right=customer is not None)
            return None if customer is None else customer_principal(customer)
        user = await self._users.with_password(username, password)
        self._guessed(visit, right=user is not None)
        if user is None:
            return None
        if await self._factors.is_on(user.id):
            log_in = (client.id, user.id, None, DEFAULT_LIFETIME_S)
            return NeedsCode(await self._factors.begin_log_in(*log_in, visit.began))
        return Principal(PrincipalKind.USER, user.id)

    async def second_factor(self, visit: Visit, client: Client, mfa_token: str, code: str) -> Principal:
        """A code of an app or a recovery code. Raises ChallengeUnknown, CodeWrong, TooManyRequests."""
        self._check_guess(visit)
        is_otp = code.strip().isdecimal()
        try:
            if is_otp:
                challenge = await self._factors.finish_with_code(client.id, mfa_token, code)
            else:
                challenge = await self._factors.finish_with_recovery_code(client.id, mfa_token, code)
        except (ChallengeUnknown, CodeWrong) as error:
            if error.is_wrong_guess:
                self._guessed(visit, right=False)
            raise
        self._guessed(visit, right=True)
        visit.began = challenge.created_at
        return Principal(PrincipalKind.USER, challenge.user)

    async def sign_up(self, client: Client, username: str, password: str) -> Principal:
        """Raises AccessRefused, CredentialsMissing, UsernameUnusable, PasswordUnusable, CustomerExists, UsernameTaken,
        RegistrationClosed."""
        if client.id == CONSOLE:
            user = await self._users.register(Anonymous(), username, password, {})
            return Principal(PrincipalKind.USER, user.id)
        check_password(password, self._policy, username)
        if client.product is not None:
            product = (await self._products.by_id(client.product)).resource(Anonymous())
            made = await self._customers.create(
                ProductClient(client.id, client.product, client.scopes), product, username, password
            )
        else:
            assert client.organization is not None, "who may not sign up is not asked to"
            made = await self._customers.create(
                OrganizationClient(client.id, client.organization, client.scopes),
                OrganizationResource(client.organization, None),
                username,
                password,
            )
        return customer_principal(made)

    async def begin(self, visit: Visit, realm: Realm, principal: Principal, *, is_remembered: bool) -> None:
        secret, session = await self._sessions.begin(principal, is_remembered=is_remembered, began=visit.began)
        visit.session = session
        who = describe(principal.requester(ClientId(""), UNLIMITED, None))
        log_in(self._audit, visit.call.req, f"page of {realm.name}", who)
        self._shell.keep_session(visit, realm, secret, is_remembered=is_remembered)

    async def sign_out(self, visit: Visit, realm: Realm, *, everywhere: bool = False) -> None:
        session = await self.current(visit, realm)
        if session is not None:
            if everywhere:
                await self._sessions.end_all(session.principal)
            else:
                await self._sessions.end(session)
        visit.session = None
        self._shell.drop_session(visit, realm)

    def _check_guess(self, visit: Visit) -> None:
        if self._limits is not None:
            self._limits.check_guess(visit.call.req)

    def _guessed(self, visit: Visit, *, right: bool) -> None:
        if self._limits is not None:
            self._limits.guessed(visit.call.req, right=right)
        if not right and self._audit is not None:
            self._audit.note("sign-in", Outcome.REFUSED, "anonymous", ip=visit.call.req.client_ip)


def _has_customers(client: Client) -> bool:
    return client.product is not None or client.organization is not None
