"""Old objects are looked at when it is due, and not whenever there are a quarter more of them.

The collector is one for the whole process: so what it does is seen in processes of their own.
"""

import subprocess
import sys

import pytest

from cloudchamber.garbage import FEW, IDLE, MOST, Growth, is_due


@pytest.mark.parametrize(
    ("growth", "due"),
    [
        (Growth(FEW, 60.0, 0.06, IDLE), True),
        (Growth(FEW - 1, 3600.0, 0.06, 0.0), False),  # nothing has grown
        (Growth(FEW, 3600.0, 0.06, IDLE + 0.01), False),  # there is something else to do
        (Growth(MOST - 1, 59.0, 0.06, 0.0), False),  # too soon for so long a pause
        (Growth(MOST - 1, 10.0, 0.009, 0.0), True),
        (Growth(MOST, 10.0, 0.06, 1.0), True),  # too much to wait
    ],
)
def test_when_a_full_look_is_due(growth: Growth, due: bool) -> None:
    assert is_due(growth) is due


def ran(script: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


GROWS = """
import gc
from cloudchamber import garbage
garbage.settle()
looks = gc.get_stats()[2]["collections"]
kept = [[number] for number in range(100_000)]
print(gc.get_stats()[2]["collections"] - looks, gc.get_stats()[1]["collections"] > 20, gc.get_count()[2] > garbage.FEW)
"""


def test_what_grows_old_is_not_looked_at_by_the_interpreter() -> None:
    assert ran(GROWS) == "0 True True"


LEAKS = """
import asyncio, gc, weakref
from cloudchamber import garbage
garbage.LOOK_S, garbage.MOST = 0.05, 30
garbage.settle()

class Node:
    pass

async def main():
    collecting = asyncio.create_task(garbage.Collector().run())
    node = Node()
    node.itself, kept = node, []
    seen = weakref.ref(node)
    while gc.get_count()[2] < garbage.MOST:
        kept.append([])
    del node
    assert seen() is not None
    for _ in range(200):
        await asyncio.sleep(0.05)
        if seen() is None:
            break
    collecting.cancel()
    print(seen() is None, gc.get_count()[2])

asyncio.run(main())
"""


def test_old_garbage_goes_when_much_has_grown_old() -> None:
    assert ran(LEAKS) == "True 0"
