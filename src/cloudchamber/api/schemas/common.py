"""What many families share."""

import msgspec


class Ok(msgspec.Struct):
    """Done, and nothing to tell."""

    ok: bool
