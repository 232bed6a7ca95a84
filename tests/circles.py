"""Objects that refer to each other in a circle are freed by the garbage collector alone, which looks seldom
(`cloudchamber.garbage`). What comes and goes by the thousand must leave none."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """What goes within, goes at once or not at all."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def alive(*kinds: type) -> list[object]:
    return [found for found in gc.get_objects() if type(found) in kinds]
