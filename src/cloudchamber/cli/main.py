"""The command group. Commands are imported when they are run, so that `--help` and small commands start quickly."""

import importlib

import click

from cloudchamber import __version__

_COMMANDS = {
    "serve": ("cloudchamber.cli.serve", "Run the cloud."),
    "demo": ("cloudchamber.cli.demo", "A cloud, its devices and a customer's story, all on this machine."),
    "simulate": ("cloudchamber.cli.simulate", "Virtual devices over the real protocols."),
    "setup": ("cloudchamber.cli.setup", "A new Photon: its Wi-Fi, and whose it is."),
    "user": ("cloudchamber.cli.user", "Accounts of people."),
    "audit": ("cloudchamber.cli.audit", "Who did what, and who was refused."),
    "keys": ("cloudchamber.cli.keys", "Keys of the server and of devices."),
    "firmware": ("cloudchamber.cli.firmware", "What is in a firmware file; files for virtual devices."),
    "openapi": ("cloudchamber.cli.openapi", "The API, described for programs and people."),
    "migrate": ("cloudchamber.cli.serve", "Bring the database to this version's schema."),
}


class _LazyGroup(click.Group):
    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[name][0]), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in _COMMANDS.items()])


def _say_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        coap = importlib.import_module("cloudchamber.wire.coap")
        form = "" if str(coap.__file__).endswith(".py") else ", compiled"  # by `make compiled`
        click.echo(f"cloudchamber, version {__version__}{form}")
        context.exit()


@click.command(cls=_LazyGroup)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_say_version, help="Which one this is."
)
def main() -> None:
    """A device cloud, compatible on the wire with Particle's clients and Device OS firmware."""
