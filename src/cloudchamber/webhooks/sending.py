"""The sender, made when the first hook fires: its HTTP client and the authorities that it trusts take 8 MB and a tenth
of a second, and a cloud without hooks needs neither."""

import asyncio
from typing import TYPE_CHECKING, Protocol

from cloudchamber.webhooks.model import HookRequest, Outcome

if TYPE_CHECKING:
    from cloudchamber.webhooks.sender import Sender


class Sends(Protocol):
    async def send(self, request: HookRequest) -> Outcome:
        """Never raises for what the host does."""

    async def close(self) -> None: ...


class SenderOnDemand:
    """See `Sender`. Use `close` at the end."""

    def __init__(self, *, reaches_private: bool = False) -> None:
        self._reaches_private = reaches_private
        self._making: asyncio.Task[Sender] | None = None
        self._made: Sender | None = None

    async def send(self, request: HookRequest) -> Outcome:
        if self._made is not None:
            return await self._made.send(request)
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(self._make))
        # One that is cancelled while it waits must not take the sender away from the others.
        self._made = await asyncio.shield(self._making)
        return await self._made.send(request)

    async def close(self) -> None:
        if self._making is not None:
            await (await self._making).close()

    def _make(self) -> "Sender":
        from cloudchamber.webhooks.sender import Sender

        return Sender(reaches_private=self._reaches_private)
