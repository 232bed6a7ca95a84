"""A UDP gateway in a process of its own that kills itself at a chosen moment: `python -m tests.whole.crashing_cloud
DATABASE KEY PORT WHEN`. It is the device's cloud for one life; the next one has nothing but the database.

WHEN: `before` or `after` the store has the first reservation of record numbers that this life asks for, `sent` after
the twentieth datagram, or `never`.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cloudchamber.gateway.udp import UdpGateway
from cloudchamber.resumption.model import SavedSession
from cloudchamber.storage.database import open_database
from cloudchamber.wire.dtls.state import SessionState
from tests.gateway.udp_cloud import UdpCloud

DATAGRAMS = 20


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def live(database: Path, key: Path, port: int, when: str) -> None:
    cloud = UdpCloud(await open_database(f"sqlite:///{database}"))
    loaded = load_pem_private_key(key.read_bytes(), None)
    cloud.key, cloud.port = loaded, port  # type: ignore[assignment]
    save = cloud.saved.save
    marks: dict[bytes, int] = {}

    async def save_or_die(session: SavedSession) -> None:
        mark = SessionState.from_bytes_untrusted(session.state).next_number
        known = await cloud.saved.by_device(session.device or "")
        if known is not None and known.id == session.id:
            marks[session.id] = SessionState.from_bytes_untrusted(known.state).next_number
        is_reservation = mark > marks.get(session.id, mark)
        if is_reservation and when == "before":
            die()
        await save(session)
        if is_reservation and when == "after":
            die()

    cloud.saved.save = save_or_die  # type: ignore[method-assign]
    await cloud.start()
    transmit = UdpGateway._transmit

    def transmit_and_die(gateway: UdpGateway) -> None:
        transmit(gateway)
        if when == "sent" and gateway.datagrams_out >= DATAGRAMS:
            die()

    UdpGateway._transmit = transmit_and_die  # type: ignore[method-assign]
    print(cloud.port, flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
