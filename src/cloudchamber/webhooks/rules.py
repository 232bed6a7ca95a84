"""When a hook fires, when it is tried again, when it sleeps. Pure."""

from dataclasses import dataclass
from typing import Final

from cloudchamber.clock import MINUTE, SECOND, Millis
from cloudchamber.messaging.model import FROM_CLOUD, Event
from cloudchamber.webhooks.model import Answered, Failed, Outcome

# Three attempts (http-api.md 15.3). The second comes when a passing fault is over, the third when a restart is.
MAX_ATTEMPTS: Final = 3
RETRY_AFTER_MS: Final = (5 * SECOND, 60 * SECOND)
# What a host may ask for with Retry-After; past that, its event is too old to be of use.
MAX_RETRY_AFTER_MS: Final = 5 * MINUTE

# A hook whose host fails again and again sleeps, so that it costs neither side anything.
FAILURES_BEFORE_SLEEP: Final = 10
FIRST_SLEEP_MS: Final = 1 * MINUTE
LONGEST_SLEEP_MS: Final = 30 * MINUTE

# Statuses after which the same request may work later; every other 4xx says that the request itself is wrong.
_PASSING: Final = frozenset({408, 425, 429})


def triggers(prefix: str, device: str | None, event: Event) -> bool:
    """Does `event` fire a hook on `prefix`, limited to `device` or not?

    What hooks themselves cause fires no hook, whatever its topic is: otherwise two hooks could keep each other busy for
    ever.
    """
    return (
        event.name.startswith(prefix)
        and event.source != FROM_CLOUD
        and not event.name.startswith("hook-")
        and (device is None or device == event.source)
    )


def is_success(outcome: Outcome) -> bool:
    return isinstance(outcome, Answered) and 200 <= outcome.status < 300


def error_text(outcome: Outcome) -> str:
    """What the device and the log are told (the vendor's wording for a status)."""
    return outcome.reason if isinstance(outcome, Failed) else f"error status {outcome.status} from host"


@dataclass(frozen=True, slots=True)
class Done:
    """The host took it."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    pass


@dataclass(frozen=True, slots=True)
class TryAgain:
    at: Millis


Verdict = Done | GiveUp | TryAgain


def after_attempt(attempts: int, outcome: Outcome, now: Millis, jitter: float) -> Verdict:
    """What follows attempt number `attempts` (from 1). `jitter` from 0 to 1 spreads what failed together."""
    if is_success(outcome):
        return Done()
    is_passing = (
        not outcome.is_final if isinstance(outcome, Failed) else outcome.status >= 500 or outcome.status in _PASSING
    )
    if not is_passing or attempts >= MAX_ATTEMPTS:
        return GiveUp()
    wait_ms = int(RETRY_AFTER_MS[attempts - 1] * (1 + jitter / 4))
    if isinstance(outcome, Answered) and outcome.retry_after_s is not None:
        wait_ms = max(wait_ms, min(int(outcome.retry_after_s * SECOND), MAX_RETRY_AFTER_MS))
    return TryAgain(Millis(now + wait_ms))


@dataclass(frozen=True, slots=True)
class Health:
    """How a hook's host has been doing: failed deliveries in a row, and until when the hook sleeps."""

    failures: int = 0
    asleep_until: Millis | None = None

    def is_asleep(self, now: Millis) -> bool:
        return self.asleep_until is not None and now < self.asleep_until


WELL: Final = Health()


def after_delivery(health: Health, now: Millis, *, succeeded: bool) -> Health:
    """The first success wakes a hook; each failure past the tenth doubles its sleep."""
    if succeeded:
        return WELL
    failures = health.failures + 1
    if failures < FAILURES_BEFORE_SLEEP:
        return Health(failures)
    doublings = min(failures - FAILURES_BEFORE_SLEEP, 10)
    return Health(failures, Millis(now + min(FIRST_SLEEP_MS << doublings, LONGEST_SLEEP_MS)))
