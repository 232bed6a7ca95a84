"""`cloudchamber serve` and `cloudchamber migrate`."""

import asyncio
import contextlib
import json
import logging
import signal
import subprocess
import sys
from typing import Any, Final

import click
import uvloop

from cloudchamber import garbage
from cloudchamber.app import Cloud, prepare_data_folder
from cloudchamber.cli.options import failed, settings_from, settings_options
from cloudchamber.errors import CloudError
from cloudchamber.settings import Settings


@click.command()
@settings_options
def serve(**options: Any) -> None:
    """Run the cloud until SIGTERM or Ctrl-C.

    When every listener is up, one line goes to standard output: ready http=... tcp=... udp=... metrics=...
    """
    settings = settings_from(options)
    start_logging(settings)
    allow_open_files()
    try:
        uvloop.run(_serve(settings))
    except CloudError as error:
        raise failed(error) from error


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Cloud(settings, migrate=migrate_apart) as cloud:
        garbage.settle()
        collecting = loop.create_task(garbage.Collector().run())
        click.echo(cloud.listening.ready_line())
        sys.stdout.flush()
        await stop.wait()
        collecting.cancel()


def allow_open_files() -> None:
    """As many as the system lets this process have: every device over TCP and every listener of events is one, and the
    usual soft limit of 1,024 is there for programs that call select(2)."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower bound of its own, and its soft limit will do
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_MOST_FILES: Final = 1 << 20

_MIGRATE: Final = """
import json, sys
sys.path[:], url = json.load(sys.stdin)
from cloudchamber.storage.migrate import main
main(url)
"""


async def migrate_apart(url: str) -> None:
    """In a process of its own, so that what it loads, 40 MB, is not kept by one that runs for months.

    Raises CloudError.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _MIGRATE), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    # Not as an argument, which everybody on this machine could read: the URL may hold a password.
    said, _ = await process.communicate(json.dumps([sys.path, url]).encode())
    if process.returncode:
        raise CloudError(said.decode().strip() or "The database could not be made; the lines above say why.")


@click.command()
@settings_options
def migrate(**options: Any) -> None:
    """Bring the database to this version's schema. Make a backup first, and stop the cloud."""
    from cloudchamber.storage.migrate import migrate as run

    settings = settings_from(options)
    try:
        prepare_data_folder(settings.data)
        run(settings.database_url)
    except CloudError as error:
        raise failed(error) from error
    click.echo("The database is up to date.")


def start_logging(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
