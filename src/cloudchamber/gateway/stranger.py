"""A TCP connection whose device has said nothing yet behind the handshake: the handshake's questions.

There may be many of these at a time, and most of the time of a storm is spent on them. So this is little, and does
everything with few calls; the device's session (tcp_session.py) is made when there is something for it.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from msgspec import Struct

from cloudchamber.gateway.crypto import Work
from cloudchamber.gateway.services import TcpServices
from cloudchamber.gateway.session import INBOX_TIMEOUT_S, admitted_key
from cloudchamber.gateway.tcp_session import Peer, TcpSession
from cloudchamber.ids import DeviceId
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.events import Closed, CloseReason, DecryptHandshake, IdentifyDevice
from cloudchamber.wire.tcp.handshake import (
    CREDENTIALS_SIZE,
    KEY_AT,
    NONCE_SIZE,
    open_handshake,
    seal_to_device,
    sign_digest,
)
from cloudchamber.wire.tcp.stranger import Found, Stranger

log = logging.getLogger(__name__)


class StrangersPeer(Peer, Protocol):
    """The socket's side."""

    def write(self, data: bytes) -> None: ...

    def admitted(self) -> None:
        """The next step is the device's: its Hello."""
        ...

    def becomes(self, session: TcpSession) -> None:
        """From now on everything is that one's."""
        ...


class StrangerSession:
    """All methods run on the loop's thread. Whoever holds it calls `handle_deadline` now and then."""

    __slots__ = (
        "_device",
        "_device_key",
        "_is_computing",
        "_loop",
        "_peer",
        "_prepared",
        "_services",
        "_wire",
        "_work",
    )

    def __init__(self, peer: StrangersPeer, services: TcpServices, nonce: bytes) -> None:
        """`nonce`: it was sent already."""
        self._loop = loop = asyncio.get_running_loop()
        self._peer = peer
        self._services = services
        self._wire = Stranger(nonce, loop.time())
        self._is_computing = False
        self._work: asyncio.Task[None] | None = None
        self._prepared: _Prepared | None = None
        self._device = DeviceId("")
        self._device_key = b""

    # --- for the socket ---

    @property
    def device(self) -> DeviceId:
        """Empty before it was admitted."""
        return self._device

    @property
    def waits_for_peer(self) -> bool:
        """True when the next step of the handshake is the peer's, not ours."""
        return self._work is None and not self._is_computing

    def receive(self, data: bytes) -> None:
        found = self._wire.receive(data, self._loop.time())
        if found is not None:
            self._found(found)

    def receive_eof(self) -> None:
        closed = self._wire.receive_eof()
        if closed is not None:
            self._closed(closed)

    def writable(self) -> None:
        """What it is sent fits into any buffer."""

    def close(self) -> None:
        self._found(self._wire.close())

    def lost(self) -> None:
        """The socket is gone, in whatever way."""
        self.receive_eof()

    def handle_deadline(self, now: float) -> bool:
        """`now` in the loop's time. True: that was its end."""
        closed = self._wire.handle_deadline(now)
        self._found(closed)
        return closed is not None

    # --- what the machine found ---

    def _found(self, event: Found | None) -> None:
        if event is None:
            return
        if isinstance(event, DecryptHandshake):
            self._is_computing = True
            services = self._services
            work = _open(services.server_key, event.ciphertext, event.nonce, services.inbox.goes_by)
            services.crypto.submit(self._decrypted, work)
        elif isinstance(event, IdentifyDevice):
            self._identify(event)
        elif isinstance(event, Closed):
            self._closed(event)
        else:
            self._become_session()

    def _decrypted(self, opened: "tuple[bytes | None, _Prepared | None]") -> None:
        self._is_computing = False
        plaintext, self._prepared = opened
        event = self._wire.decrypted(plaintext)
        if isinstance(event, IdentifyDevice):
            self._identify(event)
        else:
            self._found(event)

    def _identify(self, event: IdentifyDevice) -> None:
        device, prepared = DeviceId(event.device_id.hex()), self._prepared
        self._prepared = None
        key = self._services.inbox.admit_now(device, event.public_key_der)
        if key is None:
            self._work = self._loop.create_task(self._ask(device, event.public_key_der, prepared))
        elif prepared is not None and prepared.device_key == key:
            self._sealed(device, prepared)
        else:
            self._seal(device, key)

    async def _ask(self, device: DeviceId, public_key_der: bytes | None, prepared: "_Prepared | None") -> None:
        # The machine gives the device up before `INBOX_TIMEOUT_S`, and so cancels this: one timer less.
        admission = self._services.inbox.admit(device, public_key_der)
        key = await admitted_key(admission, device, self._peer.ip)
        self._work = None
        if key is None:
            self._found(self._wire.refuse())
        elif prepared is not None and prepared.device_key == key:
            self._sealed(device, prepared)
        else:
            self._seal(device, key)

    def _seal(self, device: DeviceId, key: bytes) -> None:
        self._is_computing = True
        services = self._services
        services.crypto.submit(partial(self._came, device), _prepare(services.server_key, key))

    def _came(self, device: DeviceId, prepared: "_Prepared | WireError") -> None:
        self._is_computing = False
        if not isinstance(prepared, WireError):
            self._sealed(device, prepared)
        elif not self._wire.is_closed:
            log.info("device %s at %s not admitted: %s", device, self._peer.ip, prepared)
            self._found(self._wire.refuse())

    def _sealed(self, device: DeviceId, prepared: "_Prepared") -> None:
        if not self._wire.admit(prepared.credentials, self._loop.time()):
            return
        self._device, self._device_key = device, prepared.device_key
        self._peer.write(prepared.reply)
        self._peer.admitted()
        if self._wire.has_spoken:
            self._become_session()

    def _become_session(self) -> None:
        """Nothing of what the device says is lost, and none of it is known here."""
        first_message_id = int.from_bytes(os.urandom(2))
        connection = self._wire.into_connection(first_message_id, self._loop.time())
        session = TcpSession(connection, self._peer, self._services, self._device, self._device_key)
        self._peer.becomes(session)
        session.pump()

    def _closed(self, event: Closed) -> None:
        if self._work is not None:
            self._work.cancel()
            self._work = None
        if self._device and event.reason is not CloseReason.LOCAL:
            rest = self._services.inbox.unproven(self._device)
            if rest is not None:
                self._services.mailboxes.post(self._device, partial(_tell_unproven, rest, self._device))
        self._peer.finish(event)


