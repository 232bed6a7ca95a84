"""Options of `serve` and its kin, made from the settings: one name for the option, the variable and the file's key."""

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from cloudchamber.errors import CloudError
from cloudchamber.settings import Settings, SettingsError, load_settings

Command = TypeVar("Command", bound=Callable[..., Any])


def data_option(command: Command) -> Command:
    """The data folder, for commands that need nothing else."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        help="The cloud's data folder. [default: ./cloudchamber-data]",
    )(command)


def settings_options(command: Command) -> Command:
    """Every setting that is no table of its own, and --config."""
    for item in reversed(fields(Settings)):
        if "help" not in item.metadata or item.name == "compat":
            continue
        default = item.default
        shown = "" if default == "" else f" [default: {default}]"
        command = click.option(
            f"--{item.name.replace('_', '-')}", item.name, metavar="VALUE", help=f"{item.metadata['help']}{shown}"
        )(command)
    return click.option(
        "--config", type=click.Path(path_type=Path, dir_okay=False), help="A TOML file with the same names as keys."
    )(command)


def settings_from(options: dict[str, Any]) -> Settings:
    """Raises click.UsageError, which names the setting and where it came from."""
    given = {name: value for name, value in options.items() if value is not None}
    config = given.pop("config", None)
    try:
        return load_settings(given, os.environ, config)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def failed(error: CloudError) -> click.ClickException:
    """A domain error as the command line shows it: its sentence, no trace, exit status 1."""
    return click.ClickException(error.message)
