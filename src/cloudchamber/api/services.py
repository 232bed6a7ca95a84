"""What the edge calls: the services of the domain, put together by app.py."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cloudchamber.api.limits import Limits
from cloudchamber.audit.service import AuditLog
from cloudchamber.clock import Clock, SystemClock
from cloudchamber.diagnostics.service import Diagnostics
from cloudchamber.firmware.apps import KnownApps
from cloudchamber.firmware.service import ProductFirmware
from cloudchamber.firmware.updates import FirmwareUpdates
from cloudchamber.fleet.groups.service import Groups
from cloudchamber.fleet.imports.service import Imports
from cloudchamber.fleet.keys import Provisioning
from cloudchamber.fleet.lists.service import DeviceLists
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.service import Devices
from cloudchamber.fleet.updates import DeviceUpdates
from cloudchamber.identity.accounts import Accounts
from cloudchamber.identity.customer_accounts import CustomerAccounts
from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.identity.resets import PasswordResets
from cloudchamber.identity.rules import PasswordPolicy
from cloudchamber.identity.service import Customers, Users
from cloudchamber.messaging.calls import Calls
from cloudchamber.messaging.events import Events
from cloudchamber.messaging.presence import Presence
from cloudchamber.oauth.clients import Clients
from cloudchamber.oauth.endpoint import TokenEndpoint
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.oauth.web.authorization import Authorization
from cloudchamber.oauth.web.device_grants import DeviceGrants
from cloudchamber.oauth.web.sessions import BrowserSessions
from cloudchamber.organizations.service import Organizations
from cloudchamber.organizations.teams import Teams
from cloudchamber.ownership.service import Ownership
from cloudchamber.ownership.transfers.service import Transfers
from cloudchamber.statistics.service import Statistics
from cloudchamber.webhooks.service import Webhooks
from cloudchamber.wire.transport import Transport

Readiness = Callable[[], Awaitable[Mapping[str, bool]]]
"""The parts that serving needs (`database`, `listeners`, ...), and whether each can be used now."""


@dataclass(frozen=True, slots=True)
class Services:
    users: Users
    accounts: Accounts
    factors: SecondFactors
    customers: Customers
    resets: PasswordResets
    clients: Clients
    tokens: Tokens
    token_endpoint: TokenEndpoint
    organizations: Organizations
    teams: Teams
    products: Products
    devices: Devices
    device_lists: DeviceLists
    updates: DeviceUpdates
    imports: Imports
    provisioning: Provisioning
    server_keys: Mapping[Transport, bytes]
    """The public halves, SubjectPublicKeyInfo, DER."""
    groups: Groups
    ownership: Ownership
    transfers: Transfers
    calls: Calls
    events: Events
    presence: Presence
    statistics: Statistics
    diagnostics: Diagnostics
    webhooks: Webhooks
    authorization: Authorization
    device_grants: DeviceGrants
    browser_sessions: BrowserSessions
    customer_accounts: CustomerAccounts
    user_passwords: PasswordPolicy
    """Which passwords hosted pages take."""
    firmware: ProductFirmware
    firmware_updates: FirmwareUpdates
    apps: KnownApps
    ready: Readiness
    public_url: str
    """What links in answers begin with, without a slash at the end."""
    clock: Clock = field(default_factory=SystemClock)
    limits: Limits | None = None
    audit: AuditLog | None = None
    compat_uses: Counter[str] = field(default_factory=Counter)
    """How often each compatibility switch was what let a request in; for the metrics."""
