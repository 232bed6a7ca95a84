"""What the benchmarks of datagrams start: `python -m bench.udp_server LOOP echo` or `... LOOP OFFLINE_S serve ...`.

LOOP is `uvloop`, which `cloudchamber serve` runs on, or `asyncio`: how much the loop matters can only be told by
running the same server without it, and that is no setting which anybody should be offered. OFFLINE_S is for how many
seconds a device is silent until it counts as offline, and its session is in the store alone; a benchmark cannot wait
the 25 minutes that an Electron has for that.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final, cast

import uvloop

from cloudchamber.cli.main import main as cloudchamber
from cloudchamber.gateway import udp

_RUNNERS: Final[dict[str, Callable[..., Any]]] = {"uvloop": uvloop.run, "asyncio": asyncio.run}


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


def main() -> None:
    loop, what, *arguments = sys.argv[1:]
    if what == "echo":
        _RUNNERS[loop](echo())
        return
    offline_s = float(what)
    vars(uvloop)["run"] = _RUNNERS[loop]
    vars(udp)["offline_after_s"] = lambda _platform_id: offline_s
    sys.argv[1:] = arguments
    cloudchamber()


if __name__ == "__main__":
    main()
