"""What is kept of a datagram session."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SavedSession:
    """`state` is the DTLS association with its master secret, `memory` what the device told of itself; both are opaque
    here. `cid` is None for devices without connection ids, `device` None until a Hello was accepted."""

    id: bytes
    cid: bytes | None
    device: str | None
    address: str
    state: bytes = field(repr=False)
    memory: bytes | None
