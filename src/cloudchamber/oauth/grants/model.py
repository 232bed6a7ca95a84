"""What a grant is given and gives back."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from cloudchamber.clock import Millis
from cloudchamber.identity.model import Challenge
from cloudchamber.oauth.model import Client, Principal, PrincipalKind

Form = Mapping[str, str]


class Granted(msgspec.Struct, frozen=True):
    """Whom the token acts for, and the `scope` that its answer shows (customer tokens only).

    `family` names the log-in, where a code knows it already; `is_public`: its refreshes need no client secret.
    `needs_second_factor`: there is no token yet. `lifetime_s`: as an earlier request asked, whatever this one says.
    `began`: when the password was shown, in an earlier request.
    """

    principal: Principal
    scope: str | None
    needs_second_factor: bool = False
    lifetime_s: int | None = None
    family: str | None = None
    is_public: bool = False
    began: Millis | None = None


def finished(challenge: Challenge) -> Granted:
    """A log-in whose second factor was right too."""
    principal = Principal(PrincipalKind.USER, challenge.user)
    return Granted(principal, challenge.scope, lifetime_s=challenge.lifetime_s, began=challenge.created_at)


class Grant(Protocol):
    async def grant(self, client: Client, form: Form) -> Granted:
        """Raises OAuthError."""
        ...


class BrowserGrant(Protocol):
    """A grant that a person approved in a browser. A public client has no secret to show for it."""

    async def grant(self, client: Client, form: Form, *, has_secret: bool) -> Granted:
        """Raises OAuthError."""
        ...
