"""Photons over TCP: what a handshake costs, a storm of them, requests through them, and what a silent one takes.

Beside spark-server, the one other open cloud for these devices, as far as it can do the work at all.
"""

import contextlib
import functools
import itertools
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bench import udp, wrk
from bench.load import LoadFailed, at, corrected, cpu_time
from bench.processes import CannotStart, listening
from bench.report import OURS, Goal, Row, Section
from bench.run import Run
from bench.scene import bearer, make_product
from bench.tcp_devices import PHOTON, TcpDevices, shared_keys
from bench.udp import Place
from bench.udp_devices import FIRST_ID, FUNCTION, VARIABLE, Devices, Order, Tally

NAMES: Final = ("tcp-handshakes", "storm", "device-reads", "device-calls", "tcp-memory")
SPARK_SERVER: Final = "spark-server 1.0.17"

_PEER: Final = Path(__file__).parent / "peers/spark-server"
_NODE: Final = Path(__file__).parent.parent / ".venv/bin/node"
_RSA: Final = "its RSA alone"
_RELAY: Final = "bare relay"
_AT_ONCE: Final = 32
_FEW: Final = 8
"""Handshakes of spark-server at a time: it gives up what takes longer than 10 s."""
_TRIES: Final = 5
_ALL_ON_ONE: Final = "1 connection, 1 device, all on one core"
_READ: Final = 16
"""Devices that are asked for."""
SETTLE_S: Final = 26.0
"""A session rests at its first deadline after 2 s of silence; those come every 20 s."""
_LONGER: Final = 3
"""Times: a slice in which all devices are asked for. Over 5,000 requests for a p99 to mean something."""
_CALM: Final = 0.2
_CALM_WITHIN_S: Final = 30.0
_SAMPLE_S: Final = 0.02
_LISTENS: Final = "0A"
"""The state of a socket in /proc/net/tcp."""


@dataclass(frozen=True, slots=True)
class Server:
    """`folder` is its own; `path` is where a device is asked for, `of` who is measured."""

    of: str
    pid: int
    url: str
    tcp: str
    udp: str
    metrics: str
    key: Path
    keys: Path
    folder: Path
    product: int = 0
    token: str = ""

    def order(self, what: str, count: int, at_once: int, first: int = 1) -> Order:
        host, _, port = self.tcp.rpartition(":")
        return Order(
            what, host, int(port), self.pid, count, at_once, str(self.key), self.product, first, str(self.keys)
        )  # fmt: skip

    def url_of(self, number: int, name: str) -> str:
        products = f"/products/{self.product}" if self.of == OURS else ""
        return f"{self.url}/v1{products}/devices/{FIRST_ID + number:024x}/{name}"

    def as_place(self) -> Place:
        """For what is read of a server's process."""
        return Place(self.folder, self.pid, self.url, self.metrics, self.udp, 0, "", self.product, self.token)


_BESIDES_RSA: Final = (
    "half of what a handshake takes besides RSA is the system's (a connection, two messages, its end), a quarter the"
    " device's own key, and a quarter Python. What would reach it at once is RSA for eight handshakes in the lanes of"
    " AVX-512 ([notes](../NOTES.md#photons-over-tcp))."
)
_TURNS: Final = (
    "with one request on its way, what counts is how fast three processes wake each other; *bare relay* is what is left"
    " for a cloud that does nothing. A loop that spins in place of sleeping would be nearer to it, and take the core"
    " from everybody else for devices that are all further away than a tenth of a millisecond; where all share a core,"
    " compiled modules come nearer ([notes](../NOTES.md#the-tail-with-10000-devices))."
)

# --- the servers ---


