"""What happened in each product since it was last asked: counted where it happens, taken once a minute.

A count costs a tenth of a microsecond and waits for nothing, so whoever serves a request or a device may count on the
way. There is one tally in a process; it holds no more than a few numbers for each product in which anything happened.
"""

from enum import IntEnum
from typing import Final

from cloudchamber.ids import ProductId


class Figure(IntEnum):
    """What is counted. The numbers are places in what is on record: a new one goes to the end, none is ever reused."""

    ONLINE = 0
    """Devices that are connected: not counted, but looked at once a minute."""
    EVENTS = 1
    """Published by devices."""
    FUNCTIONS_OK = 2
    FUNCTIONS_FAILED = 3
    """The device was asked and did not answer, or could not take the call."""
    FUNCTIONS_OFFLINE = 4
    """The device was not connected."""
    VARIABLES_OK = 5
    VARIABLES_FAILED = 6
    VARIABLES_OFFLINE = 7
    HOOKS_OK = 8
    """Deliveries of the product's own webhooks."""
    HOOKS_FAILED = 9
    HOOKS_SKIPPED = 10
    """The host failed too often, or too much waited for it already."""
    CONNECTED = 11
    """Devices that came online."""
    REFUSED = 12
    """Handshakes in the name of a device of the product that proved no key which counts."""
    TOKENS = 13
    """Requests with a token of the product's: of its clients, its customers and its API users."""


FIGURES: Final = len(Figure)


class Tally:
    def __init__(self) -> None:
        self._counts: dict[ProductId, list[int]] = {}

    def note(self, product: ProductId | None, figure: int) -> None:
        """One more of `figure`, a Figure; nothing where no product has it."""
        if product is None:
            return
        counts = self._counts.get(product)
        if counts is None:
            counts = self._counts[product] = [0] * FIGURES
        counts[figure] += 1

    def take(self) -> dict[ProductId, list[int]]:
        """What was counted since the last time, by Figure."""
        taken, self._counts = self._counts, {}
        return taken
