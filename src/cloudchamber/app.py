"""The composition root: settings become stores, services and shells here, and nowhere else.

It is the only module that knows every package. Objects are built by constructor; they start in the order in which they
need each other and stop in the opposite one.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.api.app import LatePart, Part, create_app
from cloudchamber.api.http1 import Server
from cloudchamber.api.limits import Limits
from cloudchamber.api.server import make_server
from cloudchamber.api.services import Services as ApiServices
from cloudchamber.audit.service import AuditLog
from cloudchamber.audit.store import AuditStore
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.chores import Chores
from cloudchamber.clock import HOUR, MINUTE, Clock, Millis, SystemClock
from cloudchamber.datafolder import Listening, listeners_file, locked, prepare_data_folder
from cloudchamber.diagnostics.service import Diagnostics
from cloudchamber.diagnostics.store import ReportStore
from cloudchamber.errors import CloudError
from cloudchamber.firmware.apps import KnownApps
from cloudchamber.firmware.binaries import Binaries
from cloudchamber.firmware.service import (
    FIRMWARE_CHANGED,
    FIRMWARE_NOTICE,
    FIRMWARE_RELEASED,
    RELEASE_NOTICE,
    ProductFirmware,
    Release,
)
from cloudchamber.firmware.store import BinaryStore, FirmwareStore, UpdateStore
from cloudchamber.firmware.updates import FirmwareUpdates, Pace
from cloudchamber.fleet.connections import Connections
from cloudchamber.fleet.groups.service import GROUPS_CHANGED, GROUPS_NOTICE, Groups
from cloudchamber.fleet.groups.store import GroupStore
from cloudchamber.fleet.imports.service import Imports
from cloudchamber.fleet.imports.store import ImportStore
from cloudchamber.fleet.keys import Provisioning
from cloudchamber.fleet.lists.service import MEMBERSHIP_CHANGED, DeviceLists
from cloudchamber.fleet.lists.store import ListStore
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.provisional import ProvisionalDevices
from cloudchamber.fleet.service import Devices
from cloudchamber.fleet.store import (
    DEVICE_NOTICE,
    IMPORT_NOTICE,
    KEY_NOTICE,
    PRODUCT_NOTICE,
    CustodyLog,
    DeviceStore,
    KeyStore,
    ProductStore,
)
from cloudchamber.fleet.updates import DeviceUpdates
from cloudchamber.gateway.crypto import Crypto, threads_for
from cloudchamber.gateway.hub import Hub
from cloudchamber.gateway.mailboxes import Mailboxes
from cloudchamber.gateway.server_keys import TCP_FILE, UDP_FILE, ServerKeys
from cloudchamber.gateway.server_keys import load_or_make as load_server_keys
from cloudchamber.gateway.services import Services as GatewayServices
from cloudchamber.gateway.services import TcpServices
from cloudchamber.gateway.tcp import TcpGateway, TcpLimits
from cloudchamber.gateway.udp import UdpGateway, UdpLimits
from cloudchamber.identity.accounts import Accounts
from cloudchamber.identity.customer_accounts import CustomerAccounts, CustomerLeaver
from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.identity.outbox import MailServer, MailServerInvalid, Outbox
from cloudchamber.identity.passwords import Passwords, common_words
from cloudchamber.identity.ports import USER_NOTICE, USER_RENAMED, Leaver
from cloudchamber.identity.resets import PasswordResets
from cloudchamber.identity.rules import PasswordPolicy
from cloudchamber.identity.service import GUESSES, GUESSES_PER_MS, Customers, Users
from cloudchamber.identity.store import CustomerResetStore, CustomerStore, FactorStore, ResetStore, UserStore
from cloudchamber.ids import ClientId, DeviceId, ProductId, UserId
from cloudchamber.messaging.audience import Audience
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.events import Events
from cloudchamber.messaging.inbox import Inbox
from cloudchamber.messaging.presence import Presence
from cloudchamber.messaging.streams import Streams
from cloudchamber.metrics import Gauges, metrics_app
from cloudchamber.oauth.clients import Clients
from cloudchamber.oauth.endpoint import TokenEndpoint
from cloudchamber.oauth.grants.authorization_code import AuthorizationCodeGrant
from cloudchamber.oauth.grants.client_credentials import ClientCredentialsGrant
from cloudchamber.oauth.grants.device_code import DeviceCodeGrant
from cloudchamber.oauth.grants.mfa_otp import MfaOtpGrant
from cloudchamber.oauth.grants.model import BrowserGrant, Grant
from cloudchamber.oauth.grants.password import PasswordGrant
from cloudchamber.oauth.grants.recovery_code import RecoveryCodeGrant
from cloudchamber.oauth.rules import Lifetimes
from cloudchamber.oauth.store import CLIENT_NOTICE, ClientStore, TokenStore
from cloudchamber.oauth.tokens import CLIENT_CHANGED, Tokens
from cloudchamber.oauth.web.authorization import Authorization
from cloudchamber.oauth.web.device_grants import DeviceGrants
from cloudchamber.oauth.web.sessions import BrowserSessions
from cloudchamber.oauth.web.store import AuthorizationCodeStore, ConsentStore, DeviceGrantStore
from cloudchamber.oauth.web.store import SessionStore as BrowserSessionStore
from cloudchamber.organizations.model import TEAM_CHANGED, TEAM_NOTICE, TeamChanged
from cloudchamber.organizations.rules import api_domain
from cloudchamber.organizations.service import Organizations
from cloudchamber.organizations.store import ApiUserStore, OrganizationStore, TeamStore
from cloudchamber.organizations.teams import Teams
from cloudchamber.ownership.service import Ownership
from cloudchamber.ownership.store import ClaimCodeStore
from cloudchamber.ownership.transfers.service import Transfers
from cloudchamber.ownership.transfers.store import TransferStore
from cloudchamber.ratelimit import Allowance
from cloudchamber.resumption.service import SavedSessions
from cloudchamber.resumption.store import SessionStore
from cloudchamber.sealing import KEY_BYTES, Sealer, key_for
from cloudchamber.secretfiles import load_or_make
from cloudchamber.settings import Address, Settings
from cloudchamber.statistics.service import Statistics
from cloudchamber.statistics.store import StatisticsStore
from cloudchamber.storage.database import Database, open_database
from cloudchamber.storage.errors import SchemaMissing
from cloudchamber.storage.notices import ORIGIN, Hear, Notices
from cloudchamber.storage.processes import PROCESS_NOTICE, Process, Processes
from cloudchamber.tally import Tally
from cloudchamber.webhooks.deliveries import Deliveries, HookIndex
from cloudchamber.webhooks.sending import SenderOnDemand
from cloudchamber.webhooks.service import Webhooks
from cloudchamber.webhooks.store import HOOK_NOTICE, DeliveryStore, WebhookStore
from cloudchamber.webhooks.worker import Worker
from cloudchamber.wire.transport import Transport

_SEALING_KEY_FILE: Final = "sealing.key"
_PURGE_INTERVAL_MS: Final = HOUR
# Last uses of tokens: a person looks at them by the minute, and a write for each request would cost more than it.
_NOTE_INTERVAL_MS: Final = MINUTE
# Of what another process ended or changed: whoever is shut out should be out within the second. The audit log is
# written as often.
_FOLLOW_INTERVAL_MS: Final = 500
# Open HTTP requests may take this long to finish when the cloud stops; with the gateway's own five seconds it stays
# below the ten that a supervisor waits.
_HTTP_STOP_S: Final = 4.0


async def _migrate_here(url: str) -> None:
    # Imported here: SQLAlchemy and Alembic cost a second and 30 MB, and only the first start needs them.
    from cloudchamber.storage.migrate import migrate

    await asyncio.to_thread(migrate, url)


async def open_migrated(settings: Settings, *, migrate: Callable[[str], Awaitable[None]] = _migrate_here) -> Database:
    """The database at head. An empty one gets its tables, by `migrate`; an old one is left alone, and the error says
    what to do."""
    try:
        return await open_database(settings.database_url)
    except SchemaMissing:
        await migrate(settings.database_url)
        return await open_database(settings.database_url)


def user_passwords(settings: Settings) -> PasswordPolicy:
    """Which passwords users may have."""
    return PasswordPolicy(
        settings.password_min_length, common_words if settings.common_passwords == "refused" else None
    )


class Cloud:
    """A whole cloud in one process and one event loop. Use it as an async context manager."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        migrate: Callable[[str], Awaitable[None]] = _migrate_here,
    ) -> None:
        """`migrate` makes an empty database's tables."""
        self._settings = settings
        self._migrate = migrate
        self._clock = clock or SystemClock()
        self._exit = contextlib.AsyncExitStack()
        self._listening: Listening | None = None
        self._is_ready = False
        self.compat_uses: Counter[str] = Counter()

    @property
    def listening(self) -> Listening:
        assert self._listening is not None, "the cloud has not started"
        return self._listening

    async def __aenter__(self) -> "Cloud":
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_ready = False
        await self._exit.aclose()

    # -- starting -----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        settings, clock = self._settings, self._clock
        prepare_data_folder(settings.data)
        self._exit.enter_context(locked(settings.data))
        keys = load_server_keys(settings.data)
        sealing_key = load_or_make(settings.data / _SEALING_KEY_FILE, lambda: os.urandom(KEY_BYTES))
        sealer = Sealer(sealing_key)
        self.db = db = await open_migrated(settings, migrate=self._migrate)
        self._exit.push_async_callback(db.close)
        bus = InProcessBus()
        self._bus = bus
        tally = Tally()
        notices = Notices(db, clock)

        passwords = Passwords(settings.workers_password)
        self._exit.callback(passwords.close)
        # Taken before the services are built, because mails and answers carry the real address.
        http = await self._bind(settings.http)
        metrics = await self._bind(settings.metrics)
        http_address = _address(http, settings.http)
        public_url = settings.public_url.rstrip("/") or f"http://{http_address}"

        policy = user_passwords(settings)
        guesses = Allowance[str](GUESSES, GUESSES_PER_MS) if settings.limits_rates else None
        self.users = Users(
            db,
            UserStore(),
            passwords,
            clock,
            is_open=settings.registration_is_open,
            policy=policy,
            guesses=guesses,
            bus=bus,
        )
        customers = Customers(
            db,
            CustomerStore(),
            passwords,
            clock,
            policy=policy,
            compat_uses=self.compat_uses if settings.compat.any_customer_password else None,
            guesses=guesses,
        )

        self.tokens = tokens = Tokens(
            db,
            TokenStore(),
            ClientStore(),
            bus,
            clock,
            sealer if settings.compat.token_listing else None,
            settings.refresh_grace_s,
            key_for("refreshing", sealing_key),
            lifetimes=Lifetimes(settings.token_max_lifetime_s or None, settings.compat.endless_tokens),
            refresh_idle_s=settings.refresh_idle_s,
            refresh_max_age_s=settings.refresh_max_age_s,
            compat_uses=self.compat_uses,
            tally=tally,
        )
        self._exit.push_async_callback(_if_it_can, tokens.write_uses)
        outbox = Outbox(settings.data / "mail", _mail_server(settings.smtp), settings.mail_from)
        self._exit.callback(outbox.close)
        self._exit.push_async_callback(outbox.drain)
        stores = (ResetStore(), UserStore(), FactorStore())
        resets = PasswordResets(db, *stores, passwords, outbox, tokens, clock, public_url, policy)
        self._exit.push_async_callback(resets.close)
        self.audit = audit = AuditLog(db, AuditStore(), clock, settings.audit_days)
        self._exit.push_async_callback(_if_it_can, audit.write)
        self.clients = clients = Clients(
            db,
            ClientStore(),
            tokens,
            bus,
            clock,
            takes_passwords=settings.compat.password_clients,
            compat_uses=self.compat_uses,
        )
        leavers: list[Leaver] = [clients]
        customer_leavers: list[CustomerLeaver] = []
        self.customer_accounts = customer_accounts = CustomerAccounts(
            db,
            customers,
            CustomerStore(),
            CustomerResetStore(),
            passwords,
            outbox,
            tokens,
            clock,
            public_url,
            policy,
            customer_leavers,
        )
        self._exit.push_async_callback(customer_accounts.close)
        accounts = Accounts(
            db,
            self.users,
            UserStore(),
            ResetStore(),
            FactorStore(),
            passwords,
            tokens,
            bus,
            clock,
            policy=policy,
            lasting_tokens=settings.compat.lasting_tokens,
            compat_uses=self.compat_uses,
            leavers=leavers,
        )
        factors = SecondFactors(
            db,
            FactorStore(),
            self.users,
            accounts,
            tokens,
            sealer,
            clock,
            issuer=_issuer(public_url),
            outbox=outbox,
            by_token=settings.compat.mfa_by_token,
            compat_uses=self.compat_uses,
        )
        grants: dict[str, Grant | None] = {
            "password": PasswordGrant(self.users, customers, factors) if settings.compat.password_grant else None,
            "client_credentials": ClientCredentialsGrant(customers),
            "urn:custom:mfa-otp": MfaOtpGrant(factors),
            "urn:custom:recovery-code": RecoveryCodeGrant(factors),
        }
        authorization = Authorization(
            db,
            AuthorizationCodeStore(),
            ConsentStore(),
            clients,
            tokens,
            clock,
            public_url,
            allows_implicit=settings.compat.implicit_grant,
            compat_uses=self.compat_uses,
        )
        device_grants = DeviceGrants(db, DeviceGrantStore(), TokenStore(), clock)
        browser_sessions = BrowserSessions(db, BrowserSessionStore(), TokenStore(), clock)
        browser_grants: dict[str, BrowserGrant] = {
            "authorization_code": AuthorizationCodeGrant(authorization),
            "urn:ietf:params:oauth:grant-type:device_code": DeviceCodeGrant(device_grants),
        }
        endpoint = TokenEndpoint(clients, tokens, grants, factors, self.compat_uses, browser_grants)
        await clients.install_well_known(is_enabled=settings.compat.builtin_clients)
        await clients.install_console()

        hub = Hub()
        provisional = ProvisionalDevices()
        device_store, key_store, custody = DeviceStore(), KeyStore(), CustodyLog()
        organization_store = OrganizationStore()
        organizations = Organizations(db, organization_store, self.users, tokens, bus, clock)
        leavers.append(organizations)
        teams = Teams(
            db,
            TeamStore(),
            ApiUserStore(),
            organization_store,
            self.users,
            tokens,
            bus,
            clock,
            api_domain=api_domain(urlsplit(public_url).hostname or ""),
            outbox=outbox if settings.mails_invitations else None,
            public_url=public_url,
        )
        self._exit.push_async_callback(teams.close)
        products = Products(db, ProductStore(), organizations, tokens, bus, clock)
        await products.start()
        group_store = GroupStore()
        self.devices = devices = Devices(db, device_store, key_store, provisional, hub, bus)
        imports = Imports(
            db,
            ImportStore(),
            key_store,
            devices,
            self.users,
            hub,
            bus,
            clock,
            accepts_unknown=settings.accept_unknown_devices,
        )
        provisioning = Provisioning(
            db,
            device_store,
            key_store,
            devices,
            products,
            hub,
            clock,
            trusts_on_first_use=settings.device_keys == "trust-on-first-use",
            accepts_unknown=settings.accept_unknown_devices,
        )
        connections = Connections(
            db,
            devices,
            products,
            device_store,
            key_store,
            custody,
            provisional,
            hub,
            bus,
            clock,
            trusts_on_first_use=settings.device_keys == "trust-on-first-use",
            accepts_unknown=settings.accept_unknown_devices,
            tally=tally,
        )
        ownership = Ownership(
            db,
            ClaimCodeStore(),
            devices,
            device_store,
            key_store,
            custody,
            products,
            hub,
            clock,
            code_lifetime_s=settings.claim_code_lifetime_s,
            claims_by_id_outside_products=settings.compat.claim_by_id,
            compat_uses=self.compat_uses,
        )

        transfers = Transfers(
            db,
            TransferStore(),
            devices,
            device_store,
            custody,
            products,
            customers,
            outbox,
            clock,
            public_url,
        )
        self._exit.push_async_callback(transfers.close)
        leavers += (ownership, transfers)
        customer_leavers += (ownership, transfers)

        audience = Audience(bus)
        streams = Streams(bus, clock, limit=settings.max_streams, organization_of=products.organization_now)
        hook_store = WebhookStore(sealer)
        hook_index = HookIndex(bus, products.organization_now)
        deliveries = Deliveries(db, hook_store, DeliveryStore(sealer), hook_index, clock, tally)
        events = Events(
            *(streams, audience, hub, devices, tokens, clock, deliveries),
            products=products,
            organizations=organizations,
            tally=tally,
        )
        sender = SenderOnDemand(reaches_private=settings.webhook_private_targets)
        worker = Worker(deliveries, sender, events, clock)
        await worker.start()
        self._exit.push_async_callback(worker.stop)
        calls = Calls(
            hub,
            hub,
            bus,
            function_timeout_s=settings.function_timeout_s,
            signal_timeout_s=settings.signal_timeout_s,
            ping_timeout_s=settings.ping_timeout_s,
            tally=tally,
        )
        diagnostics = Diagnostics(
            db, ReportStore(), hub, hub, audience, events, bus, clock, timeout_s=settings.function_timeout_s
        )
        self._exit.push_async_callback(diagnostics.close)
        binaries = Binaries(db, BinaryStore(), clock)
        self.firmware_updates = firmware_updates = FirmwareUpdates(
            db,
            UpdateStore(),
            FirmwareStore(),
            binaries,
            devices,
            audience,
            events,
            hub,
            hub,
            bus,
            clock,
            Pace(
                max_running=settings.max_updates,
                settle_s=settings.update_delay_s,
                start_timeout_s=settings.flash_timeout_s,
                restart_s=settings.update_restart_s,
            ),
        )
        await firmware_updates.start()
        _hear(notices, bus, products, devices, hub, deliveries)
        updates = DeviceUpdates(
            db, device_store, key_store, group_store, custody, devices, firmware_updates, hub, bus, clock
        )
        inbox = Inbox(connections, ownership, events, audience, bus, clock, tally)
        services = GatewayServices(inbox, hub, clock, Mailboxes())
        saved = SavedSessions(db, SessionStore(), sealer, clock)
        tcp = await self._start_tcp(services, keys)
        udp = await self._start_udp(services, saved, keys)
        # Before the gateways stop, too, while devices are still online.
        self.statistics = statistics = Statistics(db, StatisticsStore(), audience, tally, bus, clock)
        await statistics.start()
        self._exit.push_async_callback(statistics.close)
        # Before the gateways stop: what is under way is ended in words, and stays on record.
        self._exit.push_async_callback(firmware_updates.stop)

        webhooks = Webhooks(db, hook_store, bus, clock, deliveries, worker)
        leavers.append(webhooks)
        api = ApiServices(
            users=self.users,
            accounts=accounts,
            factors=factors,
            resets=resets,
            customers=customers,
            clients=clients,
            tokens=tokens,
            token_endpoint=endpoint,
            organizations=organizations,
            teams=teams,
            products=products,
            devices=devices,
            device_lists=DeviceLists(db, ListStore(), group_store, devices.cache, bus, clock),
            updates=updates,
            imports=imports,
            provisioning=provisioning,
            server_keys={Transport.TCP: _public_half(keys.tcp), Transport.UDP: _public_half(keys.udp)},
            groups=Groups(db, group_store, bus, clock),
            ownership=ownership,
            transfers=transfers,
            calls=calls,
            events=events,
            presence=Presence(audience),
            statistics=statistics,
            diagnostics=diagnostics,
            webhooks=webhooks,
            authorization=authorization,
            device_grants=device_grants,
            browser_sessions=browser_sessions,
            user_passwords=policy,
            customer_accounts=customer_accounts,
            firmware=ProductFirmware(db, FirmwareStore(), binaries, bus, clock),
            firmware_updates=firmware_updates,
            apps=KnownApps(settings.apps_folder),
            clock=clock,
            ready=self._ready,
            public_url=public_url,
            limits=Limits(clock) if settings.limits_rates else None,
            audit=audit,
            compat_uses=self.compat_uses,
        )
        console = LatePart(is_of_console, lambda: _console(api))
        self._exit.push_async_callback(console.stop)
        await self._serve(make_server(create_app(api, settings, console)), http, streams)
        gauges = _gauges(hub, tcp, udp, streams, worker, firmware_updates, api)
        await self._serve(make_server(metrics_app(gauges)), metrics, None)
        chores = Chores()
        self._exit.push_async_callback(chores.stop)
        chores.every(
            _PURGE_INTERVAL_MS,
            tokens.purge,
            notices.purge,
            resets.purge,
            factors.purge,
            ownership.purge,
            transfers.purge,
            teams.purge,
            saved.purge,
            deliveries.purge,
            binaries.purge,
            diagnostics.purge,
            customer_accounts.purge,
            authorization.purge,
            device_grants.purge,
            browser_sessions.purge,
            audit.purge,
            statistics.purge,
        )
        chores.every(_FOLLOW_INTERVAL_MS, tokens.follow, notices.follow, audit.write)
        chores.every(_NOTE_INTERVAL_MS, tokens.write_uses)

        processes = Processes(db, clock, _process(settings, sealing_key, keys))
        notices.on(PROCESS_NOTICE, processes.hear)
        await _if_it_can(processes.start)

        self._listening = Listening(
            http_address, self._tcp_address, self._udp_address, _address(metrics, settings.metrics)
        )
        self._exit.enter_context(listeners_file(settings.data, self._listening))
        self._is_ready = True

    async def _start_tcp(self, services: GatewayServices, keys: ServerKeys) -> TcpGateway:
        crypto = Crypto(threads_for(self._settings.workers_crypto))
        self._exit.callback(crypto.stop)
        shared = (services.inbox, services.hub, services.clock, services.mailboxes)
        gateway = TcpGateway(
            TcpServices(*shared, keys.tcp, crypto), replace(TcpLimits(), max_connections=self._settings.max_devices)
        )
        address = self._settings.tcp
        try:
            port = await gateway.start(address.host, address.port)
        except OSError as error:
            raise _cannot_listen("tcp", address, error) from error
        self._exit.push_async_callback(gateway.stop)
        self._tcp_address = Address(address.host, port)
        self._tcp = gateway
        return gateway

    async def _start_udp(self, services: GatewayServices, saved: SavedSessions, keys: ServerKeys) -> UdpGateway:
        gateway = UdpGateway(services, saved, keys.udp, replace(UdpLimits(), max_sessions=self._settings.max_devices))
        address = self._settings.udp
        try:
            port = await gateway.start(address.host, address.port)
        except OSError as error:
            raise _cannot_listen("udp", address, error) from error
        self._exit.push_async_callback(gateway.stop)
        self._udp_address = Address(address.host, port)
        self._udp = gateway
        return gateway

    async def _bind(self, address: Address) -> socket.socket:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, _, _, _, where = found[0]
            listener = socket.socket(family, socket.SOCK_STREAM)
            self._exit.callback(listener.close)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
        except OSError as error:
            raise _cannot_listen("http", address, error) from error
        return listener

    async def _serve(self, server: Server, listener: socket.socket, streams: Streams | None) -> None:
        await server.start(listener)

        async def stop() -> None:
            if streams is not None:
                streams.close()
            await server.stop(_HTTP_STOP_S)

        self._exit.push_async_callback(stop)

    def disconnect_devices(self) -> None:
        """Ends every device connection, as an operator does before maintenance; devices come back by themselves."""
        self._tcp.close_all()
        self._udp.close_all()

    # -- running ------------------------------------------------------------------------------------------------------

    async def _ready(self) -> Mapping[str, bool]:
        try:
            has_database = await self.db.fetch_one("SELECT 1") is not None
        except CloudError:
            has_database = False
        return {"database": has_database, "listeners": self._is_ready}


