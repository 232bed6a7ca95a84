"""What is kept of a session so that a restart of the cloud, or years of sleep, go unseen by the device.

Two rules for whoever stores it:

* `next_number` never goes down. It lies above every record number that was ever used, and the session goes on from
  there. Write the states of one session in the order in which they were taken.
* The bytes hold the master secret: encrypt them at rest.

The replay window is as old as the state. After a crash, records that came since would be taken once more: from the
device's own address harmless (message ids are remembered), from another address they could draw the answers there until
the device's next record. `DtlsSession.unsaved_records` tells how many these are.
"""

import struct
from dataclasses import dataclass, field
from typing import Final

from cloudchamber.wire.dtls.handshake_messages import CID_EXTENSIONS, RANDOM_SIZE
from cloudchamber.wire.dtls.prf import MASTER_SIZE
from cloudchamber.wire.dtls.raw_keys import SPKI_SIZE, read_spki_untrusted
from cloudchamber.wire.dtls.records import CID_SIZE, DEVICE_ID_SIZE, Address
from cloudchamber.wire.errors import WireError

# version(1) cid mode(1) master(48) client random(32) server random(32) cid(8) next number(8) window top + 1(8)
# window bits(8) has device id(1) device id(12) peer key(91) port(2) length of host(1), then the host as UTF-8
_LAYOUT: Final = struct.Struct(
    f">BB{MASTER_SIZE}s{RANDOM_SIZE}s{RANDOM_SIZE}s{CID_SIZE}sQQQB{DEVICE_ID_SIZE}s{SPKI_SIZE}sHB"
)
_VERSION: Final = 1
_NUMBER_LIMIT: Final = 1 << 47
"""Half of what 6 bytes hold: no device lives to see it, and a corrupt state cannot run a session out of numbers."""


@dataclass(frozen=True, slots=True)
class SessionState:
    id: bytes
    """The server's random, 32 bytes: which session this is. Not secret."""
    master: bytes = field(repr=False)
    client_random: bytes
    cid: bytes
    """8 bytes, or b"" for devices that know no connection ids."""
    cid_mode: int
    """Number of the extension that agreed on it, 0 for none."""
    next_number: int
    window_top: int
    window_bits: int
    peer_spki: bytes
    device_id: bytes | None
    address: Address

    def to_bytes(self) -> bytes:
        host = self.address[0].encode()
        return (
            _LAYOUT.pack(
                _VERSION,
                self.cid_mode,
                self.master,
                self.client_random,
                self.id,
                self.cid,
                self.next_number,
                self.window_top + 1,
                self.window_bits,
                self.device_id is not None,
                self.device_id or b"",
                self.peer_spki,
                self.address[1],
                len(host),
            )
            + host
        )

    @classmethod
    def from_bytes_untrusted(cls, data: bytes) -> "SessionState":
        state = cls.from_own_bytes(data)
        read_spki_untrusted(state.peer_spki)
        return state

    @classmethod
    def from_own_bytes(cls, data: bytes) -> "SessionState":
        """As above, of bytes that never left this process: to see whether a key is one takes longer than all the
        rest."""
        if data[:1] != bytes((_VERSION,)):
            raise WireError("session state of another version")
        if len(data) < _LAYOUT.size:
            raise WireError("session state cut off")
        fields = _LAYOUT.unpack_from(data)
        _, mode, master, client_random, server_random, cid, next_number, top, bits = fields[:9]
        has_id, device_id, spki, port, size = fields[9:]
        host = data[_LAYOUT.size :]
        if len(host) != size or mode not in (0, *CID_EXTENSIONS) or has_id > 1:
            raise WireError("session state damaged")
        if not 0 < next_number < _NUMBER_LIMIT or top > 1 << 48:
            raise WireError("session state with impossible numbers")
        try:
            address = (host.decode(), port)
        except UnicodeDecodeError:
            raise WireError("session state damaged") from None
        return cls(
            id=server_random,
            master=master,
            client_random=client_random,
            cid=cid if mode else b"",
            cid_mode=mode,
            next_number=next_number,
            window_top=top - 1,
            window_bits=bits,
            peer_spki=spki,
            device_id=device_id if has_id else None,
            address=address,
        )
