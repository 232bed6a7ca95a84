"""A device's connection over UDP: DTLS, and a session that is kept over sleep, reset and loss of the network.

What a real device holds in memory that survives a reset is held here, and in a file where one is named. It is taken out
to be gone on with, and put back when the line ends: so nothing goes on from one state twice, and a simulator that was
killed finds none and makes a new session.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from cloudchamber.simulator.keys import write_private
from cloudchamber.simulator.line import Line
from cloudchamber.wire.dtls.client import ClientSetup, Dialect, DtlsClient
from cloudchamber.wire.dtls.events import Delivered, Ended, EndReason, Secured
from cloudchamber.wire.dtls.raw_keys import spki_of
from cloudchamber.wire.dtls.state import SessionState
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import Closed, CloseReason
from cloudchamber.wire.session.base import earliest
from cloudchamber.wire.session.device_state import DeviceState
from cloudchamber.wire.session.profile import DeviceProfile
from cloudchamber.wire.udp.device import DeviceDatagramConnection

if TYPE_CHECKING:
    from cloudchamber.simulator.device import VirtualDevice

MAX_USES: Final = 3
"""A session that was gone on with so often, and never answered, is thrown away."""

_SYSTEM_4_0: Final = 4000


@dataclass(frozen=True, slots=True)
class KeptSession:
    dtls: SessionState
    device: DeviceState
    uses: int = 0
    """How often it was taken in vain."""

    def to_json(self) -> bytes:
        return json.dumps(
            {"dtls": self.dtls.to_bytes().hex(), "device": astuple(self.device), "uses": self.uses}
        ).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "KeptSession":
        """Raises WireError."""
        try:
            found = json.loads(data)
            device = DeviceState(*found["device"])
            return cls(SessionState.from_bytes_untrusted(bytes.fromhex(found["dtls"])), device, found["uses"])
        except (ValueError, TypeError, LookupError) as error:
            raise WireError("not a session") from error


@dataclass(slots=True)
class UdpNetwork:
    """One device's way to the cloud. `loss`: the share of datagrams that get lost, each way. `moves`: a new local port
    for each line, as behind a router that forgot the last one. `session_file`: where the session is kept over the end
    of this program; it holds secrets."""

    host: str
    port: int
    server_key: EllipticCurvePublicKey
    key: EllipticCurvePrivateKey
    session_file: Path | None = None
    loss: float = 0.0
    moves: bool = False
    handshakes: int = 0
    """How many were completed."""
    _kept: KeptSession | None = None
    _local_port: int = 0
    _is_loaded: bool = field(default=False)

    async def connect(self, device: "VirtualDevice") -> Line:
        """Raises OSError."""
        found = await asyncio.get_running_loop().getaddrinfo(self.host, self.port)
        remote = str(found[0][4][0])
        kept = self._take()
        lines: list[UdpLine] = []

        def make() -> UdpLine:
            lines.append(UdpLine(device, self, kept))
            return lines[-1]

        try:
            if self._local_port and not self.moves and _is_free(_wildcard(remote), self._local_port):
                with contextlib.suppress(OSError):  # another program may have it by now
                    return await self._line(make, remote, self._local_port)
            return await self._line(make, remote, 0)
        except BaseException:
            # uvloop leaves the socket of a connect that is cancelled, by its time limit above all, to the protocol.
            for line in lines:
                line.abort()
            # Where nothing was sent the session is as good as it was; else the line has kept what came of it.
            if kept is not None and not any(line.was_made for line in lines):
                self.keep(kept)
            raise

    async def _line(self, make: Callable[[], "UdpLine"], remote: str, port: int) -> "UdpLine":
        transport, line = await asyncio.get_running_loop().create_datagram_endpoint(
            make, local_addr=(_wildcard(remote), port), remote_addr=(remote, self.port)
        )
        self._local_port = transport.get_extra_info("sockname")[1]
        return line

    # --- the session ---

    def _take(self) -> KeptSession | None:
        if not self._is_loaded and self.session_file is not None:
            with contextlib.suppress(FileNotFoundError, WireError):
                self._kept = KeptSession.from_json(self.session_file.read_bytes())
        self._is_loaded = True
        kept, self._kept = self._kept, None
        if self.session_file is not None:
            self.session_file.unlink(missing_ok=True)
        if kept is None or kept.dtls.peer_spki != spki_of(self.server_key) or kept.uses >= MAX_USES:
            return None
        return kept

    def keep(self, session: KeptSession) -> None:
        self._kept = session
        if self.session_file is not None:
            write_private(self.session_file, session.to_json())


def _wildcard(remote: str) -> str:
    return "::" if ":" in remote else "0.0.0.0"  # noqa: S104 - the socket is connected, and hears one peer


def _is_free(address: str, port: int) -> bool:
    """uvloop forgets to close the socket of an endpoint whose port it cannot have."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def dialect_of(profile: DeviceProfile) -> Dialect:
    version = profile.system_version
    if version is None:
        return Dialect.DEVICE_ID
    return Dialect.PLAIN_CID if version < _SYSTEM_4_0 else Dialect.MARKED_CID


