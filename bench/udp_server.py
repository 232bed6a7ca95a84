"""What the benchmarks of datagrams start: `python -m bench.udp_server LOOP echo` or `... LOOP IDLE_S serve ...`.

LOOP is `uvloop`, which `cloudchamber serve` runs on, or `asyncio`: how much the loop matters can only be told by
running the same server without it, and that is no setting which anybody should be offered. IDLE_S is how long a session
is silent until it leaves memory, in seconds; a benchmark cannot wait five minutes for that.
"""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import uvloop

from cloudchamber import app
from cloudchamber.cli.main import main as cloudchamber
from cloudchamber.gateway.udp import UdpLimits

_RUNNERS: Final[dict[str, Callable[..., Any]]] = {"uvloop": uvloop.run, "asyncio": asyncio.run}
_SWEEPS: Final = 6


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
    idle_s = float(what)
    vars(uvloop)["run"] = _RUNNERS[loop]
    vars(app)["UdpLimits"] = partial(UdpLimits, idle_s=idle_s, sweep_s=min(10.0, idle_s / _SWEEPS))
    sys.argv[1:] = arguments
    cloudchamber()


if __name__ == "__main__":
    main()
