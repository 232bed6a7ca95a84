"""Servers and devices as processes of their own, as a user runs them."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_STOP_TIMEOUT_S: Final = 15

COMPILED: Final = os.environ.get("CLOUDCHAMBER_BENCH_COMPILED", "")
"""A folder with a compiled build (`make bench COMPILED=1`). Servers run from it, and everything else from the sources:
devices are subclasses of ours, which a compiled class does not allow."""


class CannotStart(Exception):
    """Carries what the process said."""


@contextlib.contextmanager
def running(
    arguments: list[str],
    log: Path,
    *,
    program: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """`PROGRAM ARGUMENTS` until the end of the block; its standard error goes to `log`. `environment` comes on top of
    this process's own."""
    paths = [COMPILED] if COMPILED else []
    if COMPILED and "PYTHONPATH" in os.environ:
        paths.append(os.environ["PYTHONPATH"])
    ours = {"PYTHONPATH": os.pathsep.join(paths)} if paths and program == sys.executable else {}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [program, *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **ours, **(environment or {})},
        )
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
def server(
    arguments: list[str],
    log: Path,
    *,
    program: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, str]]:
    """As `listening`; gives the process id and the URL alone."""
    with listening(arguments, log, program=program, environment=environment) as (pid, addresses):
        yield pid, addresses["http"]


@contextlib.contextmanager
def listening(
    arguments: list[str],
    log: Path,
    *,
    program: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """As `running`, for what prints a line `ready http=URL udp=HOST:PORT ...` when it is up. Gives its process id and
    these addresses by name.

    Raises CannotStart.
    """
    with running(arguments, log, program=program, environment=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        addresses = dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)
        if not line.startswith("ready ") or not addresses:
            raise CannotStart(f"{' '.join(arguments)} did not start: {line}{log.read_text()}")
        yield process.pid, addresses
