"""When the interpreter looks for garbage among what lives long.

What nobody refers to any more is freed at once. The garbage collector is for objects that refer to each other in a
circle, and nothing else runs while it looks. Young objects it looks at often, a few thousand at a time, which takes a
millisecond. At all of them it looks whenever a quarter more has grown old: with 10,000 devices over TCP that is 200,000
objects and 50 to 100 ms, and a few new ciphers for each device are enough for it.

Connections, of which there are many, leave no circles behind. So a full look is worth its pause in two cases: there is
little else to do, or so much has grown old that what nobody needs of it might be felt.
"""

import asyncio
import gc
import time
from typing import Final

import msgspec

YOUNG: Final = 2_000
"""So many more objects than are gone: then the young ones are looked at. A request to a device is 45 while it is on its
way, so with 700, as it comes, each time that 16 were answered together there was a look."""
MIDDLE: Final = 0
"""After so many of these looks the next one takes in what they left, and what it leaves has grown old. Each object is
in one of these whatever this is; fewer objects at a time are a shorter pause."""
FEW: Final = 7
"""Times that something has grown old, up to 4,000 objects each: worth a full look where there is little to do."""
MOST: Final = 250
"""Worth it at any time: a million objects are some 150 MB, if all of them were garbage. 10,000 devices that come online
over TCP make it 100, nearly all of whose objects stay."""
IDLE: Final = 0.2
"""Share of a core that the process uses at most while there is little to do."""
SHARE: Final = 1 / 1000
"""Of its time that the process spends on full looks, at most, until there are MOST."""
LOOK_S: Final = 1.0
"""Short, so that a moment in which there was little to do is hardly over when it is seen."""

_NEVER: Final = 1_000_000_000


class Growth(msgspec.Struct, frozen=True):
    """Since the last full look."""

    times: int
    """That something has grown old."""
    seconds: float
    took_s: float
    """The last full look itself."""
    busy: float
    """Share of a core that the process used lately."""


def is_due(growth: Growth) -> bool:
    if growth.times >= MOST:
        return True
    return growth.times >= FEW and growth.busy <= IDLE and growth.took_s <= growth.seconds * SHARE


def settle() -> None:
    """What is there now stays: no later look takes it in. To be called when all has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, _NEVER)


class Collector:
    """Looks at everything when it is due. Belongs to a process that has settled."""

    def __init__(self) -> None:
        self._looked_at = time.monotonic()
        self._took_s = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            used, at = time.process_time(), time.monotonic()
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            busy = (time.process_time() - used) / (now - at)
            if is_due(Growth(gc.get_count()[2], now - self._looked_at, self._took_s, busy)):
                gc.collect()
                self._looked_at = time.monotonic()
                self._took_s = self._looked_at - now
