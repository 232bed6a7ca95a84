"""Objects that refer to each other in a circle are freed by the garbage collector alone, which looks seldom
(`cloudchamber.garbage`). What comes and goes by the thousand must leave none."""

import contextlib
import gc
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def no_collector() -> Iterator[Callable[..., list[object]]]:
    """What goes within, goes at once or not at all. Gives what is left of some types, without what other tests left."""
    gc.collect()
    gc.disable()
    before = set(map(id, held := gc.get_objects()))

    def left(*kinds: type) -> list[object]:
        assert held
        return [found for found in gc.get_objects() if type(found) in kinds and id(found) not in before]

    try:
        yield left
    finally:
        gc.enable()
