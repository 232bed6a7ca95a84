"""The yardstick: an ASGI application that does nothing, on what Python servers of this kind run on (uvicorn,
httptools, uvloop).

What the same machine needs for this in the same minute is the least that any request can cost here, so a benchmark's
ratio to it says more than its microseconds.
"""

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
import uvloop

_BODY = b'{"hello":"world"}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))],
}
_END = {"type": "http.response.body", "body": _BODY}


async def hello(_scope: Any, _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send(_START)
    await send(_END)


async def serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        hello, loop="none", http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
    )
    print(f"ready http=http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    uvloop.run(serve())
