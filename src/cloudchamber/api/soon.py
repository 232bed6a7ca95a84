"""Answers that somebody else has to be asked for, without a task for each."""

from collections.abc import Callable
from typing import Any

import msgspec

from cloudchamber.errors import CloudError

Told = Callable[[Any], None]
"""Told once what came of it, or the exception that says why nothing did."""
Cancel = Callable[[], None]
"""Nobody waits any more, and nothing is told from here on. After the end it does nothing."""


class Soon(msgspec.Struct, frozen=True):
    """What a request asks, when all that can be checked beforehand is checked and nothing has happened yet. `begin`
    asks, and may tell before it returns; `shown` makes a document of what it tells."""

    begin: Callable[[Told], Cancel]
    shown: Callable[[Any], Any]
    unheard: type[CloudError] | None = None
    """What the log says where the client goes before it was told; None: nothing, for it makes no difference."""
