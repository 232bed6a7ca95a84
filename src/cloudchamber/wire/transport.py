"""What carries a session."""

from enum import Enum


class Transport(Enum):
    TCP = "tcp"
    """Ordered and reliable: messages are non-confirmable, and a device's ACKs to ping and signal carry fresh ids."""
    UDP = "udp"
    """Datagrams: what matters is confirmable, and every ACK repeats the id of its request."""
