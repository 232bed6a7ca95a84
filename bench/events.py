"""Events: from one publisher to many listeners, from devices in, and out to webhooks, beside what does the same."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx
import msgspec

from bench import report, tcp, udp
from bench.listeners import PAYLOAD, Ears, Heard, Listeners, Slice
from bench.load import Load, LoadFailed, cpu_time
from bench.load import Order as LoadOrder
from bench.processes import CannotStart, running, server
from bench.report import OURS, Curve, Goal, Row, Section
from bench.run import Run
from bench.scene import bearer
from bench.tcp_events import WINDOW, TcpPublishers
from bench.udp_devices import Devices, Order, Tally

NAMES: Final = ("fanout", "events-in", "webhooks")
SIZES: Final = (1, 100, 1_000)
"""Listeners; no more than the command line's count."""

_PER_USER: Final = 100
"""Streams that one user may have open."""
_PUBLISHERS: Final = 16
_RATES: Final = {1: 200.0, 100: 50.0, 1_000: 5.0}
"""Events per second at which latencies are taken: a tenth of what each of them can do, or less."""
_NAME: Final = "bench"
_PASSWORD: Final = "a benchmark's password"
_NODE: Final = Path(__file__).parent.parent / ".venv/bin/node"
_PEERS: Final = Path(__file__).parent / "peers"
_START_TIMEOUT_S: Final = 10.0
_FIRST_PING_S: Final = 2.5
"""nats-server asks each new client once, whatever its interval is: after 2 s, give or take a fifth."""


_SUBSCRIBED_S: Final = 2.0
"""Where nothing says that a listener is one: so long for all of them."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A server that is up, and how one listens and publishes there."""

    name: str
    ears: Callable[[int], Ears]


def measure(name: str, run: Run) -> Section:
    """See `suites.Suite`."""
    if name == "events-in":
        return _events_in(run)
    if name == "webhooks":
        return _webhooks(run)
    sizes = [size for size in SIZES if size <= run.count]
    rows: list[Row] = []
    busiest = 0.0
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        run.steps.begin("starting a cloud")
        brokers = [stack.enter_context(_ours(run.folder, max(sizes)))]
        for peer, starting in PEERS.items():
            run.steps.begin(f"starting {peer}")
            try:
                brokers.append(stack.enter_context(starting(run.folder)))
            except (CannotStart, FileNotFoundError) as error:
                missing[peer] = str(error).rstrip(".")
        run.steps.expect(len(sizes) * run.rounds)
        for size in sizes:
            with contextlib.ExitStack() as crowds:
                setting = f"{size:,} listener{'s' if size > 1 else ''}"
                run.steps.begin(f"{setting}: opening the streams")
                heard = [(broker, crowds.enter_context(Listeners(broker.ears(size)))) for broker in brokers]
                mine = [Row("deliveries", setting, broker.name, []) for broker in brokers]
                for _, crowd in heard:
                    crowd.run(Slice(min(1.0, run.seconds)))
                for _ in range(run.rounds):
                    run.steps.begin(setting)
                    for row, (broker, crowd) in zip(mine, heard, strict=True):
                        flat_out = crowd.run(Slice(run.seconds))
                        paced = crowd.run(Slice(run.seconds, _rate(size)))
                        row.rounds.append(_round(flat_out, paced))
                        if broker.name == OURS:
                            busiest = max(busiest, flat_out.client_cpu_seconds / flat_out.seconds)
                    run.steps.end()
                rows += mine
    curve = _curve(rows)
    growth, flat = report.grown([("CPU time of a delivery", curve.points[OURS])], "listeners")
    return Section(
        "fanout",
        "Events to many listeners",
        _WHAT,
        growth + rows,
        [curve],
        [Goal("deliveries", "per_s", 1.0, "mosquitto", "100 listeners"), *flat],
        ("per_s", "cpu_us"),
        missing,
        [f"In its busiest slice the load generator took {busiest:.0%} of a core while it listened to the cloud."],
    )


