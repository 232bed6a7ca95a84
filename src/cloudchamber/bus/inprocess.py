"""The bus of one process: a publication runs its subscribers at once, in the order in which they subscribed.

Subscribers are plain functions that drop a cache entry or put an event into a bounded queue; none may wait.
"""

import logging
from collections.abc import Callable
from typing import Any

Handler = Callable[[Any], None]
_log = logging.getLogger(__name__)


class InProcessBus:
    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}

    def subscribe(self, subject: str, handler: Handler) -> Callable[[], None]:
        """Returns the function that ends the subscription."""
        handlers = self._handlers.setdefault(subject, [])
        handlers.append(handler)
        return lambda: handlers.remove(handler)

    def publish(self, subject: str, message: object) -> None:
        for handler in tuple(self._handlers.get(subject, ())):
            try:
                handler(message)
            except Exception:
                # One subscriber's bug must not keep a revocation from the others.
                _log.exception("a subscriber of %s failed", subject)
