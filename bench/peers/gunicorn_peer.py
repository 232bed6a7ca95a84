"""Runs a WSGI application under gunicorn: one process, keep-alive, no access log.

The worker is the process whose CPU time counts, so the line that says `ready` names it.
"""

from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication

# More of them answered fewer: they wait for the interpreter's lock, and for SQLite's.
THREADS = 1


class _Application(BaseApplication):
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": "127.0.0.1:0",
            "workers": 1,
            "threads": THREADS,
            "worker_class": "gthread",
            # More than wrk's connections, none of which is to be closed between its requests.
            "keepalive": 60,
            "worker_connections": 1000,
            "accesslog": None,
            "loglevel": "warning",
            "post_worker_init": _ready,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._make()


def _ready(worker: Any) -> None:
    host, port = worker.sockets[0].getsockname()[:2]
    print(f"ready http=http://{host}:{port} pid={worker.pid}", flush=True)


def serve(make: Callable[[], Any]) -> None:
    """`make` gives the application, in the worker."""
    _Application(make).run()
