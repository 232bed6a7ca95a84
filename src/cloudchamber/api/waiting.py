"""Requests that wait for a device, or their turn, and end with the client that made them.

A device tells 256 requests apart, and a hundred log-ins may wait for each other. Those that nobody waits for any more
must not be among them.
"""

import asyncio
from types import TracebackType
from typing import Final

from cloudchamber.api.call import EdgeRequest
from cloudchamber.errors import CloudError

WATCH_AFTER_S: Final = 0.5
"""Most devices answer before. A task to watch costs a tenth of what the whole request does."""


def client_gone(error: type[CloudError]) -> CloudError:
    return error("Timed out.", detail="the client closed its connection")


class WhileConnected:
    """What is awaited within is cancelled when the client closes its connection. It ends in an error of the route's
    then, for the log alone: nobody is there to read it."""

    __slots__ = ("_error", "_is_gone", "_req", "_task", "_timer", "_watcher")

    def __init__(self, req: EdgeRequest, error: type[CloudError]) -> None:
        self._req = req
        self._error = error
        self._is_gone = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = task.get_loop().call_later(WATCH_AFTER_S, self._watch)

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        # Others may cancel too, as when the cloud stops: theirs goes on.
        if self._is_gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise client_gone(self._error) from None

    def _watch(self) -> None:
        self._watcher = self._task.get_loop().create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._req.receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._task.cancel()
