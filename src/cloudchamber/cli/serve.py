"""`cloudchamber serve` and `cloudchamber migrate`."""

import os
import sys
from typing import Any

import click

from cloudchamber.cli.options import failed, settings_from, settings_options
from cloudchamber.errors import CloudError


@click.command()
@settings_options
def serve(**options: Any) -> None:
    """Run the cloud until SIGTERM or Ctrl-C.

    When every listener is up, one line goes to standard output: ready http=... tcp=... udp=... metrics=...
    """
    settings_from(options)  # whatever is wrong with them is said here
    words = [f"{name}={value}" for name, value in options.items() if value is not None]
    become_server(words)


def become_server(words: list[str]) -> None:
    """`serving.main`, as a program of its own in this one's place: a cloud runs for months, and what reads a command
    line takes 1 MB."""
    program = [sys.executable, *_interpreter_options(), "-m", "cloudchamber.cli.serving", *words]
    os.execv(program[0], program)  # noqa: S606 - there is no shell in it


def _interpreter_options() -> list[str]:
    """What this interpreter was started with, before the name of its program."""
    before = sys.orig_argv[1 : -len(sys.argv)]
    if before[-1:] == ["-m"]:
        del before[-1]
    # `-m` looks in the current folder first, which is not to happen where it did not before.
    return before if _looks_here_first() or "-P" in before else [*before, "-P"]


def _looks_here_first() -> bool:
    try:
        return sys.path[:1] == [os.getcwd()]
    except OSError:  # the folder is gone
        return False


@click.command()
@settings_options
def migrate(**options: Any) -> None:
    """Bring the database to this version's schema. Make a backup first, and stop the cloud."""
    from cloudchamber.datafolder import prepare_data_folder
    from cloudchamber.storage.migrate import migrate as run

    settings = settings_from(options)
    try:
        prepare_data_folder(settings.data)
        run(settings.database_url)
    except CloudError as error:
        raise failed(error) from error
    click.echo("The database is up to date.")
