"""Gathering a device's description: it comes in parts, posted or asked for, whole or in blocks.

Device OS 2.0 and later post both parts by themselves (a flag in Hello says so); older ones must be asked. One part is
asked for at a time, which is the one form that every release answers rightly. Posts that do not come are asked for.

A device that has to be asked may be asked too early: up to 1.5 the user's `setup()` runs once the device is connected,
and before that it has nothing to describe. So an empty application part is asked for again, a few times.

A lost datagram is sent again up to 42 s later, so over datagrams every wait is longer.
"""

from collections.abc import Mapping
from typing import Any

from cloudchamber.wire.describe import Application, Describe, Known, Part, Parts, digest_of
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.messages import Block, Hello
from cloudchamber.wire.transport import Transport

POSTS_WAIT_S = 15.0
"""A device posts its application part after the user's `setup()` ran."""
RETRY_S = 15.0
DATAGRAM_POSTS_WAIT_S = 45.0
DATAGRAM_RETRY_S = 60.0
MAX_ASKS = 6
LOOK_AGAIN_S = (1.0, 4.0, 15.0, 60.0)
"""Pauses before an empty application part is asked for again: a `setup()` is quick, or waits for a sensor."""
MAX_SIZE = 32_768
"""The largest description seen has 3 KiB; blocks beyond this come from nothing that means well."""


class Describing:
    __slots__ = (
        "_asks",
        "_blocks",
        "_blocks_part",
        "_known",
        "_looks",
        "_next_block",
        "_platform_id",
        "_posts_wait_s",
        "_retry_s",
        "_system",
        "application",
        "ask_at",
    )

    def __init__(self, hello: Hello, transport: Transport, now: float) -> None:
        self.application: Application | None = None
        over_datagrams = transport is Transport.UDP
        self._posts_wait_s = (
            (DATAGRAM_POSTS_WAIT_S if over_datagrams else POSTS_WAIT_S) if hello.describes_itself else 0
        )
        self._retry_s = DATAGRAM_RETRY_S if over_datagrams else RETRY_S
        self.ask_at: float | None = now + self._posts_wait_s
        self._platform_id = hello.platform_id
        self._asks = 0
        self._looks = 0
        self._system: Mapping[str, Any] | None = None
        """Until it is given."""
        self._known: Known | None = None
        self._blocks = b""
        self._blocks_part: Part | None = None
        self._next_block = 0

    @property
    def complete(self) -> Known | None:
        """What was given last."""
        return self._known

    def know(self, known: Known) -> None:
        """From before a restart: what does not change is not told again."""
        self.application = known.application
        self._known = known

    @property
    def _has_system(self) -> bool:
        return self._system is not None or self._known is not None

    @property
    def asks(self) -> int:
        """How often a part that was missing was asked for."""
        return self._asks

    @property
    def is_at_rest(self) -> bool:
        return self.ask_at is None and self._blocks_part is None and self._system is None

    def rest(self, application: Application | None, system_digest: bytes | None, asks: int) -> None:
        """As it was at rest."""
        self.application = application
        if application is not None and system_digest is not None:
            self._known = Known(application, system_digest)
        self._asks = asks
        self.ask_at = None

    def sleep(self) -> None:
        """Nothing is asked until `wake`: the device is not there."""
        self.ask_at = None

    def wake(self, now: float) -> None:
        if self.application is None or not self._has_system:
            self._asks = 0
            self.ask_at = now + self._posts_wait_s

    def next_part(self, now: float) -> Part | None:
        """The part to ask for now; the caller asks, and the next question waits."""
        if self.ask_at is None or now < self.ask_at:
            return None
        if self._has_system and self.application is not None:
            if not self._is_empty:
                self.ask_at = None
                return None
            # Asked once a look: an answer that does not come is left to the next one.
            self._look_again(now)
            return Part.APPLICATION
        missing = Part.APPLICATION if self._has_system else Part.SYSTEM
        if self._asks >= MAX_ASKS:
            self.ask_at = None
            return None
        self._asks += 1
        self.ask_at = now + self._retry_s
        return missing

    def add(self, parts: Parts, now: float) -> Describe | None:
        """The description when it is complete and differs from the one given last."""
        if parts.application is not None:
            self.application = parts.application
        if parts.system is not None:
            # The protobuf form does not tell the platform: Hello does.
            self._system = {"p": self._platform_id, **parts.system}
        if self.application is None or not self._has_system:
            if self._asks:
                self.ask_at = now
            return None
        if parts.application is not None or self.ask_at is None:
            self._look_again(now)
        system, self._system = self._system, None
        before = None if self._known is None else self._known.system_digest
        digest = before if system is None else digest_of(system)
        assert digest is not None
        known = Known(self.application, digest)
        if known == self._known:
            return None
        self._known = known
        return Describe(self.application.functions, self.application.variables, None if digest == before else system)

    @property
    def _is_empty(self) -> bool:
        """Asked for, and nothing there yet."""
        application = self.application
        return (
            self._posts_wait_s == 0 and application is not None and not (application.functions or application.variables)
        )

    def _look_again(self, now: float) -> None:
        """Sets the time of the next question to a device that had nothing to say, or of none."""
        if not self._is_empty or self._looks >= len(LOOK_AGAIN_S):
            self.ask_at = None
            return
        self.ask_at = now + LOOK_AGAIN_S[self._looks]
        self._looks += 1

    def add_block_untrusted(self, part: Part, block: Block, data: bytes) -> bytes | None:
        """The whole of a posted part, once its last block is there."""
        if block.number == 0:
            self._blocks, self._blocks_part, self._next_block = b"", part, 0
        if part is not self._blocks_part or block.number != self._next_block:
            raise WireError("describe: block out of order")
        self._blocks += data
        self._next_block += 1
        if len(self._blocks) > MAX_SIZE:
            self._blocks_part, self._blocks = None, b""
            raise WireError("describe: too large")
        if block.more:
            return None
        whole, self._blocks, self._blocks_part = self._blocks, b"", None
        return whole
