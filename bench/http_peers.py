"""Servers that one would use in place of the cloud's HTTP side, each as its own documentation has it in production.

Each is started with the same client, customer and documents as the cloud has. Those that keep tokens keep them in a
SQLite file in WAL mode with `synchronous = FULL`. A second start in the same folder finds what the first one made.
"""

import contextlib
import functools
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from bench import tcp
from bench.processes import CannotStart, listening, running

CUSTOMER_ID: Final = "5e1f0c3a9b7d42e86a0c1d2f"

_PEERS: Final = Path(__file__).parent / "peers"
_NODE: Final = Path(__file__).parent.parent / ".venv/bin/node"
_PYTHON: Final = _PEERS / ".venv/bin/python"
_START_TIMEOUT_S: Final = 10.0


class Told(msgspec.Struct, frozen=True):
    """What a peer is to know: an argument of those in peers/, as JSON."""

    client: dict[str, str]
    """Its `id` and `secret`."""
    customer: dict[str, str]
    """Its `id` and `email`."""
    device: dict[str, Any]
    devices: list[dict[str, Any]]
    token: str
    """Of the customer, for those that give none themselves."""


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    """With its release."""
    kind: str
    pid: int
    url: str
    token: str
    """The customer's."""
    devices: str = "/devices"
    """The path of the customer's devices."""


def told(client: tuple[str, str], email: str, device: dict[str, Any], devices: list[dict[str, Any]]) -> Told:
    return Told(
        client={"id": client[0], "secret": client[1]},
        customer={"id": CUSTOMER_ID, "email": email},
        device=device,
        devices=devices,
        token=secrets.token_hex(20),
    )


@contextlib.contextmanager
def _oidc_provider(folder: Path, about: Told) -> Iterator[Server]:
    name = f"oidc-provider {_node_release('oidc-provider')}"
    with _node("oidc-provider.mjs", folder, str(folder / "oidc-provider.db"), _json(about)) as (pid, url):
        token = _token(f"{url}/token", about, grant_type="customer", email=about.customer["email"])
        yield Server(name, "oidc-provider", pid, url, token)


@contextlib.contextmanager
def _fastify(folder: Path, about: Told) -> Iterator[Server]:
    name = f"Fastify {_node_release('fastify')}"
    with _node("fastify.mjs", folder, _json(about)) as (pid, url):
        yield Server(name, "Fastify", pid, url, about.token)


@contextlib.contextmanager
def _node_http(folder: Path, about: Told) -> Iterator[Server]:
    with _node("node-http.mjs", folder, _json(about)) as (pid, url):
        yield Server(
            f"Node's http {_said(str(_NODE), '--version').removeprefix('v')}", "Node's http", pid, url, about.token
        )


@contextlib.contextmanager
def _django(folder: Path, about: Told) -> Iterator[Server]:
    name = f"django-oauth-toolkit {_python_release('django-oauth-toolkit')}"
    with _python("django_peer.py", folder, about) as (pid, url):
        yield Server(name, "django-oauth-toolkit", pid, url, _passwordless(url, about))


@contextlib.contextmanager
def _authlib(folder: Path, about: Told) -> Iterator[Server]:
    name = f"Authlib {_python_release('authlib')}"
    with _python("authlib_peer.py", folder, about) as (pid, url):
        yield Server(name, "Authlib", pid, url, _passwordless(url, about))


@contextlib.contextmanager
def _nginx(folder: Path, about: Told) -> Iterator[Server]:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise CannotStart("nginx is not on this machine (Debian: apt-get install nginx-light)")
    place = folder / "nginx"
    place.mkdir(exist_ok=True)
    (place / "device.json").write_bytes(msgspec.json.encode(about.device))
    (place / "devices.json").write_bytes(msgspec.json.encode(about.devices))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (place / "nginx.conf").write_text(
        _NGINX.format(
            user="user root;" if os.geteuid() == 0 else "", folder=place, port=port, device=about.device["id"]
        )
    )
    log = folder / "nginx.log"
    with running(["-p", str(place), "-c", str(place / "nginx.conf"), "-e", "stderr"], log, program=program) as process:
        _wait_for(port, log)
        (worker,) = _children(process.pid)
        release = _said(program, "-v").rpartition("/")[2]
        yield Server(f"nginx {release}, a file", "nginx", worker, f"http://127.0.0.1:{port}", about.token)


