"""Whose address a request comes from. Pure.

Behind a reverse proxy every connection comes from the proxy, which writes its client's address at the end of
`X-Forwarded-For`. Whatever stands before that the client may have written itself, so only what trusted proxies wrote
counts: the list is read from its end for as long as the address that wrote it is a trusted one.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# Longer ones are not read to their end: no honest chain of proxies has so many links.
_MAX_HOPS: Final = 16


class Proxies:
    """Reverse proxies whose word about addresses is taken."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def client(self, peer: str, forwarded: str | None) -> str:
        """The client's address; `forwarded` is the header, several joined by commas. A forged or broken one changes
        nothing beyond what its own writer could choose anyway."""
        if not self._networks or forwarded is None or not self._trusts(peer):
            return peer
        found = peer
        for hop in reversed(forwarded.split(",")[-_MAX_HOPS:]):
            address = _plain(hop)
            if address is None:
                return found
            found = address
            if not self._trusts(found):
                return found
        return found

    def _trusts(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((mapped or address) in network for network in self._networks)


def _plain(text: str) -> str | None:
    """`1.2.3.4`, `1.2.3.4:5`, `[::1]:5`, `::1` -> the address as we write it."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None


@lru_cache(maxsize=10_000)
def limit_key(address: str) -> str:
    """What limits count by: an IPv4 address, or the /64 that one subscriber of IPv6 has for themselves."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