def _hear(
    notices: Notices, bus: InProcessBus, products: Products, devices: Devices, hub: Hub, deliveries: Deliveries
) -> None:
    """What other processes change is told here as if it had been changed here."""

    def publish(subject: str, message: Callable[[str], object]) -> Hear:
        return lambda about, _: bus.publish(subject, message(about))

    def product(about: str) -> ProductId:
        return ProductId(int(about))

    async def imported(about: str, at: Millis) -> None:
        into = product(about.partition(" ")[0])
        # Batches of an import have one row, of which not each state need have been seen.
        await devices.imported_elsewhere(into, hub.devices(), Millis(at - MINUTE))
        bus.publish(MEMBERSHIP_CHANGED, into)

    notices.on(CLIENT_NOTICE, publish(CLIENT_CHANGED, ClientId))
    notices.on(TEAM_NOTICE, publish(TEAM_CHANGED, partial(msgspec.json.decode, type=TeamChanged)))
    notices.on(KEY_NOTICE, lambda device, _: devices.changed_elsewhere(DeviceId(device)))
    notices.on(HOOK_NOTICE, lambda hook, _: deliveries.changed_elsewhere(hook))
    notices.on(PRODUCT_NOTICE, lambda about, _: products.changed_elsewhere(product(about)))
    notices.on(DEVICE_NOTICE, lambda device, _: devices.changed_elsewhere(DeviceId(device)))
    notices.on(IMPORT_NOTICE, imported)
    notices.on(GROUPS_NOTICE, publish(GROUPS_CHANGED, product))
    notices.on(FIRMWARE_NOTICE, publish(FIRMWARE_CHANGED, product))
    notices.on(RELEASE_NOTICE, publish(FIRMWARE_RELEASED, partial(msgspec.json.decode, type=Release)))
    notices.on(USER_NOTICE, publish(USER_RENAMED, UserId))


