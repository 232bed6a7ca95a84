"""`cloudchamber simulate`: virtual devices over the real protocol, until SIGTERM or Ctrl-C."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import click
from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cloudchamber.ids import MAX_PRODUCT_ID, parse_device_id
from cloudchamber.settings import Address
from cloudchamber.simulator.device import State
from cloudchamber.simulator.firmware import FIRMWARE
from cloudchamber.simulator.fleet import MAX_DEVICES, Fleet, FleetPlan, Ota, load_keys
from cloudchamber.simulator.keys import KeyUnusable
from cloudchamber.simulator.softap.air import DEFAULT_NETWORKS, Network, NoNetwork
from cloudchamber.simulator.target import NoTarget, find_target
from cloudchamber.wire.session.profile import PROFILES, profile_on
from cloudchamber.wire.transport import Transport

if sys.platform != "win32":
    import resource

# From here on a line for each device would be noise.
MANY = 10

KEYS_FOLDER = "simulated-devices"

_PLATFORMS = {Transport.TCP: 6, Transport.UDP: 10}


class LineConsole:
    """A line for each change of state and of the light, and what devices print, as they print it."""

    def __init__(self) -> None:
        self._lights: dict[str, str] = {}

    def changed(self, device_id: str, state: State, detail: str) -> None:
        click.echo(f"{_clock()} {device_id} {state.value}{' ' + detail if detail else ''}")
        if self._lights.get(device_id) != state.led:
            self._lights[device_id] = state.led
            click.echo(f"{_clock()} {device_id} LED {state.led}")

    def serial(self, _device_id: str, line: str) -> None:
        click.echo(line)

    def log(self, device_id: str, line: str) -> None:
        click.echo(f"{_clock()} {device_id} {line}")


class SummaryConsole:
    """For many devices: how many are online. A bar on a terminal, else at most one line a second."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._states: dict[str, State] = {}
        self._online = 0
        self._said_at = 0.0
        self._said = -1
        self._progress = _progress()
        self._task = self._progress.add_task("online", total=count)

    def __enter__(self) -> "SummaryConsole":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def changed(self, device_id: str, state: State, _detail: str) -> None:
        was_online = self._states.get(device_id) is State.ONLINE
        self._states[device_id] = state
        self._online += (state is State.ONLINE) - was_online
        self._progress.update(self._task, completed=self._online)
        now = time.monotonic()
        if self._progress.disable and (now - self._said_at >= 1 or self._online in (0, self._count)):
            self._say(now)

    def _say(self, now: float) -> None:
        if self._online != self._said:
            self._said_at, self._said = now, self._online
            click.echo(f"{_clock()} online {self._online} of {self._count}")

    def serial(self, device_id: str, line: str) -> None:
        self._progress.console.print(f"{device_id}: {line}", markup=False, highlight=False)

    def log(self, device_id: str, line: str) -> None:
        self._progress.console.print(f"{_clock()} {device_id} {line}", markup=False, highlight=False)


