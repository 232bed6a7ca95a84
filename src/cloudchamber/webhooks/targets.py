"""Which addresses a hook may reach. Pure.

Whoever writes a hook makes the server send requests. On the server's own network these would pass for the server's:
metadata services, databases and consoles trust them. So only addresses of the public internet may be reached, judged
after the name was resolved and again at every redirect (security checklist 48).
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

# Prefixes that carry an IPv4 address inside, which then has to be judged: NAT64, 6to4 and Teredo.
_NAT64: Final = ip_network("64:ff9b::/96")
_NAT64_LOCAL: Final = ip_network("64:ff9b:1::/48")
_IPV4_COMPATIBLE: Final = ip_network("::/96")
# Set aside for protocols; one cloud's metadata service lives in it. Releases of Python differ over it.
_PROTOCOLS: Final = ip_network("192.0.0.0/24")


def is_public(address: str) -> bool:
    """`address` as the resolver gives it; a zone (`fe80::1%eth0`) makes it a local one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return _is_public(parsed)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or address.is_site_local:
            return False
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64 or address in _IPV4_COMPATIBLE:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return _is_public(inner)
        if address.teredo is not None or address in _NAT64_LOCAL:
            return False
    # `is_global` leaves out private, loopback, link-local (with 169.254.169.254), shared (100.64/10), documentation,
    # benchmarking and reserved ranges; multicast it does not.
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _PROTOCOLS
