"""The Wi-Fi networks around a virtual device, and whether credentials let it in. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cloudchamber.wire.softap import AccessPoint, Security

_ENTERPRISE_MARK: Final = "@"


class NoNetwork(Exception):
    """A description of a network that cannot be read; the message says how one is written."""


@dataclass(frozen=True, slots=True)
class Network:
    """`identity` makes it an enterprise network, which asks for both."""

    ssid: str
    password: str = ""
    identity: str = ""

    @property
    def security(self) -> Security:
        if self.identity:
            return Security.WPA2_ENTERPRISE_AES
        return Security.WPA2_AES if self.password else Security.OPEN

    @classmethod
    def parse(cls, text: str) -> "Network":
        """`SSID` is open, `SSID=PASSWORD` is WPA2, `enterprise:SSID=IDENTITY@PASSWORD` is WPA2 Enterprise.

        Raises NoNetwork.
        """
        is_enterprise = text.startswith("enterprise:")
        ssid, has_password, password = text.removeprefix("enterprise:").partition("=")
        if not 0 < len(ssid.encode()) <= 32 or (has_password and len(password) < 8):
            raise NoNetwork(
                "write SSID for an open network, SSID=PASSWORD for WPA2 (8 characters or more), or"
                " enterprise:SSID=IDENTITY@PASSWORD"
            )
        if not is_enterprise:
            return cls(ssid, password)
        identity, mark, password = password.rpartition(_ENTERPRISE_MARK)
        if not mark or not identity or not password:
            raise NoNetwork("an enterprise network is written enterprise:SSID=IDENTITY@PASSWORD")
        return cls(ssid, password, identity)


DEFAULT_NETWORKS: Final = (Network("Chamber", "cloud-in-a-box"), Network("Guests"))


@dataclass(frozen=True, slots=True)
class Key:
    """What a device knows of a network after `configure-ap`, decrypted. `has_certificate`: a client certificate whose
    private key came along and fits."""

    ssid: str
    security: Security
    password: str = ""
    identity: str = ""
    has_certificate: bool = False


def scan(networks: Iterable[Network]) -> list[AccessPoint]:
    """The strongest first, as devices report them."""
    return [
        AccessPoint(network.ssid, network.security, rssi=-40 - 7 * place, channel=1 + 5 * place % 11)
        for place, network in enumerate(networks)
    ]


def lets_in(networks: Iterable[Network], key: Key) -> bool:
    for network in networks:
        if network.ssid != key.ssid:
            continue
        if network.identity:
            fits = key.identity == network.identity and key.password == network.password
            return bool(key.security & Security.ENTERPRISE) and (fits or key.has_certificate)
        if key.security & Security.ENTERPRISE:
            return False
        # A device takes the kind of security from the air, not from the app: apps mix the WPA2 kinds up.
        return key.password == network.password and bool(key.security) == bool(network.password)
    return False
