"""A cloud with everything that the benchmarks ask for: a product, its client, a customer, and the customer's device,
which is connected over TCP."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from bench.processes import CannotStart, listening, running, server

_DEVICE: Final = "b" * 24
_OWNER: Final = "owner@example.com"
_PASSWORD: Final = "a benchmark's password"
_CUSTOMER: Final = "customer@example.com"
_ONLINE_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the servers are, and what a request needs. `pid` and `hello_pid` are those of the two servers."""

    url: str
    pid: int
    hello_url: str
    hello_pid: int
    client: tuple[str, str]
    product: int
    customer: str
    customer_token: str
    device: str
    tcp: str
    udp: str
    """Where devices connect: HOST:PORT."""


@contextlib.contextmanager
def scene(folder: Path, *settings: str) -> Iterator[Scene]:
    """`settings` are further arguments of the cloud. Raises CannotStart, httpx.HTTPError."""
    data, anywhere = folder / "data", "127.0.0.1:0"
    serve = ["-m", "cloudchamber", "serve", "--data", str(data), "--log-level", "warning", *settings]
    for listener in ("--http", "--tcp", "--udp", "--metrics"):
        serve += [listener, anywhere]
    with contextlib.ExitStack() as stack:
        hello_pid, hello_url = stack.enter_context(server(["-m", "bench.hello"], folder / "hello.log"))
        pid, addresses = stack.enter_context(listening(serve, folder / "serve.log"))
        url = addresses["http"]
        http = stack.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))
        client, product, product_token = make_product(http)
        _post(http, f"/v1/products/{product}/devices", product_token, id=_DEVICE)
        customer = _post(http, f"/v1/products/{product}/customers", client, email=_CUSTOMER, no_password="true")
        simulate = ["-m", "cloudchamber", "simulate", "--data", str(data), "--keys", str(folder / "keys")]
        simulate += ["--id", _DEVICE, "--product", str(product), "--version", "1"]
        stack.enter_context(running(simulate, folder / "simulate.log"))
        _wait_online(http, product, product_token, folder / "simulate.log")
        _post(http, "/v1/devices", customer["access_token"], id=_DEVICE)
        yield Scene(
            url, pid, hello_url, hello_pid, client, product, _CUSTOMER, customer["access_token"], _DEVICE,
            addresses["tcp"], addresses["udp"],
        )  # fmt: skip


def with_devices(here: Scene, count: int) -> None:
    """Gives the customer as many devices as make `count`; the others were never online. Raises httpx.HTTPError."""
    with httpx.Client(base_url=here.url, timeout=30, trust_env=False) as http:
        token = _post(http, "/oauth/token", here.client, grant_type="client_credentials")["access_token"]
        for number in range(1, count):
            device = f"{number:024x}"
            _post(http, f"/v1/products/{here.product}/devices", token, id=device)
            _post(http, "/v1/devices", here.customer_token, id=device)


def make_product(http: httpx.Client, platform_id: int = 6) -> tuple[tuple[str, str], int, str]:
    """The product's client, the product's id and a token of the product."""
    _post(http, "/v1/users", None, username=_OWNER, password=_PASSWORD)
    log_in = {"grant_type": "password", "username": _OWNER, "password": _PASSWORD}
    owner = _post(http, "/oauth/token", ("particle", "particle"), **log_in)["access_token"]
    product = http.post(
        "/v1/user/products",
        headers=bearer(owner),
        json={"product": {"name": "Bench", "description": "measured", "platform_id": platform_id}},
    )
    product.raise_for_status()
    id_ = product.json()["product"]["id"]
    made = _post(http, f"/v1/products/{id_}/clients", owner, name="bench", type="installed")["client"]
    client = (made["id"], made["secret"])
    return client, id_, _post(http, "/oauth/token", client, grant_type="client_credentials")["access_token"]


def _post(http: httpx.Client, path: str, who: str | tuple[str, str] | None, **form: str) -> Any:
    answer = http.post(
        path,
        data=form,
        auth=who if isinstance(who, tuple) else httpx.USE_CLIENT_DEFAULT,
        headers=bearer(who) if isinstance(who, str) else None,
    )
    answer.raise_for_status()
    return answer.json()


def _wait_online(http: httpx.Client, product: int, token: str, log: Path) -> None:
    """Until the device has connected and described itself, so that no benchmark measures its start."""
    end = time.monotonic() + _ONLINE_TIMEOUT_S
    while time.monotonic() < end:
        answer = http.get(f"/v1/products/{product}/devices/{_DEVICE}", headers=bearer(token)).raise_for_status()
        if answer.json()["online"] and "counter" in answer.json()["variables"]:
            return
        time.sleep(0.05)
    raise CannotStart(f"The simulated device did not come online: {log.read_text()}")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
