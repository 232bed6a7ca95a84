"""The one exception for bad input from the network."""


class WireError(Exception):
    """What a peer sent cannot be read.

    Functions that touch a peer's bytes are named `*_untrusted` and raise only this.
    """


class FramingError(WireError):
    """The length in front of a frame cannot be right."""


class DecryptionError(WireError):
    """A frame decrypted to wrong padding: corrupt, replayed or out of step."""
