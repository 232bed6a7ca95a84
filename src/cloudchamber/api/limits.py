"""How often the edge lets somebody in: by address, by principal, and by failures in a row.

The figures are the vendor's (its reference names them); a refused request is answered 429 with Retry-After. Every
request is one dictionary operation, a request with a token two. A route's row names its class (`limit=`); each route of
a class counts for itself, unless the class says otherwise.

Failures in a row lock an address out of whatever takes a password, a client's secret or a one-time code, and of nothing
else: good tokens of the same address go on. Accounts are protected against guesses from many addresses in identity/
and oauth/, where the guess is checked.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from cloudchamber.access.requester import Anonymous, Device
from cloudchamber.access.requester import Bearer as BearerRequester
from cloudchamber.api.addresses import limit_key
from cloudchamber.api.call import EdgeRequest
from cloudchamber.clock import HOUR, MINUTE, Clock
from cloudchamber.errors import TooManyRequests
from cloudchamber.ratelimit import Allowance, Lockouts


class Rate(msgspec.Struct, frozen=True):
    times: int
    per_ms: int
    by_principal: bool = False
    """Counted for whoever holds the token, wherever they are."""
    is_shared: bool = False
    """One count for all routes of the class."""
    of_misses: bool = False
    """Only what was not there, or not for whoever asked, counts: by address and by principal, for all routes of the
    class together. It slows down who tries ids until one fits."""


ANY_ROUTE: Final = Rate(10_000, 5 * MINUTE)
CLASSES: Final = {
    "token": Rate(100, 5 * MINUTE),
    "login": Rate(100, 5 * MINUTE),
    "reset": Rate(100, 5 * MINUTE),
    "stream": Rate(100, 5 * MINUTE, is_shared=True),
    "serial_number": Rate(50, HOUR, by_principal=True),
    "search": Rate(30, 10 * MINUTE, of_misses=True),
}
"""What a route's `limit` may name."""

MAX_FAILURES: Final = 10
BLOCK_MS: Final = 30 * MINUTE
MAX_OPEN_STREAMS: Final = 100
"""Event streams open at once from one address."""

CheckAddress = Callable[[EdgeRequest], None]
CheckPrincipal = Callable[[BearerRequester], None]
"""Both raise TooManyRequests."""


class Limits:
    """`None` in its place means: no limits."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._addresses = _allowance(ANY_ROUTE)
        self._principals = _allowance(ANY_ROUTE)
        self._misses = _allowance(CLASSES["search"])
        self._failures = Lockouts[str](MAX_FAILURES, BLOCK_MS)
        self._shared = {name: _allowance(rate) for name, rate in CLASSES.items() if rate.is_shared}
        self._streams: dict[str, int] = {}
        self.refused: Counter[str] = Counter()
        """How many requests each class refused; for the metrics."""

    def any_route(self, req: EdgeRequest) -> None:
        """Raises TooManyRequests."""
        if wait := self._addresses.take(limit_key(req.client_ip), self._clock.now()):
            raise self._too_many("any", wait)

    def principal(self, requester: BearerRequester) -> None:
        """Raises TooManyRequests."""
        if wait := self._principals.take(principal_key(requester), self._clock.now()):
            raise self._too_many("principal", wait)

    def both(self, address: str, requester: BearerRequester) -> bool:
        """Counts a request for its address and its principal if both may make one, else for neither."""
        now, address, principal = self._clock.now(), limit_key(address), principal_key(requester)
        if self._principals.wait_ms(principal, now) or self._addresses.take(address, now):
            return False
        return not self._principals.take(principal, now)

    def of_route(self, name: str | None) -> tuple[CheckAddress | None, CheckPrincipal]:
        """What one route of a class checks before anything else, and once it knows who asks."""
        if name is None:
            return None, self.principal
        rate = CLASSES[name]
        if rate.of_misses:
            return self._search_from, self._search_by
        allowance = self._shared[name] if rate.is_shared else _allowance(rate)

        def check(key: str) -> None:
            if wait := allowance.take(key, self._clock.now()):
                raise self._too_many(name, wait)

        def principal(requester: BearerRequester) -> None:
            self.principal(requester)
            check(principal_key(requester))

        if rate.by_principal:
            return None, principal
        return lambda req: check(limit_key(req.client_ip)), self.principal

    # -- searches ---------------------------------------------------------------------------------------------------

    def missed(self, req: EdgeRequest) -> None:
        """What the request named was not there, or not for whoever asked."""
        now = self._clock.now()
        self._misses.take(limit_key(req.client_ip), now)
        if req.requester is not None and not isinstance(req.requester, Device | Anonymous):
            self._misses.take(principal_key(req.requester), now)

    def _search_from(self, req: EdgeRequest) -> None:
        self._check_search(limit_key(req.client_ip))

    def _search_by(self, requester: BearerRequester) -> None:
        self.principal(requester)
        self._check_search(principal_key(requester))

    def _check_search(self, key: str) -> None:
        """Raises TooManyRequests."""
        if wait := self._misses.wait_ms(key, self._clock.now()):
            raise self._too_many("search", wait)

    # -- guesses ----------------------------------------------------------------------------------------------------

    def check_guess(self, req: EdgeRequest) -> None:
        """Raises TooManyRequests while the address is locked out."""
        if wait := self._failures.wait_ms(limit_key(req.client_ip), self._clock.now()):
            raise self._too_many("failures", wait)

    def guessed(self, req: EdgeRequest, *, right: bool) -> None:
        if right:
            self._failures.succeeded(limit_key(req.client_ip))
        else:
            self._failures.failed(limit_key(req.client_ip), self._clock.now())

    @property
    def locked_out(self) -> int:
        """Addresses locked out now."""
        return self._failures.blocked(self._clock.now())

    # -- streams ----------------------------------------------------------------------------------------------------

    def open_stream(self, req: EdgeRequest) -> Callable[[], None]:
        """Counts a stream of this address; returns what ends it, once. Raises TooManyRequests."""
        key = limit_key(req.client_ip)
        count = self._streams.get(key, 0)
        if count >= MAX_OPEN_STREAMS:
            raise self._too_many("open_streams", 1_000)
        self._streams[key] = count + 1
        is_open = True

        def close() -> None:
            nonlocal is_open
            if not is_open:
                return
            is_open = False
            left = self._streams[key] - 1
            if left:
                self._streams[key] = left
            else:
                del self._streams[key]

        return close

    def _too_many(self, name: str, wait_ms: int) -> TooManyRequests:
        self.refused[name] += 1
        return TooManyRequests(wait_ms)


def _allowance(rate: Rate) -> Allowance[str]:
    return Allowance(rate.times, rate.per_ms)


def principal_key(requester: BearerRequester) -> str:
    """One person, customer or product, whatever tokens they have. The ids of all kinds are random, so they share one
    table."""
    return getattr(requester, "id", None) or requester.client
