"""The domain of a cloud over a test's database: real stores, real services, a clock that is moved by hand, and devices
whose connection is a small object that records what it is asked."""

import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any

import pytest

from cloudchamber.access.requester import Bearer, Customer, ProductClient, User
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import FixedClock, Millis
from cloudchamber.fleet.connections import Connections
from cloudchamber.fleet.groups.service import Groups
from cloudchamber.fleet.groups.store import GroupStore
from cloudchamber.fleet.imports.service import Imports
from cloudchamber.fleet.imports.store import ImportStore
from cloudchamber.fleet.keys import DeviceKeys
from cloudchamber.fleet.lists.service import DeviceLists
from cloudchamber.fleet.lists.store import ListStore
from cloudchamber.fleet.model import DeviceRecord, Handshake, Product
from cloudchamber.fleet.ports import AnyFirmware
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.provisional import ProvisionalDevices
from cloudchamber.fleet.service import DEVICE_CHANGED, Devices
from cloudchamber.fleet.store import CustodyLog, DeviceStore, KeyStore, ProductStore
from cloudchamber.fleet.updates import DeviceUpdates
from cloudchamber.identity.accounts import Accounts
from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.identity.model import UserAccount
from cloudchamber.identity.passwords import Passwords
from cloudchamber.identity.rules import PasswordPolicy
from cloudchamber.identity.service import Customers, Users
from cloudchamber.identity.store import CustomerStore, FactorStore, ResetStore, UserStore
from cloudchamber.ids import ClientId, DeviceId, UserId, hash_secret, new_id
from cloudchamber.messaging.audience import Audience
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.events import Events
from cloudchamber.messaging.streams import Streams
from cloudchamber.oauth.clients import WELL_KNOWN, Clients
from cloudchamber.oauth.endpoint import TokenEndpoint
from cloudchamber.oauth.grants.client_credentials import ClientCredentialsGrant
from cloudchamber.oauth.grants.mfa_otp import MfaOtpGrant
from cloudchamber.oauth.grants.password import PasswordGrant
from cloudchamber.oauth.grants.recovery_code import RecoveryCodeGrant
from cloudchamber.oauth.model import Client, ClientType, Issued, Principal, PrincipalKind
from cloudchamber.oauth.rules import Lifetimes
from cloudchamber.oauth.store import ClientStore, TokenStore
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.organizations.model import TEAM_CHANGED, Organization, TeamChanged
from cloudchamber.organizations.service import Organizations
from cloudchamber.organizations.store import ApiUserStore, OrganizationStore, TeamStore
from cloudchamber.organizations.teams import Teams
from cloudchamber.ownership.service import Ownership
from cloudchamber.ownership.store import ClaimCodeStore
from cloudchamber.ownership.transfers.service import Transfers
from cloudchamber.ownership.transfers.store import TransferStore
from cloudchamber.sealing import KEY_BYTES, Sealer
from cloudchamber.settings import Compat, Profile
from cloudchamber.storage.database import Database
from cloudchamber.wire.events import Acknowledged, Disconnected, Outcome, Updated
from cloudchamber.wire.update.sending import Image

GRACE_S = 30
REFRESH_KEY = b"r" * KEY_BYTES
PASSWORD = "correct horse battery"
CLI = ("particle", "particle")


def device_id(number: int) -> DeviceId:
    return DeviceId(f"{number:024x}")


def key(name: str) -> bytes:
    """A public key, as far as the fleet is concerned: bytes of the length that an RSA-1024 one has."""
    return name.encode().ljust(162, b".")


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    device: DeviceId
    name: str
    data: bytes | None
    is_private: bool
    is_own: bool
    source: DeviceId | None


