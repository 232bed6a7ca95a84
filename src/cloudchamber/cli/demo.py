"""`cloudchamber demo`: a product creator's two-legged story, for real, in a minute.

A cloud and two devices are started as the commands that a person would type; then every request of the story is sent
over HTTP and printed as the curl command that does the same, with the answer that came back. An answer that is not as
it should be ends the demo with an error.
"""

import contextlib
import json
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import httpx
from rich.console import Console

from cloudchamber.settings import Address

DEVICE: Final = "e00fce68c0ffee0123456789"
ELECTRON: Final = "e00fce68c0ffee9876543210"
_START_S: Final = 60.0
_STOP_S: Final = 15.0
_SERIAL_S: Final = 10.0
_PHOTON: Final = 6

Answer = Any
Check = Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class Request:
    """One step of the walk: what is asked, why, and what a right answer is."""

    why: str
    method: str
    path: str
    check: Check
    status: int = 200
    basic: tuple[str, str] | None = None
    token: str | None = None
    form: dict[str, str] = field(default_factory=dict)
    json: Any = None

    def curl(self, base: str) -> str:
        words = ["curl"]
        if self.method != ("POST" if self.form else "GET"):
            words += ["-X", self.method]
        words.append(f"{base}{self.path}")
        if self.basic:
            words += ["-u", ":".join(self.basic)]
        if self.token:
            words += ["-H", f"Authorization: Bearer {self.token}"]
        for name, value in self.form.items():
            words += ["-d", f"{name}={value}"]
        if self.json is not None:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(self.json)]
        return shlex.join(words)


class WalkFailed(click.ClickException):
    """An answer was not as it should be, or a part did not start."""


