"""What a handler may answer with."""

import os
from collections.abc import Iterator
from typing import Any, Final

import falcon.asgi
import msgspec

from cloudchamber.api.errors import Header

JSON: Final = "application/json; charset=utf-8"

encode_json = msgspec.json.Encoder().encode


_ENDS: Final = tuple(f"{number:02x}" for number in range(256))


def _request_ids() -> Iterator[str]:
    """UUIDs of version 4, without the 1.5 µs of the uuid module. They need not be guarded: 256 in a row differ in their
    last two digits alone."""
    while True:
        digits = os.urandom(16).hex()
        begin = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:30]}"
        yield from [begin + end for end in _ENDS]


request_id: Final = _request_ids().__next__


class Reply(msgspec.Struct, frozen=True):
    """An answer that is not plain 200 with JSON. `body` is None for no body at all, bytes for a body as it is (with
    its content type among the headers), else what JSON can hold."""

    body: Any = None
    status: int = 200
    headers: tuple[Header, ...] = ()


NO_CONTENT = Reply(None, 204)


def write_reply(resp: falcon.asgi.Response, reply: Reply) -> None:
    resp.status = reply.status
    for name, value in reply.headers:
        if name == "set-cookie":
            resp.append_header(name, value)
        else:
            resp.set_header(name, value)
    if isinstance(reply.body, bytes):
        resp.data = reply.body
    elif reply.body is not None:
        resp.data = encode_json(reply.body)
