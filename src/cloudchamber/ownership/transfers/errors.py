"""What can go wrong with transfers.

CloudError
├── NotFound
│   └── TransferNotFound      none with this id that the requester is part of
├── Conflict
│   └── TransferOver          it was answered, taken back or void before
├── TooManyRequests
│   └── TooManyTransfers
└── Invalid
    └── TransferInvalid       no such answer
"""

from typing import ClassVar

from cloudchamber.errors import Conflict, Invalid, NotFound, TooManyRequests


class TransferNotFound(NotFound):
    code: ClassVar[str] = "transfer_not_found"


class TransferOver(Conflict):
    code: ClassVar[str] = "transfer_over"


class TooManyTransfers(TooManyRequests):
    code: ClassVar[str] = "too_many_transfers"


class TransferInvalid(Invalid):
    code: ClassVar[str] = "transfer_invalid"


def transfer_not_found() -> TransferNotFound:
    return TransferNotFound("Transfer not found")