class Program:
    """A command that runs beside the demo; its lines are read as they come."""

    def __init__(self, words: list[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._seen: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, text: str, timeout_s: float) -> str:
        """The first line with `text` in it. Raises WalkFailed with all that the program said instead."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                break
            self._seen.append(line)
            if text in line:
                return line
        said = "\n  ".join(self._seen[-20:]) or "nothing"
        raise WalkFailed(f"waited for a line with {text!r}; the program said:\n  {said}")

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


class Walk:
    """The story, and its print-out."""

    def __init__(self, base: str, terminal: Console) -> None:
        self._base = base
        self._terminal = terminal
        self._http = httpx.Client(base_url=base, timeout=40.0)
        self._step = 0
        self.owner, self.password = "maker@example.com", f"demo-{os.urandom(6).hex()}"
        self.product = 0

    def ask(self, request: Request) -> Answer:
        self._step += 1
        answer = self._http.request(
            request.method,
            request.path,
            auth=request.basic,
            headers={"Authorization": f"Bearer {request.token}"} if request.token else {},
            data=request.form or None,
            json=request.json,
        )
        self._say(f"\n[bold]{self._step}. {request.why}[/bold]")
        self._show(f"$ {request.curl(self._base)}", "cyan")
        self._show(f"{answer.status_code} {answer.text}", "green" if answer.status_code == request.status else "red")
        try:
            body = answer.json()
        except ValueError:
            body = None
        if answer.status_code != request.status or not request.check(body):
            raise WalkFailed(f"step {self._step}: this is not the answer that belongs here (status {request.status})")
        return body

    def tell(self, text: str) -> None:
        self._say(text)

    def run(self, device: Program) -> str:
        """The two-legged story; returns the customer's token."""
        owner, password = self.owner, self.password
        customer = "jane@example.com"
        self.ask(
            Request(
                "The product creator makes an account.",
                "POST",
                "/v1/users",
                lambda body: body["ok"] is True,
                form={"username": owner, "password": password},
            )
        )
        user_token = self.ask(
            Request(
                "They log in.",
                "POST",
                "/oauth/token",
                _is_token,
                basic=("particle", "particle"),
                form={"grant_type": "password", "username": owner, "password": password},
            )
        )["access_token"]
        product = self.ask(
            Request(
                "They create a product.",
                "POST",
                "/v1/user/products",
                lambda body: body["product"]["id"] > 0,
                token=user_token,
                json={"product": {"name": "Lamp", "description": "A lamp", "platform_id": _PHOTON}},
            )
        )["product"]["id"]
        self.product = product
        client = self.ask(
            Request(
                "They make an OAuth client for their own server; its secret is shown this once.",
                "POST",
                f"/v1/products/{product}/clients",
                lambda body: len(body["client"]["secret"]) == 40,
                token=user_token,
                form={"name": "Server", "type": "installed"},
            )
        )["client"]
        server = (client["id"], client["secret"])
        product_token = self.ask(
            Request(
                "Their server asks for a token of the product.",
                "POST",
                "/oauth/token",
                _is_token,
                basic=server,
                form={"grant_type": "client_credentials"},
            )
        )["access_token"]
        self.ask(
            Request(
                "It imports the device into the product.",
                "POST",
                f"/v1/products/{product}/devices",
                lambda body: body["updated"] == 1 and body["invalidDeviceIds"] == [],
                token=product_token,
                form={"id": DEVICE},
            )
        )
        self.ask(
            Request(
                "And an Electron, which is online over DTLS.",
                "POST",
                f"/v1/products/{product}/devices",
                lambda body: body["updated"] == 1 and body["invalidDeviceIds"] == [],
                token=product_token,
                form={"id": ELECTRON},
            )
        )
        token = self.ask(
            Request(
                "It creates a shadow customer, who has no password, and gets the customer's token.",
                "POST",
                f"/v1/products/{product}/customers",
                lambda body: _is_token(body) and body["scope"] == f"customer={customer}",
                status=201,
                basic=server,
                form={"email": customer, "no_password": "true"},
            )
        )["access_token"]
        self.ask(
            Request(
                "The customer claims the device, which is online.",
                "POST",
                "/v1/devices",
                lambda body: body["ok"] is True and body["connected"] is True and body["id"] == DEVICE,
                token=token,
                form={"id": DEVICE},
            )
        )
        first = self.ask(
            Request(
                "The customer's token reads the variable `counter` from it.",
                "GET",
                f"/v1/devices/{DEVICE}/counter",
                lambda body: body["name"] == "counter" and isinstance(body["result"], int),
                token=token,
            )
        )["result"]
        self.ask(
            Request(
                "They claim the Electron as well.",
                "POST",
                "/v1/devices",
                lambda body: body["ok"] is True and body["connected"] is True and body["id"] == ELECTRON,
                token=token,
                form={"id": ELECTRON},
            )
        )
        self.ask(
            Request(
                "And read the same variable from it: the transport makes no difference.",
                "GET",
                f"/v1/devices/{ELECTRON}/counter",
                lambda body: body["name"] == "counter" and isinstance(body["result"], int),
                token=token,
            )
        )
        self.ask(
            Request(
                "It calls the function `lightsOn`.",
                "POST",
                f"/v1/devices/{DEVICE}/lightsOn",
                lambda body: isinstance(body["return_value"], int),
                token=token,
                form={"arg": "livingRoom"},
            )
        )
        self.ask(
            Request(
                "It publishes a private event, to which the device listens.",
                "POST",
                "/v1/devices/events",
                lambda body: body["ok"] is True,
                token=token,
                form={"name": "testEvent", "data": "testing!", "private": "true"},
            )
        )
        self._show(f"on the device's serial port: {device.wait_for('testEventHandler called', _SERIAL_S)}", "green")
        self.ask(
            Request(
                "The creator's own token is no key to a customer's device.",
                "GET",
                f"/v1/devices/{DEVICE}/counter",
                lambda body: body["error"] == "Permission Denied",
                status=403,
                token=user_token,
            )
        )
        time.sleep(1.1)
        self.ask(
            Request(
                "And the counter goes on counting.",
                "GET",
                f"/v1/devices/{DEVICE}/counter",
                lambda body: body["result"] > first,
                token=token,
            )
        )
        return str(token)

    def _say(self, text: str) -> None:
        self._terminal.print(text, highlight=False)

    def _show(self, text: str, style: str) -> None:
        self._terminal.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _is_token(body: Answer) -> bool:
    return len(body["access_token"]) == 40 and str(body["token_type"]) == "bearer"


@click.command()
@click.option("--once", is_flag=True, help="Stop after the walk; exit status 0 when every answer was right.")
@click.option(
    "--http", default="127.0.0.1:8080", show_default=True, help="HOST:PORT of the API; port 0 takes a free one."
)
@click.option(
    "--tcp", default="127.0.0.1:5683", show_default=True, help="HOST:PORT for devices; port 0 takes a free one."
)
@click.option(
    "--udp",
    default="127.0.0.1:5684",
    show_default=True,
    help="HOST:PORT for devices over DTLS; port 0 takes a free one.",
)
def demo(*, once: bool, http: str, tcp: str, udp: str) -> None:
    """A cloud, a simulated Photon and Electron, and a customer's curl that reaches them over their real protocols."""
    terminal = Console()
    with tempfile.TemporaryDirectory(prefix="cloudchamber-demo-") as folder, contextlib.ExitStack() as stack:
        data = Path(folder) / "data"
        addresses = ["--http", _free(http, terminal), "--tcp", _free(tcp, terminal)]
        addresses += ["--udp", _free(udp, terminal, socket.SOCK_DGRAM), "--metrics", "127.0.0.1:0"]
        serve = _command("serve", "--data", str(data), *addresses)
        cloud = stack.enter_context(_running(serve, terminal))
        base = _base_url(cloud.wait_for("ready http=", _START_S))
        simulate = ["simulate", "--data", str(data), "--keys", str(Path(folder) / "keys"), "--id"]
        device = stack.enter_context(_running(_command(*simulate, DEVICE), terminal))
        electron = stack.enter_context(_running(_command(*simulate, ELECTRON, "--protocol", "udp"), terminal))
        for program in (device, electron):
            terminal.print(f"  {program.wait_for('online', _START_S)}", style="dim", highlight=False)
        walk = Walk(base, terminal)
        token = walk.run(device)
        walk.tell("\n[bold green]Every answer was as it should be.[/bold green]")
        if not once:
            _keep_serving(terminal, base, token, walk)


def _keep_serving(terminal: Console, base: str, token: str, walk: Walk) -> None:
    terminal.print(
        f"\nThe cloud goes on serving until you press Ctrl-C. The same with a mouse: open its console in a browser,\n"
        f"  [bold]{base}/console[/bold]\n"
        f"and sign in:\n"
        f"  e-mail    [bold]{walk.owner}[/bold]\n"
        f"  password  [bold]{walk.password}[/bold]\n"
        f"Lamp > Customers > jane@example.com leads to her devices. There, 'Read all' shows a device's variables.\n"
        f"The shortest way to one of them:\n"
        f"  {base}/console/products/{walk.product}/devices/{DEVICE}\n"
        f"In another terminal, this waits for what her devices say (their function 'publish' lets one speak):\n"
        f"  curl -N {base}/v1/devices/events -H 'Authorization: Bearer {token}'",
        highlight=False,
        soft_wrap=True,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "cloudchamber", *words]


@contextlib.contextmanager
def _running(words: list[str], terminal: Console) -> Iterator[Program]:
    shown = shlex.join(["cloudchamber", *words[3:]])
    terminal.print(f"$ {shown}", style="cyan", markup=False, highlight=False, soft_wrap=True)
    program = Program(words)
    try:
        yield program
    finally:
        program.stop()


def _free(text: str, terminal: Console, kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    """The address, or one with a free port where another program listens there already."""
    address = Address.parse(text)
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            terminal.print(f"{text}: {error.strerror}; a free port is taken instead", style="yellow", highlight=False)
            return f"{address.host}:0"
    return text


def _base_url(ready: str) -> str:
    return next(word.removeprefix("http=") for word in ready.split() if word.startswith("http="))
