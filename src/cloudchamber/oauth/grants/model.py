"""What a grant is given and gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cloudchamber.oauth.model import Client, Principal

Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Granted:
    """Whom the token acts for, and the `scope` that its answer shows (customer tokens only)."""

    principal: Principal
    scope: str | None


class Grant(Protocol):
    async def grant(self, client: Client, form: Form) -> Granted:
        """Raises OAuthError."""
        ...
