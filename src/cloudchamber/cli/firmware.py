"""`cloudchamber firmware`: what is in a firmware file, and files for simulated devices."""

from pathlib import Path

import click

from cloudchamber.ids import MAX_PRODUCT_ID
from cloudchamber.simulator.firmware import FIRMWARE, as_module
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.update.module import Function, hash_is_right, parse_module_untrusted


@click.group()
def firmware() -> None:
    """Firmware files (`.bin`)."""


@firmware.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def show(file: Path) -> None:
    """Say what FILE is: its platform, product, version and needs."""
    data = file.read_bytes()
    try:
        module = parse_module_untrusted(data)
    except WireError as error:
        raise click.ClickException(f"{file}: {error}") from error
    needs = ", ".join(
        f"{Function(need.function).name.lower()} {need.index} version {need.version}" for need in module.dependencies
    )
    shown = {
        "kind": f"{Function(module.function).name.lower()} {module.index}, version {module.version}",
        "platform": module.platform_id,
        "product": "none" if module.product_id is None else module.product_id,
        "product version": "none" if module.product_version is None else module.product_version,
        "needs": needs or "nothing",
        "sha-256": module.sha256.hex() + ("" if hash_is_right(data) else " (is not that of the file)"),
        "size": f"{module.size} bytes",
    }
    for name, value in shown.items():
        click.echo(f"{name:16} {value}")


@firmware.command()
@click.option("--firmware", "name", type=click.Choice(sorted(FIRMWARE)), default="counter", show_default=True)
@click.option("--platform", type=click.IntRange(0, 0xFFFF), default=6, show_default=True, help="Of the devices.")
@click.option("--product", type=click.IntRange(0, MAX_PRODUCT_ID), help="Product id. [default: the platform's]")
@click.option("--version", type=click.IntRange(0, 0xFFFE), help="Product version. [default: none]")
@click.option("--size", type=click.IntRange(0, 16 * 1024 * 1024), default=0, help="Bytes, at least.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
def make(name: str, platform: int, product: int | None, version: int | None, size: int, out: Path) -> None:
    """Write a file that simulated devices take for firmware. No real device can run it."""
    if product is None and version is not None:
        product = platform
    out.write_bytes(as_module(name, platform_id=platform, product_id=product, product_version=version, size=size))
    click.echo(f"{out}: {name}, {out.stat().st_size} bytes")