class UdpLine(Line, asyncio.DatagramProtocol):
    def __init__(self, device: "VirtualDevice", network: UdpNetwork, kept: KeptSession | None) -> None:
        super().__init__(device)
        self._network = network
        self._transport: asyncio.DatagramTransport | None = None
        self._uses = 0 if kept is None else kept.uses
        self._was_heard = False
        setup = ClientSetup(
            device_id=device.setup.device_id,
            device_key=network.key,
            server_key=network.server_key,
            dialect=dialect_of(device.setup.profile),
            packs_flight=bool(device.setup.profile.hello_flags),
        )
        now = self._loop.time()
        self._dtls = DtlsClient(setup, entropy=os.urandom, now=now, saved=None if kept is None else kept.dtls)
        self._connection: DeviceDatagramConnection | None = None
        if kept is not None:
            self._open(kept.device)

    def _open(self, state: DeviceState | None) -> None:
        self._connection = DeviceDatagramConnection(
            setup=self._device.setup, draw=self._device.random.random, now=self._loop.time(), state=state
        )

    # --- asyncio.DatagramProtocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.closed.done():
            transport.close()
            return
        self._transport = cast("asyncio.DatagramTransport", transport)
        self._pump()

    def datagram_received(self, data: bytes, _address: object) -> None:
        if not self._is_lost():
            self._dtls.receive_datagram(data, self._loop.time())
            self._pump()

    def error_received(self, exc: Exception) -> None:
        """A cloud that is away for a moment: a device does not hear of that, and waits."""

    @property
    def was_made(self) -> bool:
        """Whether anything can have been sent."""
        return self._transport is not None

    # --- Line ---

    @property
    def session(self) -> DeviceDatagramConnection | None:
        return self._connection

    def abort(self) -> None:
        self._end(Closed(CloseReason.LOCAL, "no network"))

    def _deadline_passed(self, now: float) -> None:
        self._dtls.handle_deadline(now)
        if self._connection is not None:
            self._connection.handle_deadline(now)

    def _pump(self) -> None:
        while self._move():
            pass
        now = self._loop.time()
        if self._connection is not None and self._dtls.is_open:
            for message in self._connection.messages_to_send(now):
                self._dtls.send(message)
        self._transmit()
        if not self.closed.done():
            deadline = None if self._connection is None else self._connection.next_deadline()
            self._set_timer(earliest(self._dtls.next_deadline(), deadline))

    def _move(self) -> bool:
        """True when there may be more."""
        events = self._dtls.events()
        now = self._loop.time()
        for event in events:
            match event:
                case Secured():
                    self._network.handshakes += 1
                    self._open(None)
                case Delivered(payload):
                    self._was_heard = True
                    if self._connection is not None:
                        self._connection.receive_message(payload, now)
                case Ended(reason, detail):
                    peer = CloseReason.PEER if reason is EndReason.PEER else CloseReason.HANDSHAKE
                    self._end(Closed(peer, f"{reason.value} {detail}".strip()))
        if self._connection is None:
            return bool(events)
        told = self._connection.events()
        for one in told:
            if isinstance(one, Closed):
                self._send_last()
            self._handle(self._connection, one)
        return bool(events or told)

    def _send_last(self) -> None:
        assert self._connection is not None
        if self._dtls.is_open:
            for message in self._connection.messages_to_send(self._loop.time()):
                self._dtls.send(message)

    def _transmit(self) -> None:
        datagrams = self._dtls.datagrams_to_send(self._loop.time())
        if self._transport is not None and not self._transport.is_closing():
            for datagram in datagrams:
                if not self._is_lost():
                    self._transport.sendto(datagram)

    def _is_lost(self) -> bool:
        return self._network.loss > 0 and self._device.random.random() < self._network.loss

    def _end(self, closed: Closed) -> None:
        if self.closed.done():
            return
        self._transmit()
        connection = self._connection
        if closed.reason is CloseReason.LOCAL and connection is not None and self._dtls.is_open and self.was_made:
            uses = 0 if self._was_heard else self._uses + 1
            self._network.keep(KeptSession(self._dtls.suspend(), connection.state(), uses))
        if self._transport is not None:
            self._transport.close()
        super()._end(closed)