@contextlib.contextmanager
def _spark_server(folder: Path, about: Told) -> Iterator[Server]:
    with tcp.spark_server(folder / "spark-server", 0, about.device["id"]) as server:
        yield Server(server.of, "spark-server", server.pid, server.url, server.token, "/v1/devices")


Peer = Callable[[Path, Told], contextlib.AbstractContextManager[Server]]

PEERS: Final[dict[str, Peer]] = {
    "oidc-provider": _oidc_provider,
    "django-oauth-toolkit": _django,
    "Authlib": _authlib,
    "Fastify": _fastify,
    "Node's http": _node_http,
    "nginx": _nginx,
    "spark-server": _spark_server,
}
"""By what a server is called without its release. Each raises CannotStart, httpx.HTTPError."""

_NGINX: Final = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  default_type application/json;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  open_file_cache max=100;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location = /devices/{device} {{ alias {folder}/device.json; }}
    location = /devices {{ alias {folder}/devices.json; }}
  }}
}}
"""


@contextlib.contextmanager
def _node(file: str, folder: Path, *arguments: str) -> Iterator[tuple[int, str]]:
    environment = {"NODE_ENV": "production"}
    log = folder / f"{file}.log"
    with listening([str(_PEERS / file), *arguments], log, program=str(_NODE), environment=environment) as (pid, said):
        yield pid, said["http"]


@contextlib.contextmanager
def _python(file: str, folder: Path, about: Told) -> Iterator[tuple[int, str]]:
    """Gives the worker's process id: that one does the work."""
    arguments = [str(_PEERS / file), str(folder / f"{file}.db"), _json(about)]
    environment = {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    with listening(arguments, folder / f"{file}.log", program=str(_PYTHON), environment=environment) as (_, said):
        yield int(said["pid"]), said["http"]


def _json(about: Told) -> str:
    return json.dumps(msgspec.to_builtins(about))


def _passwordless(url: str, about: Told) -> str:
    """By the password grant, which takes any password of a customer from the client."""
    return _token(f"{url}/token", about, grant_type="password", username=about.customer["email"], password="any")


def _token(url: str, about: Told, **form: str) -> str:
    who = (about.client["id"], about.client["secret"])
    return str(httpx.post(url, data=form, auth=who, trust_env=False).raise_for_status().json()["access_token"])


def _node_release(package: str) -> str:
    file = _PEERS / "node_modules" / package / "package.json"
    if not file.exists() or not _NODE.exists():
        raise CannotStart(f"{package} is not installed (`make bench` does that from npm)")
    return str(json.loads(file.read_text())["version"])


@functools.cache
def _said(program: str, *arguments: str) -> str:
    """Asked once, for it is no part of a peer's start."""
    told = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)
    return (told.stdout or told.stderr).strip()


@functools.cache
def _python_release(package: str) -> str:
    if not _PYTHON.exists():
        raise CannotStart(f"{package} is not installed (`make bench` does that from PyPI)")
    ask = f"import importlib.metadata as m; print(m.version({package!r}))"
    told = subprocess.run([_PYTHON, "-c", ask], capture_output=True, text=True, check=False)
    if told.returncode:
        raise CannotStart(f"{package} is not installed (`make bench` does that from PyPI)")
    return told.stdout.strip()


def _wait_for(port: int, log: Path) -> None:
    end = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise CannotStart(f"nginx did not start: {log.read_text()}")


def _children(pid: int) -> list[int]:
    assert sys.platform == "linux"
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in parentheses, may hold blanks; after it come the state and the parent.
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found