class _Prepared(Struct, frozen=True, gc=False):
    """What a device is admitted with, by the key for which it was made: see `Stranger.admit`."""

    device_key: bytes
    reply: bytes
    credentials: bytes


async def _tell_unproven(rest: Callable[[], Coroutine[Any, Any, None]], device: DeviceId) -> None:
    """An errand for the device's mailbox: it does not raise."""
    try:
        async with asyncio.timeout(INBOX_TIMEOUT_S):
            await rest()
    except Exception:
        log.exception("device %s: could not be told to be unproven", device)


def _open(
    server_key: RSAPrivateKey, ciphertext: bytes, nonce: bytes, goes_by: Callable[[DeviceId, bytes], bool]
) -> Work[tuple[bytes | None, _Prepared | None]]:
    """The plaintext. Of a device that will hardly be refused also what it is admitted with, in the same work."""
    plaintext = yield partial(open_handshake, server_key, ciphertext)
    # Not `read_identity`, which decides, a moment later: whatever is wrong here only costs this device a turn.
    if plaintext is None or not plaintext.startswith(nonce):
        return plaintext, None
    device, key = plaintext[NONCE_SIZE:KEY_AT], plaintext[KEY_AT:]
    if not goes_by(DeviceId(device.hex()), key):
        return plaintext, None
    prepared = yield from _prepare(server_key, key)
    return plaintext, None if isinstance(prepared, WireError) else prepared


def _prepare(server_key: RSAPrivateKey, device_key: bytes) -> Work[_Prepared | WireError]:
    credentials = os.urandom(CREDENTIALS_SIZE)
    try:
        sealed, digest = seal_to_device(device_key, credentials)
    except WireError as error:
        return error
    signature = yield partial(sign_digest, server_key, digest)
    return _Prepared(device_key, sealed + signature, credentials)