@contextlib.contextmanager
def serving(folder: Path, tcp: str = "127.0.0.1:0", core: int | None = None) -> Iterator[Server]:
    """A cloud on what `folder` holds, on one core of the machine or on any.

    Raises CannotStart.
    """
    folder.mkdir(exist_ok=True)
    data = folder / "data"
    arguments = ["-m", "bench.udp_server", "uvloop", "3600", "serve", "--data", str(data), "--log-level", "warning"]
    arguments += ["--http", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--tcp", tcp]
    environment = {} if core is None else {"CLOUDCHAMBER_BENCH_CORE": str(core)}
    with listening(arguments, folder / "serve.log", environment=environment) as (pid, here):
        yield Server(
            OURS, pid, here["http"], here["tcp"], here["udp"], here["metrics"], data / "server-tcp.pem",
            folder.parent / "keys", folder,
        )  # fmt: skip


def with_product(server: Server, devices: int) -> Server:
    """The same, with a product to which they belong. Raises httpx.HTTPError."""
    with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as http:
        _, product, token = make_product(http, PHOTON)
        ids = [f"{FIRST_ID + number:024x}" for number in range(1, devices + 1)]
        answer = http.post(f"/v1/products/{product}/devices", headers=bearer(token), json={"ids": ids})
        answer.raise_for_status()
    return replace(server, product=product, token=token)


@contextlib.contextmanager
def spark_server(folder: Path, devices: int, *more: str) -> Iterator[Server]:
    """Its administrator owns the devices, and those of the ids in `more`. Raises CannotStart, httpx.HTTPError."""
    if not (_PEER / "node_modules").is_dir():
        raise CannotStart("it is not installed: `make bench` does that")
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    key = data / "default_key.pem"
    key.write_bytes(_spark_key())
    http_port, tcp_port = free_ports(2)
    settings = {
        "EXPRESS_SERVER_CONFIG": {"PORT": http_port, "USE_SSL": False},
        "TCP_DEVICE_SERVER_CONFIG": {
            "HOST": "127.0.0.1", "PORT": tcp_port, "ENABLE_SYSTEM_FIRWMARE_AUTOUPDATES": False,
        },
    }  # fmt: skip
    (folder / "settings.json").write_bytes(msgspec.json.encode(settings))
    arguments = [str(_PEER / "start.cjs"), str(folder)]
    with listening(arguments, folder / "spark-server.log", program=str(_NODE)) as (pid, here):
        keys = folder.parent / "keys"
        server = Server(SPARK_SERVER, pid, here["http"], here["tcp"], "", "", key, keys, folder)
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http:
            token = _spark_token(http)
            publics = [_public_pem(each) for each in shared_keys(keys)]
            ids = [f"{FIRST_ID + number:024x}" for number in range(1, devices + 1)]
            for number, id_ in enumerate([*ids, *more], start=1):
                form = {"publicKey": publics[number % len(publics)], "algorithm": "rsa"}
                http.post(f"/v1/provisioning/{id_}", headers=bearer(token), data=form).raise_for_status()
        yield replace(server, token=token)


@functools.cache
def _spark_key() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _spark_token(http: httpx.Client) -> str:
    """Its administrator is made while it starts."""
    log_in = {"grant_type": "password", "username": "__admin__", "password": "adminPassword"}
    end = time.monotonic() + 20
    while True:
        answer = http.post("/oauth/token", data=log_in, auth=("spark-server", "spark-server"))
        if answer.status_code == 200 or time.monotonic() > end:
            return str(answer.raise_for_status().json()["access_token"])
        time.sleep(0.02)


def _public_pem(key: rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


# --- suite ---


def measure(name: str, run: Run) -> Section:
    """See `suites.Suite`."""
    return _MEASURES[name](run)


def _handshakes(run: Run) -> Section:
    count = max(_AT_ONCE, run.count // 10)
    works = (("until the session has its keys", "handshakes"), ("until the cloud says Hello", "hellos"))
    rows = {work: Row(work, "", OURS, []) for work, _ in works}
    alone, theirs = Row(works[0][0], "", _RSA, []), Row(works[1][0], "", SPARK_SERVER, [])
    shares: list[float] = []
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        run.steps.begin("starting")
        here = with_product(stack.enter_context(serving(run.folder / "ours", core=0)), count)
        devices = stack.enter_context(TcpDevices())
        peer, its_devices = _peer(stack, run, missing, run.rounds * _FEW), stack.enter_context(TcpDevices())
        devices.run(here.order("hellos", count, _AT_ONCE))  # their keys go on record once
        run.steps.expect(run.rounds)
        for number in range(run.rounds):
            rsa_us = rsa_alone()
            alone.rounds.append({"per_s": 1e6 / rsa_us, "cpu_us": rsa_us})
            for work, what in works:
                run.steps.begin(f"{OURS}, {what}")
                tally = devices.run(here.order(what, count, _AT_ONCE))
                rows[work].rounds.append(_of(tally) | _failed(tally))
                if what == "handshakes":
                    shares.append(rsa_us / tally.cpu_us)
            if peer is not None:
                run.steps.begin(peer.of)
                order = peer.order("online", _FEW, _FEW, first=1 + number * _FEW)
                tally = its_devices.run(order)
                theirs.rounds.append(_of(tally) | _failed(tally))
                # It asks for a description, and a handshake whose device does not give one holds its place for 20 s.
                its_devices.hold(peer.order("hold", _FEW, 0))
                time.sleep(1.0)
            run.steps.end()
    share = Row("share of the RSA limit", works[0][0], OURS, [{"percent": 100 * each} for each in shares])
    what = """
The cloud is held to one core (sched_setaffinity), the Photons are one other process that works on `wire/` directly: a
socket each, 32 at once. *its RSA alone* is what a handshake cannot do without, decryption and signature with the
server's key of 2,048 bits, timed alone with the same library in one thread of another process; the share is of CPU
time. Until Hello the device has been written down as online, and is written down as offline after it. spark-server does
its RSA in JavaScript, waits for 0.1 s before its Hello, and works on at most 50 handshakes at a time; here on 8.
"""
    found = [rows[works[0][0]], alone, share, rows[works[1][0]], *([theirs] if theirs.rounds else [])]
    goals = [
        Goal(share.work, "percent", 85.0, otherwise=_BESIDES_RSA),
        Goal(works[1][0], "per_s", 8.0, "spark-server"),
    ]
    return Section(
        "tcp-handshakes", "Photon handshakes", what, found, goals=goals, plotted=("cpu_us",), missing=missing
    )


def _peer(stack: contextlib.ExitStack, run: Run, missing: dict[str, str], devices: int) -> Server | None:
    try:
        return stack.enter_context(spark_server(run.folder / "spark-server", devices))
    except CannotStart as error:
        missing[SPARK_SERVER] = str(error)
        return None


def rsa_alone(seconds: float = 0.5) -> float:
    """CPU µs of the two operations with the server's key that each handshake needs."""
    key = rsa.generate_private_key(65537, 2048)
    sealed = key.public_key().encrypt(os.urandom(214), PKCS1v15())
    digest = os.urandom(20)
    done, started = 0, time.thread_time()
    while (took := time.thread_time() - started) < seconds:
        key.decrypt(sealed, PKCS1v15())
        key.sign(digest, PKCS1v15(), NoDigestInfo())
        done += 1
    return took / done * 1e6


def _of(tally: Tally) -> dict[str, float]:
    return {"per_s": tally.per_second, "cpu_us": tally.cpu_us}


def _failed(tally: Tally) -> dict[str, float]:
    return {"failed": 100 * tally.failed / (tally.done + tally.failed)}


def _all(tally: Tally) -> Tally:
    if tally.failed:
        raise LoadFailed(f"{tally.failed} of {tally.done + tally.failed} devices failed: {tally.reasons}")
    return tally


def _storm(run: Run) -> Section:
    count = run.count
    port = free_ports(1)[0]
    address = f"127.0.0.1:{port}"
    run.steps.begin("devices are on record")
    run.steps.expect(run.rounds + 1)
    folder = run.folder / "ours"
    with serving(folder, address) as before, TcpDevices() as devices:
        known = with_product(before, count + _READ)
        _all(devices.run(known.order("online", count + _READ, 256)))
    run.steps.end()
    storms, reads, notes = [], [], []
    for _ in range(run.rounds):
        with (
            serving(folder, address) as again,
            TcpDevices() as calm,
            TcpDevices() as devices,
            Backlog(port) as backlog,
        ):
            here = replace(again, product=known.product, token=known.token)
            _all(calm.run(here.order("online", _READ, _READ, first=count + 1)))
            calm.hold(here.order("hold", _READ, 0))
            run.steps.begin("a storm")
            devices.begin(here.order("online", count, count))
            times = _reads_until(devices.is_done, here, [count + 1 + number for number in range(_READ)])
            times = corrected(times, at(times, 0.5))
            tally = devices.end()
            run.steps.end()
        storms.append(_of(tally) | _failed(tally) | {"s": tally.seconds})
        reads.append({"p50_ms": at(times, 0.5), "p99_ms": at(times, 0.99), "p999_ms": at(times, 0.999)})
        notes.append(
            f"Peak of the kernel's queue of connections that wait to be accepted: {backlog.peak:,}."
            f" The devices' process used {tally.own_cpu_seconds:.1f} s of CPU time in {tally.seconds:.1f} s."
            + "".join(f" {times} failed: {why}." for why, times in tally.reasons.items())
        )
    setting = f"{count:,} devices"
    rows = [Row("storm after a restart", setting, OURS, storms), Row("a variable meanwhile", setting, OURS, reads)]
    what = """
The cloud starts on a data folder that knows all devices; all of them connect at once, each until it has the cloud's
Hello. Their clocks are those of firmware: 20 s for each step of the handshake, 4 s for the Hello; none tries again. A
variable of 16 devices that were there before is read meanwhile, one after the other over one connection; a pause counts
for all reads that would have been made in it, as with wrk. spark-server would take half an hour.
"""
    goals = [Goal("storm after a restart", "failed", 0.0)]
    return Section("storm", "A storm of Photons", what, rows, goals=goals, plotted=(), notes=notes)


class Backlog:
    """The longest that a listener's queue was, as sampled meanwhile."""

    def __init__(self, port: int) -> None:
        self.peak = 0
        self._port = f":{port:04X}"
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Backlog":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(_SAMPLE_S):
            for line in _tcp_lines():
                words = line.split()
                if words[3] == _LISTENS and words[1].endswith(self._port):
                    self.peak = max(self.peak, int(words[4].partition(":")[2], 16))


def _tcp_lines() -> list[str]:
    """Listeners come first in it."""
    with open("/proc/net/tcp") as file:
        return [line for _, line in zip(range(200), file, strict=False)][1:]


def _reads_until(is_done: Callable[[], bool], here: Server, numbers: list[int]) -> list[float]:
    """Milliseconds, sorted. Raises LoadFailed."""
    times: list[float] = []
    with httpx.Client(timeout=60, headers=bearer(here.token), trust_env=False) as http:
        while not times or not is_done():
            started = time.perf_counter()
            answer = http.get(here.url_of(numbers[len(times) % len(numbers)], VARIABLE))
            times.append((time.perf_counter() - started) * 1e3)
            if answer.status_code != 200:
                raise LoadFailed(f"a variable during the storm: {answer.status_code} {answer.text}")
    return sorted(times)


# --- requests ---


@dataclass(frozen=True, slots=True)
class _Process:
    pid: int


class _HasPid(Protocol):
    @property
    def pid(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Subject:
    name: str
    server: Server
    devices: _HasPid
    count: int
    """Of devices that are asked for."""


def _reads(run: Run) -> Section:
    return _requests(run, "device-reads", "a variable read", "Variables read through devices", VARIABLE)


def _calls(run: Run) -> Section:
    return _requests(run, "device-calls", "a function call", "Functions called through devices", FUNCTION)


def _requests(run: Run, name: str, work: str, title: str, asked: str) -> Section:
    missing: dict[str, str] = {}
    notes: list[str] = []
    rows: dict[tuple[str, str, str], Row] = {}
    crowd = max(_READ, run.count)
    with contextlib.ExitStack() as stack:
        run.steps.begin("starting")
        subjects = [_ours_tcp(stack, run, "tcp", _READ), _ours_udp(stack, run, "udp", _READ)]
        peer = _peer(stack, run, missing, _READ)
        if peer is not None:
            subjects.append(_one_by_one(stack, peer, _READ))
        crowds = [_ours_tcp(stack, run, "many", crowd), _ours_udp(stack, run, "many-udp", crowd)]
        some = [(work, asked, subject) for subject in subjects]
        alone = [*some, (work, asked, _relay(stack, run))]
        all_of_them = [(work, asked, subject) for subject in crowds]
        all_of_them += [("GET of a product's device", "", subject) for subject in crowds]
        crowded = f"16 connections, {crowd:,} devices"
        settings: list[tuple[str, int, int, float, list[tuple[str, str, _Subject]]]] = [
            ("1 connection, 1 device", 1, 1, run.seconds, alone),
            (_ALL_ON_ONE, 1, 1, run.seconds, alone),
            ("16 connections, 1 device", 16, 1, run.seconds, some),
            ("16 connections, 16 devices", 16, _READ, run.seconds, some),
            (crowded, 16, crowd, _LONGER * run.seconds, all_of_them),
        ]
        run.steps.expect(run.rounds * len(settings))
        ones = itertools.count(1)
        for number in range(run.rounds + 1):  # the first one warms up
            for setting, connections, devices, seconds, works in settings:
                first = 1 if devices > 1 else 1 + next(ones) % _READ
                for each, what_of_it, subject in works:
                    run.steps.begin(f"{setting}, {subject.name}")
                    row = rows.setdefault((each, setting, subject.name), Row(each, setting, subject.name, []))
                    if setting == crowded:
                        _until_calm(subject.server)
                    # Warm is who was asked once: all of them take longer than some.
                    slice_s = seconds if number or setting == crowded else 1.0
                    pinned = _on_one_core(subject) if setting == _ALL_ON_ONE else contextlib.nullcontext()
                    with pinned:
                        found = _asked(subject, what_of_it, connections, first, devices, slice_s, run.folder)
                    if number:
                        row.rounds.append(found.figures)
                        notes.append(found.load)
                if number:
                    run.steps.end()
    what = """
Over HTTP with a bearer token (wrk), the devices are Photons of Device OS 1.5.2 in one other process that answers at
once; *over UDP*: Electrons of 4.0.2 over DTLS. Each device is asked for in turn; *1 device* is another one each time,
for message ids rest: an Electron takes 32,768 requests in 90 s, and is busy for the next. spark-server lets an answer
of a device end whichever request waits for one first, and the others fail; what failed counts in its times and not in
its rate.

Over one connection only one of client, server and device works at a time. So *all on one core* holds the three of them
to one: a core that went to sleep is woken by the machine, which on a virtual one takes longer than the work. *bare
relay* (`bench/relay.py`) hands bytes to a device and back on the same loop, and neither of them looks at these: no
cloud on this loop could do more over one connection.

With all devices a slice is three times as long, and begins when the server uses less than a fifth of a core: devices
that come are another work. The devices' process does not look for garbage meanwhile, and spreads its deadlines: devices
are not one Python process, and do not wait for each other. wrk corrects its times for what a closed loop leaves out: a
pause counts for all requests that would have been made in it. So a p99 of 5 ms says that clients waited longer than
that for less than a hundredth of the time.
"""
    goals = [
        Goal(work, "per_s", 8.0, "spark-server", bound=_RELAY, otherwise=_TURNS),
        Goal(work, "failed", 0.0),
    ]
    goals.append(Goal(work, "failed", 0.0, subject=f"{OURS} over UDP"))
    goals.append(Goal(work, "p99_ms", 5.0, setting=crowded))
    return Section(name, title, what, list(rows.values()), goals=goals, missing=missing, notes=_loads(notes))


@contextlib.contextmanager
def _on_one_core(subject: _Subject) -> Iterator[None]:
    """The server, its devices, and what is started meanwhile."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    tasks = [
        int(task) for pid in (subject.server.pid, subject.devices.pid) for task in os.listdir(f"/proc/{pid}/task")
    ]  # fmt: skip
    try:
        for task in [0, *tasks]:
            os.sched_setaffinity(task, {min(cores)})
        yield
    finally:
        for task in [0, *tasks]:
            with contextlib.suppress(ProcessLookupError):  # a thread that has ended
                os.sched_setaffinity(task, cores)


def _loads(notes: list[str]) -> list[str]:
    """Each once."""
    return list(dict.fromkeys(note for note in notes if note))


def _ours_tcp(stack: contextlib.ExitStack, run: Run, name: str, count: int) -> _Subject:
    here = with_product(stack.enter_context(serving(run.folder / name)), count)
    return _online(stack, OURS, here, count, _AT_ONCE)


def _online(stack: contextlib.ExitStack, name: str, here: Server, count: int, at_once: int) -> _Subject:
    devices = stack.enter_context(TcpDevices())
    _all(devices.run(here.order("online", count, at_once)))
    devices.hold(here.order("hold", count, 0))
    _until_answers(here, count)
    return _Subject(name, here, devices, count)


def _relay(stack: contextlib.ExitStack, run: Run) -> _Subject:
    relay = ["-m", "bench.relay"]
    pid, here = stack.enter_context(listening([*relay, "serve"], run.folder / "relay.log"))
    device, _ = stack.enter_context(listening([*relay, "device", here["tcp"]], run.folder / "relay-device.log"))
    none = Path()
    server = Server(_RELAY, pid, here["http"], here["tcp"], "", "", none, none, run.folder)
    return _Subject(_RELAY, server, _Process(device), 1)


def _one_by_one(stack: contextlib.ExitStack, here: Server, count: int) -> _Subject:
    """For a server that gives up handshakes when it is busy: each device may try a few times."""
    devices = stack.enter_context(TcpDevices())
    come_one_by_one(devices, here, count)
    devices.hold(here.order("hold", count, 0))
    _until_answers(here, count)
    return _Subject(here.of, here, devices, count)


def come_one_by_one(devices: Devices, here: Server, count: int) -> None:
    """Raises LoadFailed."""
    for number in range(1, count + 1):
        tally = devices.run(here.order("online", 1, 1, first=number))
        for _ in range(_TRIES):
            if tally.done:
                break
            tally = devices.run(here.order("online", 1, 1, first=number))
        else:
            _all(tally)


def _ours_udp(stack: contextlib.ExitStack, run: Run, name: str, count: int) -> _Subject:
    place = stack.enter_context(udp.place(run.folder / name, "uvloop", count))
    devices = stack.enter_context(Devices())
    devices.run(place.order("online", count, _AT_ONCE))
    devices.hold(place.order("hold", count, 0))
    none = Path()
    here = Server(
        OURS, place.pid, place.url, "", place.udp, place.metrics, none, none, place.folder, place.product, place.token
    )
    _until_answers(here, count)
    return _Subject(f"{OURS} over UDP", here, devices, count)


def _until_calm(here: Server) -> None:
    """What devices bring when they come, and what is done when they were silent, is another work."""
    end = time.monotonic() + _CALM_WITHIN_S
    while time.monotonic() < end:
        used = cpu_time(here.pid)
        time.sleep(0.5)
        if cpu_time(here.pid) - used < 0.5 * _CALM:
            return


def _until_answers(here: Server, count: int) -> None:
    """A device answers a little after it is online. Raises LoadFailed."""
    end = time.monotonic() + 60
    with httpx.Client(timeout=30, headers=bearer(here.token), trust_env=False) as http:
        for number in (1, count):
            while (answer := http.get(here.url_of(number, VARIABLE))).status_code != 200:
                if time.monotonic() > end:
                    raise LoadFailed(f"{here.of}: device {number} does not answer: {answer.status_code} {answer.text}")
                time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class _Found:
    figures: dict[str, float]
    load: str


def _asked(
    subject: _Subject, asked: str, connections: int, first: int, devices: int, seconds: float, folder: Path
) -> _Found:  # fmt: skip
    here = subject.server
    headers, method, body = bearer(here.token), "GET", ""
    if asked == FUNCTION:
        headers |= {"Content-Type": "application/x-www-form-urlencoded"}
        method, body = "POST", "arg=coffee"
    urls = tuple(here.url_of(number, asked).removesuffix("/") for number in range(first, first + devices))
    request = wrk.Request(urls[0], headers, method, body, urls=urls, may_fail=True)
    own = cpu_time(subject.devices.pid)
    sample = wrk.run(request, connections, seconds, here.pid, folder)
    own = cpu_time(subject.devices.pid) - own
    busy = (own / sample.seconds, sample.client_cpu_seconds / sample.seconds)
    return _Found(
        {
            "per_s": sample.per_second,
            "cpu_us": sample.cpu_us,
            "p50_ms": sample.p50_ms,
            "p99_ms": sample.p99_ms,
            "p999_ms": sample.p999_ms,
            "failed": 100 * sample.failed / (sample.requests + sample.failed),
        },
        "" if max(busy) < 0.8 else f"{subject.name}, {connections}: the devices took {busy[0]:.0%} of a core",
    )


# --- memory ---


def _memory(run: Run) -> Section:
    count = run.count
    run.steps.expect(3)
    with serving(run.folder / "ours") as started, TcpDevices() as devices:
        here = with_product(started, count)
        place = here.as_place()
        run.steps.begin("before")
        before = udp.memory(place)
        coming = _all(devices.run(here.order("online", count, _AT_ONCE)))
        devices.hold(here.order("hold", count, 0))
        run.steps.end()
        settle = SETTLE_S if count >= 1000 else 0.5
        run.steps.begin("silent")
        time.sleep(settle)
        silent = udp.memory(place)
        run.steps.end()
        run.steps.begin("a request to each")
        reading = udp.read_all(place, count)
        time.sleep(settle)
        after = udp.memory(place)
        run.steps.end()
        connected = _connections(here)
        if connected != count:
            raise LoadFailed(f"{connected} devices are connected, and not {count}")

    def each(now: udp.Memory) -> dict[str, float]:
        return {
            "resident_b": (now.resident - before.resident) / count,
            "used_b": (now.used - before.used) / count,
        }

    setting = f"{count:,} devices"
    rows = [
        Row("online, silent", setting, OURS, [each(silent)]),
        Row("after a request to each", setting, OURS, [each(after)]),
        Row("coming online", setting, OURS, [{**_of(coming), "s": coming.seconds}]),
        Row("a variable of each over HTTP", setting, OURS, [{**_of(reading), "s": reading.seconds}]),
    ]
    what = """
Memory of the server's process for each connected Photon with its AES session and its record in the fleet, without what
the process had before; *resident* keeps what it needed in its busiest moment, *used* is what its allocators have given
out. The kernel's own for a socket is not in it. Silent means that they ping every 15 s, as Photons do.
"""
    goals = [Goal(state, "resident_b", 6000.0) for state in ("online, silent", "after a request to each")]
    return Section("tcp-memory", "Photons in memory", what, rows, goals=goals, plotted=("resident_b",))


def _connections(here: Server) -> int:
    text = httpx.get(f"{here.metrics}/metrics", trust_env=False, timeout=30).raise_for_status().text
    found = re.search(r"^cloudchamber_tcp_connections (\S+)$", text, re.MULTILINE)
    return int(float(found[1])) if found else -1


_MEASURES: Final[dict[str, Callable[[Run], Section]]] = {
    "tcp-handshakes": _handshakes,
    "storm": _storm,
    "device-reads": _reads,
    "device-calls": _calls,
    "tcp-memory": _memory,
}
