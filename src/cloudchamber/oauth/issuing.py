"""New log-ins with their tokens, brought on record many at a time.

On SQLite each statement lets go of the interpreter's lock and waits for it again while the loop works, which costs more
than what the statement does. So those that one turn of the loop brought share a transaction and its statements, a row
each. Where the database refuses that because of one of them, each is tried alone: nobody fails for another's sake.
"""

import asyncio
from collections.abc import Sequence

from cloudchamber.oauth.errors import OAuthError, log_in_ended
from cloudchamber.oauth.model import NewLogIn
from cloudchamber.oauth.store import TokenStore
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import BrokenReference, Duplicate

_Waiting = tuple[NewLogIn, "asyncio.Future[None]"]


class Issuing:
    def __init__(self, db: Database, store: TokenStore) -> None:
        self._db = db
        self._store = store
        self._waiting: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def put(self, new: NewLogIn) -> None:
        """Returns once it is on the disk.

        Raises OAuthError (invalid_grant) where the account's log-ins ended since it began, BrokenReference where its
        client is gone, StorageUnavailable, StorageBusy.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._begin)
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((new, future))
        await future

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._insert(waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _insert(self, waiting: Sequence[_Waiting]) -> None:
        new = [each for each, _ in waiting]

        async def insert(tx: Transaction) -> None:
            if not await self._store.all_count(tx, new):
                raise log_in_ended()
            await self._store.insert_new(tx, new)

        try:
            await self._db.transaction(insert)
        except (BrokenReference, Duplicate, OAuthError) as error:
            if len(waiting) == 1:
                _end(waiting[0][1], error)
                return
            await asyncio.gather(*(self._insert([each]) for each in waiting))
        except Exception as error:
            for _, future in waiting:
                _end(future, error)
        else:
            for _, future in waiting:
                _end(future, None)


def _end(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():  # who waited is gone
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