@click.command("simulate")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("cloudchamber-data"),
    show_default=True,
    help="Data folder of a local cloud: server key and address come from it.",
)
@click.option(
    "--id", "first_id", default="0" * 23 + "1", show_default=True, help="24 hex digits; the next ids count up."
)
@click.option("--count", type=click.IntRange(1, MAX_DEVICES), default=1, show_default=True, help="How many devices.")
@click.option(
    "--protocol", type=click.Choice(["tcp", "udp"]), default="tcp", show_default=True, help="How they connect."
)
@click.option("--product", type=click.IntRange(0, MAX_PRODUCT_ID), help="Product id of the firmware [default: none].")
@click.option("--version", type=click.IntRange(0, 0xFFFF), help="Product version of the firmware [default: none].")
@click.option(
    "--platform",
    type=click.IntRange(0, 0xFFFF),
    help="Platform [default: 6, a Photon, over TCP; 10, an Electron, over UDP].",
)
@click.option("--server", metavar="HOST:PORT", help="Cloud to connect to [default: the one that runs on --data].")
@click.option(
    "--server-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Server's key: a device's key file (DER with address) or PEM [default: that of --data].",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the devices' own keys, made when missing [default: simulated-devices].",
)
@click.option("--claim-code", help="Claim code that the (first) device holds.")
@click.option(
    "--firmware",
    type=click.Choice(sorted(FIRMWARE)),
    default="counter",
    show_default=True,
    help="Application firmware.",
)
@click.option(
    "--device-os",
    type=click.Choice(list(PROFILES)),
    default="2.3.1",
    show_default=True,
    help="Device OS to behave like.",
)
@click.option(
    "--sleep",
    "sleep_s",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="Asleep for so long, awake for as long, and so on; over UDP with the session kept.",
)
@click.option("--move", is_flag=True, help="UDP: from a new port after each sleep, as behind a forgetful router.")
@click.option(
    "--loss",
    type=click.FloatRange(0, 90),
    default=0.0,
    metavar="PERCENT",
    help="UDP: datagrams that get lost, each way.",
)
@click.option(
    "--ota",
    type=click.Choice([ota.value for ota in Ota]),
    default=Ota.AUTO.value,
    show_default=True,
    help="How they take updates: legacy with fast or slow chunks, or version 3 [auto: as the Device OS does].",
)
@click.option(
    "--drop-update",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Lose the connection once in each update, when so much of the file has arrived.",
)
@click.option(
    "--softap",
    metavar="HOST:PORT",
    help="A new device: it listens there for its Wi-Fi and claim code first, as a Photon's access point does.",
)
@click.option(
    "--wifi",
    multiple=True,
    metavar="SSID=PASSWORD",
    help="A network in the air around it, as often as wanted; SSID alone is open, enterprise:SSID=IDENTITY@PASSWORD."
    f" [default: {', '.join(f'{n.ssid}={n.password}' if n.password else n.ssid for n in DEFAULT_NETWORKS)}]",
)
def simulate(
    data: Path,
    first_id: str,
    count: int,
    protocol: str,
    product: int | None,
    version: int | None,
    platform: int | None,
    server: str | None,
    server_key: Path | None,
    keys: Path | None,
    claim_code: str | None,
    firmware: str,
    device_os: str,
    sleep_s: float | None,
    softap: str | None,
    wifi: tuple[str, ...],
    *,
    move: bool,
    loss: float,
    ota: str,
    drop_update: float | None,
) -> None:
    """Run virtual devices that speak the real device protocol.

    They connect, answer functions and variables, publish and hear events, and come back by themselves when the
    connection ends. They take updates, and run what `cloudchamber firmware make` makes. They run until SIGTERM or
    Ctrl-C. Over UDP a device keeps its session in its keys' folder, and goes
    on with it when it is started again.
    """
    transport = Transport(protocol)
    if transport is Transport.TCP and (move or loss):
        raise click.UsageError("--move and --loss are for datagrams: add --protocol udp")
    if softap is not None and (count > 1 or transport is Transport.UDP):
        raise click.UsageError("--softap is for one device with Wi-Fi: leave out --count and --protocol udp")
    if platform is None:
        platform = _PLATFORMS[transport]
    device_id = parse_device_id(first_id)
    if device_id is None:
        raise click.BadParameter("a device id has 24 hex digits", param_hint="--id")
    _allow_files(count + 100)
    try:
        plan = FleetPlan(
            first_id=device_id,
            count=count,
            target=find_target(data=data, server=server, server_key_file=server_key, transport=transport),
            keys=keys or Path(KEYS_FOLDER),
            firmware=FIRMWARE[firmware],
            profile=profile_on(device_os, platform),
            platform_id=platform,
            product_id=platform if product is None else product,
            product_version=0xFFFF if version is None else version,
            claim_codes=() if claim_code is None else (claim_code,),
            loss=loss / 100,
            moves=move,
            sleep_s=sleep_s,
            ota=Ota(ota),
            drop_update_at=None if drop_update is None else drop_update / 100,
            softap=None if softap is None else _address(softap, "--softap"),
            networks=tuple(Network.parse(text) for text in wifi) or DEFAULT_NETWORKS,
        )
        with _progress() as progress:
            task = progress.add_task("device keys", total=count)
            device_keys = load_keys(plan, lambda: progress.advance(task))
    except (NoTarget, KeyUnusable, NoNetwork) as error:
        raise click.ClickException(str(error)) from error
    if count <= MANY:
        asyncio.run(_run(Fleet(plan, device_keys, LineConsole())))
    else:
        with SummaryConsole(count) as console:
            asyncio.run(_run(Fleet(plan, device_keys, console)))


def _address(text: str, option: str) -> tuple[str, int]:
    try:
        address = Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
    return address.host, address.port


def _allow_files(count: int) -> None:
    """One socket for each device; many systems allow 1,024 files unless asked for more."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _run(fleet: Fleet) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, fleet.stop)
    await fleet.run()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Terminal(),
        disable=not sys.stdout.isatty(),
    )


def _clock() -> str:
    return time.strftime("%H:%M:%S")