def _process(settings: Settings, sealing_key: bytes, keys: ServerKeys) -> Process:
    prints = {
        _SEALING_KEY_FILE: key_for("fingerprint", sealing_key),
        TCP_FILE: _public_half(keys.tcp),
        UDP_FILE: _public_half(keys.udp),
    }
    short = {name: hashlib.sha256(key).hexdigest()[:16] for name, key in prints.items()}
    return Process(ORIGIN, socket.gethostname(), str(settings.data.resolve()), short)


def is_of_console(path: str) -> bool:
    """Is the path of a request one of the console's?"""
    return path in {"/", "/console"} or path.startswith("/console/")


def _console(services: ApiServices) -> Part:
    # Imported here: it takes 1 MB, and a cloud that only programs use has nobody who looks at it.
    from cloudchamber.console.part import console_part

    return console_part(services)


def _issuer(public_url: str) -> str:
    """The name under which an authenticator app lists this cloud."""
    host = urlsplit(public_url).hostname or ""
    return "cloudchamber" if Address(host, 0).is_loopback else host


def _gauges(
    hub: Hub,
    tcp: TcpGateway,
    udp: UdpGateway,
    streams: Streams,
    worker: Worker,
    updates: FirmwareUpdates,
    api: ApiServices,
) -> Gauges:
    return Gauges(
        {
            "cloudchamber_devices_online": ("Devices with a live session.", lambda: len(hub.devices())),
            "cloudchamber_tcp_connections": ("Device connections over TCP.", lambda: tcp.connections),
            "cloudchamber_tcp_strangers": ("Connections that have not proven a key.", lambda: tcp.strangers),
            "cloudchamber_tcp_waiting": ("Connections that wait to be served.", lambda: tcp.waiting),
            "cloudchamber_udp_sessions": ("Device sessions over UDP with something going on.", lambda: udp.sessions),
            "cloudchamber_udp_dozing": ("Devices online over UDP that are silent.", lambda: udp.dozing),
            "cloudchamber_udp_strangers": ("Sessions over UDP without a Hello.", lambda: udp.strangers),
            "cloudchamber_event_streams": ("Open event streams.", lambda: len(streams)),
            "cloudchamber_addresses_locked_out": (
                "Addresses that failed to log in too often.",
                lambda: api.limits.locked_out if api.limits else 0,
            ),
            "cloudchamber_webhooks_held": ("Webhook deliveries in memory.", lambda: worker.held),
            "cloudchamber_updates_running": ("Firmware updates under way.", lambda: updates.running),
            "cloudchamber_updates_waiting": ("Devices whose turn for an update is not yet.", lambda: updates.waiting),
        },
        {
            "cloudchamber_tcp_closed": (
                "Ended device connections over TCP.",
                "reason",
                lambda: {reason.value: count for reason, count in tcp.closed.items()},
            ),
            "cloudchamber_udp_datagrams": (
                "Datagrams from and to devices, and those that were dropped.",
                "what",
                udp.datagrams,
            ),
            "cloudchamber_udp_handshakes": ("DTLS handshakes.", "result", udp.handshakes),
            "cloudchamber_update_attempts": (
                "Attempts to update a device.",
                "outcome",
                lambda: dict(updates.outcomes),
            ),
            "cloudchamber_rate_limited": (
                "Requests that were answered 429.",
                "limit",
                lambda: dict(api.limits.refused) if api.limits else {},
            ),
            "cloudchamber_compat_uses": (
                "Requests that needed a compatibility switch.",
                "switch",
                lambda: dict(api.compat_uses),
            ),
        },
    )


def _public_half(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _mail_server(url: str) -> MailServer | None:
    try:
        return MailServer.parse(url) if url else None
    except MailServerInvalid as error:
        # The URL may hold a password, so it is not repeated.
        raise CloudError(f"The setting smtp names no mail server: {error}.") from error


def _address(listener: socket.socket, asked: Address) -> Address:
    return Address(asked.host, listener.getsockname()[1])


def _cannot_listen(name: str, address: Address, error: OSError) -> CloudError:
    return CloudError(
        f"Cannot listen on {address} ({error.strerror or error}). Choose another with --{name} HOST:PORT; port 0 takes"
        " a free one."
    )


async def _if_it_can(chore: Callable[[], Awaitable[object]]) -> None:
    """Where a database that is gone or full keeps nothing else from going on."""
    with contextlib.suppress(CloudError):
        await chore()
