"""What a scope allows, in words that a person reads before saying yes. Pure."""

from typing import Final

from cloudchamber.oauth.model import Principal, PrincipalKind

_WORDS: Final = {
    "devices:list": "see your devices",
    "devices:get": "see what your devices are and whether they are online",
    "devices:update": "rename your devices and write notes on them",
    "devices:claim": "add devices to your account",
    "devices:release": "remove devices from your account",
    "devices:ping": "ask your devices whether they are there",
    "devices:signal": "make your devices blink",
    "devices.variable:get": "read your devices' values",
    "devices.function:call": "control your devices",
    "events:get": "hear what your devices say",
    "events:send": "send events to your devices",
    "claim_codes:create": "set new devices up for you",
    "account:get": "see your account",
    "account:update": "change your account",
    "products:list": "see your products",
    "products:create": "make products for you",
}

_CUSTOMERS: Final = [
    "see your devices and whether they are online",
    "control your devices and read their values",
    "hear what your devices say, and send events to them",
    "add devices to your account, rename and remove them",
]
_USERS: Final = [*_CUSTOMERS, "manage your products, applications and webhooks", "see and change your account"]


def permissions(scope: str | None, principal: Principal) -> list[str]:
    """One line each; a scope that has no words of its own is named as it is."""
    if scope:
        return [_WORDS.get(name, name) for name in scope.split()]
    return list(_CUSTOMERS if principal.kind is PrincipalKind.CUSTOMER else _USERS)
