"""What the connections of the gateways share."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cloudchamber.clock import Clock
from cloudchamber.gateway.alarm import AlarmClock
from cloudchamber.gateway.crypto import Crypto
from cloudchamber.gateway.hub import Hub
from cloudchamber.gateway.mailboxes import Mailboxes
from cloudchamber.messaging.ports import DeviceInbox


@dataclass(frozen=True, slots=True)
class Services:
    """Of all gateways."""

    inbox: DeviceInbox
    hub: Hub
    clock: Clock
    mailboxes: Mailboxes
    alarms: AlarmClock = field(default_factory=AlarmClock, kw_only=True)


@dataclass(frozen=True, slots=True)
class TcpServices(Services):
    server_key: RSAPrivateKey
    crypto: Crypto