_WHAT: Final = f"""
An event of 100 bytes to each of the listeners; a delivery is one event at one of them. *per s* and *CPU µs* are of
deliveries, as fast as they go with at most 64 events on their way; *p50* and *p99* are from the sending of a
publication to its arrival, at {_RATES[1]:g}, {_RATES[100]:g} and {_RATES[1_000]:g} events per second. At the end of
each slice every listener has had every event, or the run fails. Listeners and publishers are one other process that
counts bytes on bare sockets.

The cloud, Node and spark-server have their events by POST over {_PUBLISHERS} connections that wait for the answer, and
check the token; spark-server answers before anybody has the event. The cloud's frames say when an event was published
and by whom, and each stream ends when its token does. The brokers get theirs over one connection without any answer
(MQTT 3.1.1 with QoS 0; NATS core), from whoever comes. All but nats-server work on one thread. mosquitto keeps nothing
and logs nothing; it leaves TCP_NODELAY off, as by default, which makes a delivery a third cheaper. The 1,000 listeners
of the cloud are ten users, who listen to everybody's public events; the others are one user's own.
"""


def _rate(listeners: int) -> float:
    return next(rate for size, rate in _RATES.items() if listeners <= size)


def _round(flat_out: Heard, paced: Heard) -> dict[str, float]:
    return {
        "per_s": flat_out.deliveries / flat_out.seconds,
        "cpu_us": flat_out.server_cpu_seconds / flat_out.deliveries * 1e6,
        "p50_ms": paced.p50_ms,
        "p99_ms": paced.p99_ms,
        "load_percent": 100 * flat_out.client_cpu_seconds / flat_out.seconds,
    }


def _curve(rows: list[Row]) -> Curve:
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        size = float(row.setting.partition(" ")[0].replace(",", ""))
        points.setdefault(row.subject, []).append((size, row.median("cpu_us")))
    return Curve("Cost of a delivery", "listeners", "CPU µs", points)


# --- events from devices in ---

_DEVICES: Final = 128
"""No more than the command line's count."""
_OVERLOAD: Final = 10
_SPARK_DEVICES: Final = 32
_SPARK_SHARE: Final = 4
_HOOKED: Final = 8_000
"""Events of a slice, at the most: of those that a webhook waits for 10,000 are kept."""