class Connected:
    """Open connections, as the gateway's hub offers them: who is online by which key, and what was asked of them."""

    def __init__(self) -> None:
        self.keys: dict[DeviceId, bytes] = {}
        self.wide: set[DeviceId] = set()
        self.sent: list[Sent] = []
        self.asked: list[tuple[str, ...]] = []
        self.disconnected: list[DeviceId] = []
        self.answer: Callable[[], Awaitable[Outcome]] = self._acknowledge
        self.images: list[tuple[DeviceId, Image]] = []
        self.system_events: list[tuple[DeviceId, str, bytes | None]] = []
        self.updating: Callable[[DeviceId, Image, Callable[[int], None]], Awaitable[Outcome]] = self._update

    def is_online(self, device: DeviceId) -> bool:
        return device in self.keys

    def last_heard(self, device: DeviceId) -> Millis | None:
        return Millis(5) if device in self.keys else None

    def presented_key(self, device: DeviceId) -> bytes | None:
        return self.keys.get(device)

    def disconnect(self, device: DeviceId) -> None:
        if self.keys.pop(device, None) is not None:
            self.disconnected.append(device)

    async def call_function(self, device: DeviceId, name: str, argument: str, timeout_s: float) -> Outcome:
        return await self._ask(device, "call", name, argument, str(timeout_s))

    async def read_variable(self, device: DeviceId, name: str, timeout_s: float) -> Outcome:
        return await self._ask(device, "read", name, str(timeout_s))

    async def ping(self, device: DeviceId, timeout_s: float) -> Outcome:
        return await self._ask(device, "ping", str(timeout_s))

    async def signal(self, device: DeviceId, *, on: bool, timeout_s: float) -> Outcome:
        return await self._ask(device, "signal", str(on), str(timeout_s))

    async def update(self, device: DeviceId, image: Image, started: Callable[[int], None]) -> Outcome:
        if device not in self.keys:
            return Disconnected()
        self.images.append((device, image))
        return await self.updating(device, image, started)

    async def _update(self, device: DeviceId, image: Image, started: Callable[[int], None]) -> Outcome:
        started(0)
        return Updated()

    def send_system_event(self, device: DeviceId, name: str, data: bytes | None) -> bool:
        if device in self.keys:
            self.system_events.append((device, name, data))
        return device in self.keys

    def send_event(
        self,
        device: DeviceId,
        name: str,
        data: bytes | None,
        *,
        ttl_s: int,
        is_private: bool,
        is_own: bool,
        source: DeviceId | None,
    ) -> bool:
        self.sent.append(Sent(device, name, data, is_private, is_own, source))
        return True

    def public_subscribers(self) -> Collection[DeviceId]:
        return self.wide

    async def _ask(self, device: DeviceId, *what: str) -> Outcome:
        if device not in self.keys:
            return Disconnected()
        self.asked.append(what)
        return await self.answer()

    async def _acknowledge(self) -> Outcome:
        return Acknowledged()


