"""What the benchmarks of datagrams start: `python -m bench.udp_server LOOP echo`, or `... LOOP OFFLINE_S serve ...`.

LOOP is `uvloop`, which `cloudchamber serve` runs on, or `asyncio`: how much the loop matters can only be told by
running the same server without it, and that is no setting which anybody should be offered. OFFLINE_S is for how many
seconds a device is silent until it counts as offline, and its session is in the store alone; a benchmark cannot wait
the 25 minutes that an Electron has for that.

Where CLOUDCHAMBER_BENCH_CORE is set, all of its threads run on that core alone.

On SIGUSR1 the server writes a line to standard error: how many bytes its allocators have given out (see `allocated`).
"""

import asyncio
import ctypes
import gc
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import Any, ClassVar, Final, cast

import uvloop

from cloudchamber.cli import serve, serving
from cloudchamber.cli.main import main as cloudchamber
from cloudchamber.gateway import udp

_RUNNERS: Final[dict[str, Callable[..., Any]]] = {"uvloop": uvloop.run, "asyncio": asyncio.run}
_IN_BLOCKS: Final = re.compile(r"# bytes in allocated blocks\s*=\s*([\d,]+)")


class Echo(asyncio.DatagramProtocol):
    """The yardstick: each datagram goes back to where it came from."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        self._transport.sendto(data, address)


async def echo() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    host, port = transport.get_extra_info("sockname")
    print(f"ready udp={host}:{port}", flush=True)
    await asyncio.Event().wait()


# --- memory ---


class _Mallinfo(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_: ClassVar = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    ]


def allocated() -> tuple[int, int]:
    """Bytes by the interpreter, which gives up to 512 at a time; by the C library, for what is larger and for other
    libraries, as the caches of SQLite."""
    gc.collect()
    with tempfile.TemporaryFile() as file:
        errors = os.dup(2)
        os.dup2(file.fileno(), 2)
        sys._debugmallocstats()
        os.dup2(errors, 2)
        os.close(errors)
        file.seek(0)
        found = _IN_BLOCKS.search(file.read().decode())
    assert found is not None
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    of_c = mallinfo()
    # The interpreter's arenas are mapped, and not of the C library.
    return int(found[1].replace(",", "")), int(of_c.uordblks) + int(of_c.hblkhd)


def _tell_memory(_signal: int, _frame: object) -> None:
    print("allocated", *allocated(), file=sys.stderr, flush=True)


def main() -> None:
    loop, what, *arguments = sys.argv[1:]
    core = os.environ.get("CLOUDCHAMBER_BENCH_CORE")
    if core is not None:
        os.sched_setaffinity(0, {int(core)})
    if what == "echo":
        _RUNNERS[loop](echo())
        return
    offline_s = float(what)
    signal.signal(signal.SIGUSR1, _tell_memory)
    vars(uvloop)["run"] = _RUNNERS[loop]
    vars(udp)["offline_after_s"] = lambda _platform_id: offline_s
    # What is set here must not be lost with this process's program.
    vars(serve)["become_server"] = lambda words: sys.exit(serving.main(words))
    sys.argv[1:] = arguments
    cloudchamber()


if __name__ == "__main__":
    main()