def _events_in(run: Run) -> Section:
    count = min(run.count, _HOOKED)
    rows: list[Row] = []
    busiest = 0.0
    missing: dict[str, str] = {}
    run.steps.expect(2 * len(WORKS) * run.rounds)
    with hooks_reach_this_machine(), _mute() as url:
        for work, publishers, place, window in WORKS:
            settings = [Row(work, setting, OURS, []) for setting in ("nobody waits", "a webhook waits for each")]
            theirs = Row(work, settings[0].setting, tcp.SPARK_SERVER, [])
            run.steps.begin(f"{work}: starting a cloud")
            folder = run.folder / f"in-{len(rows)}"
            folder.mkdir()
            crowd = min(_DEVICES, run.count)
            with contextlib.ExitStack() as stack:
                there, devices = stack.enter_context(place(folder, crowd)), stack.enter_context(publishers())
                tally = devices.run(there.order("online", crowd, min(crowd, 32)))
                if tally.failed:
                    raise LoadFailed(f"{tally.failed} devices did not come online: {tally.reasons}")
                peer = _spark_photons(stack, folder, run, missing) if publishers is TcpPublishers else None
                for _ in range(run.rounds):
                    for row in settings:
                        run.steps.begin(f"{work}, {row.setting}")
                        with _hook(there, url) if row is settings[1] else contextlib.nullcontext():
                            found = devices.run(there.order("events", count, window))
                        row.rounds.append(_taken(found))
                        busiest = max(busiest, found.own_cpu_seconds / found.seconds)
                        run.steps.end()
                    if peer is not None:
                        run.steps.begin(f"{work}, {theirs.subject}")
                        few = peer.server.order("events", max(1, count // _SPARK_SHARE), window)
                        few = msgspec.structs.replace(few, stream=peer.stream)
                        theirs.rounds.append(_taken(peer.devices.run(few)))
                        peer.devices.hold(peer.server.order("hold", peer.count, 0))
            rows += [settings[0], *([theirs] if theirs.rounds else []), settings[1]]
    return Section(
        "events-in",
        "Events from devices",
        _IN,
        rows,
        [],
        [Goal(work, "per_s", 10_000.0, setting="a webhook waits for each") for work, *_ in WORKS],
        ("per_s", "cpu_us"),
        missing,
        [f"In its busiest slice the devices' process took {busiest:.0%} of a core while it spoke to the cloud."],
    )


def _taken(found: Tally) -> dict[str, float]:
    share = 100 * found.failed / (found.done + found.failed)
    own = 100 * found.own_cpu_seconds / found.seconds
    return {"per_s": found.per_second, "cpu_us": found.cpu_us, "failed": share, "load_percent": own}


@dataclass(frozen=True, slots=True)
class _Photons:
    server: tcp.Server
    devices: Devices
    count: int

    @property
    def stream(self) -> str:
        return f"{urlsplit(self.server.url).netloc} {self.server.token}"


def _spark_photons(stack: contextlib.ExitStack, folder: Path, run: Run, missing: dict[str, str]) -> _Photons | None:
    count = min(_SPARK_DEVICES, run.count)
    try:
        server = stack.enter_context(tcp.spark_server(folder / "spark-server", count))
    except CannotStart as error:
        missing["spark-server"] = str(error).rstrip(".")
        return None
    devices = stack.enter_context(TcpPublishers())
    run.steps.begin(f"{count} Photons come to spark-server, four a second")
    tcp.come_one_by_one(devices, server, count)
    devices.hold(server.order("hold", count, 0))
    return _Photons(server, devices, count)


_IN: Final = f"""
Confirmable events of 100 bytes from {_DEVICES} devices of a product, as fast as they are answered: {WINDOW} of each
Photon (TCP) or Electron (DTLS) on their way, or {_OVERLOAD * WINDOW}. Where a webhook waits for each event,
it is acknowledged when its delivery is in the database, on the disk; the webhook's host takes connections and never
answers, so that nothing but the way in is measured. *failed* events were refused, which their devices know.
`tests/whole/test_events.py` holds that none of those acknowledged is lost, also when the process is killed.
spark-server has {_SPARK_DEVICES} of the Photons and a quarter of the events. It acknowledges none, so that an event of
its is done when it has come on an event stream; it keeps none either.
"""


class _There(Protocol):
    """A cloud with a product, and how orders for its devices are made."""

    @property
    def url(self) -> str: ...

    @property
    def pid(self) -> int: ...

    @property
    def product(self) -> int: ...

    @property
    def token(self) -> str: ...

    def order(self, what: str, count: int, at_once: int) -> Order: ...


@contextlib.contextmanager
def _photons(folder: Path, devices: int) -> Iterator[_There]:
    with tcp.serving(folder / "tcp") as server:
        yield tcp.with_product(server, devices)


@contextlib.contextmanager
def _electrons(folder: Path, devices: int) -> Iterator[_There]:
    with udp.place(folder / "udp", "uvloop", devices) as there:
        yield there


@contextlib.contextmanager
def hooks_reach_this_machine() -> Iterator[None]:
    os.environ["CLOUDCHAMBER_WEBHOOK_PRIVATE_TARGETS"] = "true"
    try:
        yield
    finally:
        del os.environ["CLOUDCHAMBER_WEBHOOK_PRIVATE_TARGETS"]


@contextlib.contextmanager
def _mute() -> Iterator[str]:
    """A host that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


@contextlib.contextmanager
def _hook(there: _There, url: str) -> Iterator[None]:
    """A webhook of the product. What waits for it goes with it."""
    hooks = f"{there.url}/v1/products/{there.product}/integrations"
    with httpx.Client(headers=bearer(there.token), timeout=60, trust_env=False) as http:
        made = http.post(hooks, json={"event": _NAME, "url": url}).raise_for_status().json()
        yield
        http.delete(f"{hooks}/{made['id']}").raise_for_status()


WORKS: Final = (
    ("events over TCP", TcpPublishers, _photons, WINDOW),
    (f"events over TCP, {_OVERLOAD} times as many at once", TcpPublishers, _photons, _OVERLOAD * WINDOW),
    ("events over UDP", Devices, _electrons, WINDOW),
)
"""What it is, who publishes where, and how many events of each device are on their way."""


# --- webhooks ---

TARGETS: Final = ("one host", "and one that never answers")


@dataclass(frozen=True, slots=True)
class _Queue:
    """A server with a durable queue of deliveries, and a publication that fills it."""

    name: str
    pid: int
    url: str
    token: str


def _webhooks(run: Run) -> Section:
    rows: dict[tuple[str, str], Row] = {}
    missing: dict[str, str] = {}
    run.steps.expect(len(TARGETS) * run.rounds)
    for setting in TARGETS:
        if setting == TARGETS[0]:
            starts, rounds, seconds = 1, run.rounds, run.seconds
        else:
            # Nothing leaves a queue for the host that never answers, and it is full some time. So each round has new
            # ones, and ends before that.
            starts, rounds, seconds = run.rounds, 1, min(run.seconds, _UNTIL_FULL_S)
        for start in range(starts):
            with contextlib.ExitStack() as stack:
                run.steps.begin(f"{setting}: starting the servers")
                folder = run.folder / f"{setting}-{start}".replace(" ", "-")
                folder.mkdir()
                _, host = stack.enter_context(server(["-m", "bench.receiver"], folder / "receiver.log"))
                targets = [f"{host}/in"] + ([stack.enter_context(_mute())] if setting != TARGETS[0] else [])
                queues = [stack.enter_context(_our_queue(folder, targets))]
                try:
                    queues.append(stack.enter_context(_node_queue(folder, targets)))
                except CannotStart as error:
                    missing["Node with better-sqlite3"] = str(error).rstrip(".")
                load = stack.enter_context(Load())
                for queue in queues:
                    _delivered(load, queue, host, min(0.2, seconds))
                for _ in range(rounds):
                    run.steps.begin(setting)
                    for queue in queues:
                        row = rows.setdefault(
                            (setting, queue.name), Row("event and its delivery", setting, queue.name, [])
                        )
                        row.rounds.append(_delivered(load, queue, host, seconds))
                    run.steps.end()
    what, found = _OUT, list(rows.values())
    return Section("webhooks", "Events out to webhooks", what, found, plotted=("per_s", "cpu_us"), missing=missing)


_UNTIL_FULL_S: Final = 1.0
"""The cloud keeps 10,000 deliveries for a hook, and then tells publishers to wait: 5,000 a second fill it within two
seconds, warming up included."""

_OUT: Final = f"""
Events of 100 bytes by POST over {_PUBLISHERS} connections, each of which is on the disk before it is answered, and a
POST for each to a host that answers at once, eight at a time; *per s* counts until the last delivery has arrived, *CPU
µs* is that of an event and its delivery. In the second setting each event also goes to a host that takes connections
and never answers, with new servers in each round. The cloud checks a token, tries again what failed, shows the last
deliveries to their owner, and tells its streams of each. The peer is a script of a hundred lines on Node's own HTTP and
a SQLite file with `synchronous = FULL` (`bench/peers/node-hooks.mjs`), which does nothing of this.
"""


def _delivered(load: Load, queue: _Queue, host: str, seconds: float) -> dict[str, float]:
    place = urlsplit(queue.url)
    assert place.hostname is not None
    assert place.port is not None
    body = f"name={_NAME}&data={'x' * PAYLOAD}".encode()
    request = (
        f"POST /v1/devices/events HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {queue.token}\r\n"
        f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    before, cpu, started = _count(host), cpu_time(queue.pid), time.perf_counter()
    sample = load.run(LoadOrder(place.hostname, place.port, request, _PUBLISHERS, seconds, 0.0, queue.pid))
    end = time.perf_counter() + _DRAIN_S
    last, arrived_at = _count(host), time.perf_counter()
    while last - before < sample.requests or time.perf_counter() < arrived_at + _STILL_S:
        time.sleep(0.02)
        if (now := _count(host)) != last:
            last, arrived_at = now, time.perf_counter()
        if time.perf_counter() > end:
            raise LoadFailed(f"{queue.name} delivered {last - before} of {sample.requests} events in {_DRAIN_S:g} s")
    deliveries = last - before
    return {
        "per_s": deliveries / (arrived_at - started),
        "cpu_us": (cpu_time(queue.pid) - cpu) / deliveries * 1e6,
    }


_DRAIN_S: Final = 60.0
_STILL_S: Final = 0.5
"""So long after the last delivery the connections that were closed with a question open have theirs, too."""


def _count(host: str) -> int:
    return int(httpx.get(f"{host}/count", trust_env=False, timeout=30).raise_for_status().text)


@contextlib.contextmanager
def _our_queue(folder: Path, targets: list[str]) -> Iterator[_Queue]:
    with _serving(folder, {"CLOUDCHAMBER_WEBHOOK_PRIVATE_TARGETS": "true"}) as (pid, url):
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            token = _user(http, 0)
            for target in targets:
                hook = {"event": _NAME, "url": target}
                http.post("/v1/integrations", json=hook, headers=bearer(token)).raise_for_status()
        yield _Queue(OURS, pid, url, token)


@contextlib.contextmanager
def _node_queue(folder: Path, targets: list[str]) -> Iterator[_Queue]:
    if not (_PEERS / "node_modules/better-sqlite3").is_dir() or not _NODE.exists():
        raise CannotStart("better-sqlite3 is not installed (`make bench` does that from npm)")
    arguments = [str(_PEERS / "node-hooks.mjs"), str(folder / "queue.db"), *targets]
    with server(arguments, folder / "hooks.log", program=str(_NODE), environment={"NODE_ENV": "production"}) as (
        pid,
        url,
    ):
        yield _Queue("Node with better-sqlite3", pid, url, "")


@contextlib.contextmanager
def _serving(folder: Path, environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    serve = ["-m", "cloudchamber", "serve", "--data", str(folder / "data"), "--log-level", "warning"]
    for listener in ("--http", "--tcp", "--udp", "--metrics"):
        serve += [listener, "127.0.0.1:0"]
    with server(serve, folder / "serve.log", environment=environment) as started:
        yield started


# --- ours ---


@contextlib.contextmanager
def _ours(folder: Path, listeners: int) -> Iterator[Broker]:
    """Raises CannotStart, httpx.HTTPError."""
    with _serving(folder, {"CLOUDCHAMBER_MAX_STREAMS": str(listeners + 100)}) as (pid, url):
        users = max(1, listeners // _PER_USER)
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as http:
            tokens = [_user(http, number) for number in range(users)]

        def ears(size: int) -> Ears:
            path = "/v1/devices/events" if size <= _PER_USER else f"/v1/events/{_NAME}"
            names = tokens[: max(1, size // _PER_USER)]
            return _sse(url, pid, size, path, names, f"&private={'true' if size <= _PER_USER else 'false'}")

        yield Broker(OURS, ears)


def _user(http: httpx.Client, number: int) -> str:
    name = f"listener-{number}@example.com"
    http.post("/v1/users", data={"username": name, "password": _PASSWORD}).raise_for_status()
    log_in = {"grant_type": "password", "username": name, "password": _PASSWORD}
    answer = http.post("/oauth/token", data=log_in, auth=("particle", "particle")).raise_for_status()
    return str(answer.json()["access_token"])


def _sse(
    url: str, pid: int, size: int, path: str, tokens: list[str], more: str = "", *, begins_with_an_event: bool = False
) -> Ears:
    at = urlsplit(url)
    assert at.hostname is not None
    assert at.port is not None
    host = f"{at.hostname}:{at.port}"
    before, after = f"name={_NAME}&data=", more
    post = (
        f"POST /v1/devices/events HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {tokens[0]}\r\n"
        "content-type: application/x-www-form-urlencoded\r\n"
        f"content-length: {len(before) + PAYLOAD + len(after)}\r\n\r\n"
    )
    return Ears(
        at.hostname,
        at.port,
        pid,
        size,
        [f"GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n".encode() for token in tokens],
        b"" if begins_with_an_event else b":ok\n\n\r\n",
        _PUBLISHERS,
        b"",
        b"",
        (post + before).encode(),
        after.encode(),
        is_answered=True,
        quiet_after_s=_SUBSCRIBED_S if begins_with_an_event else 0.0,
        begins_with_an_event=begins_with_an_event,
    )


# --- peers ---


@contextlib.contextmanager
def _node_sse(folder: Path) -> Iterator[Broker]:
    if not _NODE.exists():
        raise CannotStart("Node is not installed (`make bench` does that)")
    token = secrets.token_hex(20)
    arguments = [str(_PEERS / "node-sse.mjs"), token]
    with server(arguments, folder / "node.log", program=str(_NODE), environment={"NODE_ENV": "production"}) as (
        pid,
        url,
    ):
        release = subprocess.run([_NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        yield Broker(f"Node's http {release.removeprefix('v')}", lambda size: _sse(url, pid, size, "/", [token]))


@contextlib.contextmanager
def _mosquitto(folder: Path) -> Iterator[Broker]:
    program = _program("mosquitto", "mosquitto")
    port = _free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\n"
        + ("user root\n" if os.geteuid() == 0 else "")
    )
    with running(["-c", str(config)], folder / "mosquitto.log", program=program) as process:
        _wait_for(port, "mosquitto", folder / "mosquitto.log")
        said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout.split()
        release = said[said.index("version") + 1]

        def ears(size: int) -> Ears:
            subscribe = [
                _mqtt_connect(f"listener-{number}") + b"\x82" + _mqtt(b"\x00\x01" + _mqtt_text(_NAME) + b"\x00")
                for number in range(size)
            ]
            head = b"\x30" + _mqtt_size(2 + len(_NAME) + PAYLOAD) + _mqtt_text(_NAME)
            return Ears(
                "127.0.0.1",
                port,
                process.pid,
                size,
                subscribe,
                b"\x90\x03\x00\x01\x00",
                1,
                _mqtt_connect("publisher"),
                b"\x20\x02\x00\x00",
                head,
                b"",
                is_answered=False,
            )

        yield Broker(f"mosquitto {release}", ears)


def _mqtt_connect(client: str) -> bytes:
    """MQTT 3.1.1, a clean session, no keep-alive."""
    return b"\x10" + _mqtt(b"\x00\x04MQTT\x04\x02\x00\x00" + _mqtt_text(client))


def _mqtt(rest: bytes) -> bytes:
    return _mqtt_size(len(rest)) + rest


def _mqtt_size(size: int) -> bytes:
    """The remaining length, seven bits to a byte."""
    digits = bytearray()
    while True:
        size, low = divmod(size, 128)
        digits.append(low | (128 if size else 0))
        if not size:
            return bytes(digits)


def _mqtt_text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


@contextlib.contextmanager
def _nats(folder: Path) -> Iterator[Broker]:
    program = _program("nats-server", "nats-server")
    port = _free_port()
    log, config = folder / "nats.log", folder / "nats.conf"
    config.write_text(f'listen: "127.0.0.1:{port}"\nlog_file: "{os.devnull}"\nping_interval: "1h"\n')
    with running(["-c", str(config)], log, program=program) as process:
        _wait_for(port, "nats-server", log)
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
        hello = b'CONNECT {"verbose":false,"pedantic":false}\r\n'

        def ears(size: int) -> Ears:
            return Ears(
                "127.0.0.1",
                port,
                process.pid,
                size,
                [hello + f"SUB {_NAME} 1\r\nPING\r\n".encode()],
                b"PONG\r\n",
                1,
                hello + b"PING\r\n",
                b"PONG\r\n",
                f"PUB {_NAME} {PAYLOAD}\r\n".encode(),
                b"\r\n",
                is_answered=False,
                quiet_after_s=_FIRST_PING_S,
            )

        yield Broker(f"nats-server {said.rpartition('v')[2]}", ears)


@contextlib.contextmanager
def _spark_server(folder: Path) -> Iterator[Broker]:
    with tcp.spark_server(folder / "spark-server", 0) as server:

        def ears(size: int) -> Ears:
            path = f"/v1/devices/events/{_NAME}"
            return _sse(server.url, server.pid, size, path, [server.token], begins_with_an_event=True)

        yield Broker(server.of, ears)


PEERS: Final[dict[str, Callable[[Path], contextlib.AbstractContextManager[Broker]]]] = {
    "mosquitto": _mosquitto,
    "nats-server": _nats,
    "Node's http": _node_sse,
    "spark-server": _spark_server,
}
"""By what a server is called without its release. Each raises CannotStart."""


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise CannotStart(f"{name} is not on this machine (Debian: apt-get install {package})")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _wait_for(port: int, name: str, log: Path) -> None:
    end = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise CannotStart(f"{name} did not start: {log.read_text()}")
