"""What accounts need of the packages that are built on them."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cloudchamber.clock import Millis
from cloudchamber.ids import SecretHash, UserId
from cloudchamber.storage.database import Transaction

USER_NOTICE: Final = "user"
"""Subject of a notice (storage/notices.py), about the id of a user: USER_RENAMED."""

USER_RENAMED: Final = "user.renamed"
"""Bus subject; the message is a UserId. Whoever keeps users' names forgets this one's."""


class LogIns(Protocol):
    """What ends when a password changes. The tokens answer."""

    async def end_of_user(self, tx: Transaction, user: UserId, keep: SecretHash | None = None) -> Sequence[SecretHash]:
        """Ends all of a user's tokens inside the caller's transaction, but for the log-in that `keep` belongs to."""
        ...

    def announce(self, hashes: Sequence[SecretHash]) -> None:
        """Tells caches and streams of tokens that ended, once the transaction is committed."""
        ...


class Leaver(Protocol):
    """Something that a user has things in: devices, hooks, clients."""

    async def leave(self, tx: Transaction, user: UserId, now: Millis) -> Callable[[], None]:
        """Lets go of what a user had, inside the transaction that deletes the account; what it returns is called once
        that is committed, to tell caches and streams."""
        ...
