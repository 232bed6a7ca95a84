"""The loops that tests run on."""

import asyncio
import warnings
from typing import Self

import uvloop


class Uvloop(uvloop.Loop):
    """uvloop warns of each transport that is left open while it closes, and waits for all of them to be closed. Where
    warnings are errors, the first one keeps it from closing that transport: `close` then never returns, and neither
    does the test run. Here the warnings come once all is closed."""

    def close(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            super().close()
        for warning in caught:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


class Turns:
    """Numbers the turns of the running loop while it is entered."""

    def __init__(self) -> None:
        self.number = 0
        self._next: asyncio.Handle | None = None

    def __enter__(self) -> Self:
        self._turn()
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._next is not None
        self._next.cancel()

    def _turn(self) -> None:
        self.number += 1
        self._next = asyncio.get_running_loop().call_soon(self._turn)
