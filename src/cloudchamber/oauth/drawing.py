"""New tokens, as they go on record and as they are answered. Nothing here asks the database."""

from dataclasses import dataclass
from typing import Final

from cloudchamber.access.requester import UNLIMITED, describe
from cloudchamber.clock import Clock, Millis
from cloudchamber.ids import ClientId, SecretHash, hash_secret, new_ordered_id, new_token
from cloudchamber.oauth.model import AccessToken, Issued, LogIn, Principal, PrincipalKind, RefreshToken
from cloudchamber.oauth.rules import NEVER
from cloudchamber.sealing import Sealer

_NO_END: Final = 2**62


@dataclass(frozen=True, slots=True)
class Pair:
    """`refresh` is None where the access token never ends."""

    issued: Issued
    access: AccessToken
    refresh: RefreshToken | None


class Drawing:
    def __init__(self, clock: Clock, sealer: Sealer | None, refresh_idle_s: int, refresh_max_age_s: int) -> None:
        self._clock = clock
        self._sealer = sealer
        self._refresh_idle_s = refresh_idle_s
        self._refresh_max_age_s = refresh_max_age_s

    def log_in(
        self, family: str | None, client: ClientId, principal: Principal, began: Millis, created_by: str | None
    ) -> LogIn:
        """`family` None for a new one; `created_by` None for whom it acts for."""
        ends = Millis(began + self._refresh_max_age_s * 1000) if self._refresh_max_age_s else None
        family = family or new_ordered_id(began)
        return LogIn(family, created_by or acts_for(principal, client), began, ends)

    def pair(
        self,
        client: ClientId,
        principal: Principal,
        scope: str | None,
        log_in: LogIn,
        lifetime_s: int,
        secrets: tuple[str, str] | None = None,
    ) -> Pair:
        """`secrets` are the two tokens, where they are not to be drawn."""
        now, family = self._clock.now(), log_in.family
        token, again = secrets or (new_token(), "")
        hash_ = hash_secret(token)
        ends = lifetime_s != NEVER
        access = AccessToken(
            hash=hash_,
            client=client,
            principal=principal,
            scope=scope,
            family=family,
            sealed=self._sealed(token, hash_, principal),
            issued_at=now,
            expires_at=Millis(now + lifetime_s * 1000) if ends else None,
        )
        if not ends:
            return Pair(Issued(token, 0, None, scope, acts_for(principal, client)), access, None)
        again = again or new_token()
        refresh = RefreshToken(
            hash=hash_secret(again),
            client=client,
            principal=principal,
            scope=scope,
            family=family,
            access_lifetime_s=lifetime_s,
            issued_at=now,
            expires_at=Millis(min(now + (lifetime_s + self._refresh_idle_s) * 1000, log_in.ends_at or _NO_END)),
            used_at=None,
        )
        return Pair(Issued(token, lifetime_s, again, scope, acts_for(principal, client)), access, refresh)

    def _sealed(self, token: str, hash_: SecretHash, principal: Principal) -> bytes | None:
        """Only people can list their tokens, so only their tokens are kept to be read back."""
        if self._sealer is None or principal.kind is not PrincipalKind.USER:
            return None
        return self._sealer.seal(token.encode(), hash_)


def acts_for(principal: Principal, client: ClientId) -> str:
    """As `describe` writes requesters."""
    return describe(principal.requester(client, UNLIMITED, None))