class Letters:
    """Mail that would have been sent: to whom, and what."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def send(self, to: str, subject: str, text: str, *, sender_name: str = "") -> None:
        self.sent.append((to, text))


class World:
    """Everything below the edge. `settings` of the domain stand as attributes of the builder's keywords."""

    def __init__(
        self,
        db: Database,
        passwords: Passwords,
        password_hash: str,
        *,
        accepts_unknown: bool = True,
        trusts_on_first_use: bool = True,
        claims_by_id: bool = True,
        has_sealer: bool = True,
        lasting_tokens: bool = True,
        profile: Profile = "vendor",
    ) -> None:
        self.db = db
        self.passwords = passwords
        self.clock = FixedClock()
        self.bus = InProcessBus()
        self.compat_uses: Counter[str] = Counter()
        self.connected = Connected()
        self.changes: list[DeviceRecord] = []
        self._password_hash = password_hash
        self.users = Users(db, UserStore(), passwords, self.clock, is_open=True, policy=PasswordPolicy(), bus=self.bus)
        self.customers = Customers(db, CustomerStore(), passwords, self.clock, policy=PasswordPolicy())
        compat = Compat.of(profile)
        sealer = Sealer(b"k" * KEY_BYTES) if has_sealer and compat.token_listing else None
        self.tokens = self.other_tokens(sealer, lifetimes=Lifetimes(None, compat.endless_tokens))
        self.clients = Clients(db, ClientStore(), self.tokens, self.bus, self.clock)
        self.sealer = Sealer(b"k" * KEY_BYTES)
        self.leavers: list[Any] = [self.clients]
        self.accounts = Accounts(
            *(db, self.users, UserStore(), ResetStore(), FactorStore(), passwords, self.tokens, self.bus, self.clock),
            policy=PasswordPolicy(),
            lasting_tokens=lasting_tokens and compat.lasting_tokens,
            compat_uses=self.compat_uses,
            leavers=self.leavers,
        )
        self.factors = SecondFactors(
            *(db, FactorStore(), self.users, self.accounts, self.tokens, self.sealer, self.clock), issuer="cloud"
        )
        self.grants: dict[str, Any] = {
            "password": PasswordGrant(self.users, self.customers, self.factors) if compat.password_grant else None,
            "client_credentials": ClientCredentialsGrant(self.customers),
            "urn:custom:mfa-otp": MfaOtpGrant(self.factors),
            "urn:custom:recovery-code": RecoveryCodeGrant(self.factors),
        }
        self.endpoint = self.endpoint_with()
        self.organizations = Organizations(db, OrganizationStore(), self.users, self.tokens, self.bus, self.clock)
        self.leavers.append(self.organizations)
        self.teams = Teams(
            db,
            TeamStore(),
            ApiUserStore(),
            OrganizationStore(),
            self.users,
            self.tokens,
            self.bus,
            self.clock,
            api_domain="api.example.com",
        )
        self.products = Products(db, ProductStore(), self.organizations, self.tokens, self.bus, self.clock)
        self.provisional = ProvisionalDevices()
        self.custody = CustodyLog()
        self.devices = Devices(
            db,
            DeviceStore(),
            KeyStore(),
            self.provisional,
            self.connected,
            self.bus,
        )
        self.lists = DeviceLists(db, ListStore(), GroupStore(), self.devices.cache, self.bus, self.clock)
        self.groups = Groups(db, GroupStore(), self.bus, self.clock)
        self.imports = Imports(
            db,
            ImportStore(),
            KeyStore(),
            self.devices,
            self.users,
            self.connected,
            self.bus,
            self.clock,
            accepts_unknown=accepts_unknown,
        )
        self.updates = DeviceUpdates(
            db,
            DeviceStore(),
            KeyStore(),
            GroupStore(),
            self.custody,
            self.devices,
            AnyFirmware(),
            self.connected,
            self.bus,
            self.clock,
        )
        self.keys = DeviceKeys(db, DeviceStore(), KeyStore(), self.devices, self.connected, self.clock)
        self.connections = Connections(
            db,
            self.devices,
            self.products,
            DeviceStore(),
            KeyStore(),
            self.custody,
            self.provisional,
            self.connected,
            self.bus,
            self.clock,
            trusts_on_first_use=trusts_on_first_use,
            accepts_unknown=accepts_unknown,
        )
        self.ownership = Ownership(
            db,
            ClaimCodeStore(),
            self.devices,
            DeviceStore(),
            KeyStore(),
            self.custody,
            self.products,
            self.connected,
            self.clock,
            code_lifetime_s=3600,
            claims_by_id_outside_products=claims_by_id,
        )
        self.letters = Letters()
        self.transfers = Transfers(
            db,
            TransferStore(),
            self.devices,
            DeviceStore(),
            self.custody,
            self.products,
            self.customers,
            self.letters,  # type: ignore[arg-type]
            self.clock,
            "https://cloud.example.com",
        )
        self.leavers += (self.ownership, self.transfers)
        self.audience = Audience(self.bus)
        self.streams = Streams(self.bus, self.clock, limit=1_000, organization_of=self.products.organization_now)
        self.events = Events(
            *(self.streams, self.audience, self.connected, self.devices, self.tokens, self.clock),
            products=self.products,
            organizations=self.organizations,
        )
        self.calls = Calls(
            self.connected, self.connected, self.bus, function_timeout_s=30, signal_timeout_s=20, ping_timeout_s=2
        )
        self.bus.subscribe(DEVICE_CHANGED, self.changes.append)

    def endpoint_with(self, **grants: Any) -> TokenEndpoint:
        """A token endpoint with some of its grants exchanged."""
        return TokenEndpoint(self.clients, self.tokens, {**self.grants, **grants}, self.factors, self.compat_uses)

    def other_tokens(self, sealer: Sealer | None = None, **settings: Any) -> Tokens:
        """Tokens of a process that knows nothing of what this one remembers."""
        return Tokens(
            self.db, TokenStore(), ClientStore(), self.bus, self.clock, sealer, GRACE_S, REFRESH_KEY, **settings
        )

    # -- people -------------------------------------------------------------------------------------------------------

    async def user(self, name: str) -> User:
        """A user whose password is PASSWORD; written past the service, for a hash takes long."""
        account = UserAccount(UserId(new_id()), name, self._password_hash, {}, False, self.clock.now())

        async def insert(tx) -> None:
            await UserStore().insert(tx, account)

        await self.db.transaction(insert)
        return User(account.id, ClientId("particle"))

    async def install_client(self, name: str) -> None:
        """One of the well-known clients; all of them at once take five transactions."""
        client = Client(
            id=ClientId(name),
            secret_hash=hash_secret(WELL_KNOWN[name]),
            name=name,
            type=ClientType.INSTALLED,
            redirect_uri=None,
            scope=None,
            user=None,
            product=None,
            is_builtin=True,
            is_enabled=True,
            created_at=self.clock.now(),
        )

        async def insert(tx) -> None:
            await ClientStore().insert(tx, client)

        await self.db.transaction(insert)

    async def product(
        self, owner: User, name: str = "Thing", platform_id: int = 6, organization: Organization | None = None
    ) -> Product:
        return await self.products.create(
            owner, name=name, description="", platform_id=platform_id, organization=organization
        )

    async def join(self, product: Product, user: User, role: str) -> Product:
        """Puts a user into a product's team, and gives the product as it is then."""

        async def insert(tx) -> None:
            await tx.execute(
                "INSERT INTO memberships (product_id, user_id, role, created_at) VALUES ($1, $2, $3, 1)",
                *(product.id, user.id, role),
            )

        await self.db.transaction(insert)
        self.bus.publish(TEAM_CHANGED, TeamChanged(product=product.id, user=user.id))
        found = await ProductStore().by_id(self.db, product.id)
        assert found is not None
        return found

    async def customer(self, owner: User, product: Product, name: str) -> Customer:
        """A shadow customer."""
        account = await self.customers.create(owner, product.resource(owner), name, None)
        return Customer(account.id, product.id, ClientId("shop-1"))

    async def client(
        self, owner: User, product: Product | None, scope: str | None = None, name: str = "shop"
    ) -> tuple[Client, tuple[str, str]]:
        """A client, and what it authenticates with."""
        client, secret = await self.clients.create(
            owner,
            product.resource(owner) if product else None,
            name=name,
            type_="installed",
            redirect_uri=None,
            scope=scope,
        )
        return client, (client.id, secret)

    # -- devices ------------------------------------------------------------------------------------------------------

    async def import_(self, owner: User | ProductClient, product: Product, *numbers: int) -> None:
        report = await self.imports.import_(owner, product, [device_id(number) for number in numbers])
        assert len(report.updated) == len(numbers)

    async def connect(self, number: int, presented: bytes, platform_id: int | None = 6) -> DeviceRecord | None:
        """What the gateway does for a device that proves `presented`; the record, None for one that waits."""
        device = device_id(number)
        admitted = await self.connections.admit(device, presented)
        assert admitted == presented
        self.connected.keys[device] = presented
        record = await self.connections.online(device, presented, handshake(platform_id))
        self.audience.enter(device, record)
        return record

    async def record(self, number: int) -> DeviceRecord:
        """The device as the database has it."""
        found = await DeviceStore().by_id(self.db, device_id(number))
        assert found is not None
        return found

    async def log_in(self, name: str, **more: str) -> str:
        form = {"grant_type": "password", "username": name, "password": PASSWORD, **more}
        return (await self.endpoint.answer(form, CLI)).access_token

    async def issue(self, user: User, lifetime_s: int = 7_776_000, client: str = "particle") -> Issued:
        """A user's log-in, without the time that checking a password takes."""
        found = await self.clients.find(client)
        assert found is not None
        return await self.tokens.issue(found, Principal(PrincipalKind.USER, user.id), None, lifetime_s)

    async def bearer(self, token: str) -> Bearer:
        return await self.tokens.check(token)


def handshake(platform_id: int | None = 6, ip: str = "192.0.2.1") -> Handshake:
    return Handshake(ip, platform_id, platform_id, 3, "1.5")


@pytest.fixture(scope="session")
def passwords() -> Iterator[Passwords]:
    made = Passwords(2)
    yield made
    made.close()


@pytest.fixture(scope="session")
def password_hash(passwords: Passwords) -> str:
    return passwords._hasher.hash(PASSWORD)


@pytest.fixture
async def world(database: Database, passwords: Passwords, password_hash: str) -> World:
    made = World(database, passwords, password_hash)
    await made.install_client("particle")
    return made


@pytest.fixture
def make_world(database: Database, passwords: Passwords, password_hash: str) -> Callable[..., World]:
    """A domain with other settings, or a second one over the same database."""
    return lambda **settings: World(database, passwords, password_hash, **settings)
