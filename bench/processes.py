"""Servers and devices as processes of their own, as a user runs them."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_STOP_TIMEOUT_S: Final = 15


class CannotStart(Exception):
    """Carries what the process said."""


@contextlib.contextmanager
def running(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """`python ARGUMENTS` until the end of the block; its standard error goes to `log`."""
    with log.open("w") as errors:
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextlib.contextmanager
def server(arguments: list[str], log: Path) -> Iterator[tuple[int, str]]:
    """As `listening`; gives the process id and the URL alone."""
    with listening(arguments, log) as (pid, addresses):
        yield pid, addresses["http"]


@contextlib.contextmanager
def listening(arguments: list[str], log: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """As `running`, for what prints a line `ready http=URL udp=HOST:PORT ...` when it is up. Gives its process id and
    these addresses by name.

    Raises CannotStart.
    """
    with running(arguments, log) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        addresses = dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)
        if not line.startswith("ready ") or not addresses:
            raise CannotStart(f"{' '.join(arguments)} did not start: {line}{log.read_text()}")
        yield process.pid, addresses
