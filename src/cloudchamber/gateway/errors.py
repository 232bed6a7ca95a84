"""What can go wrong at the gateway's own doorstep.

CloudError
└── ServerKeyUnusable   500  server_key_unusable
"""

from typing import ClassVar

from cloudchamber.errors import CloudError


class ServerKeyUnusable(CloudError):
    """The server's key file cannot be used; the message says what to do. The cloud does not start with it."""

    code: ClassVar[str] = "server_key_unusable"
