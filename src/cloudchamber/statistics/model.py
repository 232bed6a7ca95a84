"""What is shown: metrics over a time that is cut into buckets."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

from cloudchamber.access.model import Action
from cloudchamber.clock import DAY, HOUR, MINUTE, Millis
from cloudchamber.tally import Figure

MINUTES_KEPT_MS: Final = DAY + HOUR
"""Of each minute a day is kept, and of each hour a fortnight."""
HOURS_KEPT_MS: Final = 15 * DAY


class Metric(Enum):
    """What is asked for together: its value is the action that it takes, and its figures by the names that the vendor
    gives them in its reference (`GET /v1/products/:p/metrics/...`); connections and tokens are ours."""

    ONLINE = (Action.METRICS_ONLINE_GET, {"count": Figure.ONLINE})
    CONNECTIONS = (Action.METRICS_ONLINE_GET, {"success": Figure.CONNECTED, "failure": Figure.REFUSED})
    EVENTS = (Action.METRICS_EVENTS_GET, {"received": Figure.EVENTS})
    FUNCTIONS = (
        Action.METRICS_EVENTS_GET,
        {
            "success": Figure.FUNCTIONS_OK,
            "failure": Figure.FUNCTIONS_FAILED,
            "offline": Figure.FUNCTIONS_OFFLINE,
        },
    )
    VARIABLES = (
        Action.METRICS_EVENTS_GET,
        {
            "success": Figure.VARIABLES_OK,
            "failure": Figure.VARIABLES_FAILED,
            "offline": Figure.VARIABLES_OFFLINE,
        },
    )
    INTEGRATIONS = (
        Action.METRICS_INTEGRATIONS_GET,
        {"success": Figure.HOOKS_OK, "failure": Figure.HOOKS_FAILED, "sleep": Figure.HOOKS_SKIPPED},
    )
    TOKENS = (Action.METRICS_EVENTS_GET, {"used": Figure.TOKENS})

    @property
    def action(self) -> Action:
        return self.value[0]

    @property
    def figures(self) -> Mapping[str, Figure]:
        return self.value[1]


class Window(msgspec.Struct, frozen=True):
    """A time in buckets of one size; each begins at a multiple of its size since 1970. `since` is the beginning of the
    first one, `until` the end of the last."""

    since: Millis
    until: Millis
    size_ms: int

    @property
    def is_by_hours(self) -> bool:
        return self.size_ms % HOUR == 0

    @property
    def minutes(self) -> int:
        """Of one bucket."""
        return self.size_ms // MINUTE


class Bucket(msgspec.Struct, frozen=True):
    """`minutes` of it the server was there to look: a bucket without any is left out, because nobody knows what
    happened in it. `figures` by Figure; ONLINE is a sum over the minutes."""

    at: Millis
    minutes: int
    figures: Sequence[int]

    def value(self, figure: Figure) -> int:
        """Devices on average, and a number of all else."""
        if figure is Figure.ONLINE:
            return (2 * self.figures[figure] + self.minutes) // (2 * self.minutes)
        return self.figures[figure]


class Course(msgspec.Struct, frozen=True):
    """The buckets of a window in which the server ran, oldest first."""

    window: Window
    buckets: Sequence[Bucket]
