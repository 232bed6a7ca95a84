"""`tests.watched`, killed with SIGKILL between a refresh's commit and its answer: `python -m tests.whole.dying_refresh
FILE WORDS...`."""

import os
import signal
from typing import Any

from cloudchamber.oauth.refreshing import Refreshing
from tests.watched import main

_next_pair = Refreshing._next_pair


async def next_pair_and_die(refreshing: Refreshing, *args: Any) -> None:
    if await _next_pair(refreshing, *args) is not None:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Refreshing._next_pair = next_pair_and_die  # type: ignore[method-assign, assignment]
    main()
