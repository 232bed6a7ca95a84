"""The process that serves, without what a command line needs: it runs for months.

    python -m cloudchamber.cli.serving NAME=VALUE ...

The words are options of `cloudchamber serve`, which starts this in its own place when it has looked at them.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from cloudchamber import garbage
from cloudchamber.app import Cloud
from cloudchamber.errors import CloudError
from cloudchamber.settings import Settings, load_settings


def main(words: Sequence[str]) -> int:
    """The status to exit with."""
    options = dict(word.split("=", 1) for word in words)
    config = options.pop("config", None)
    settings = load_settings(options, os.environ, Path(config) if config is not None else None)
    start_logging(settings)
    allow_open_files()
    try:
        uvloop.run(_serve(settings))
    except CloudError as error:
        print(f"Error: {error.message}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Cloud(settings, migrate=migrate_apart) as cloud:
        garbage.settle()
        collecting = loop.create_task(garbage.Collector().run())
        print(cloud.listening.ready_line(), flush=True)
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


def start_logging(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
