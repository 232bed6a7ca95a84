"""`cloudchamber openapi`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from cloudchamber.api.docs_page import page
from cloudchamber.api.openapi import openapi as describe
from cloudchamber.api.routes import FAMILIES
from cloudchamber.cli.options import settings_from


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="A TOML file with the settings of the cloud."
)
@click.option("--html", "as_html", is_flag=True, help="The page that a cloud serves at /docs/api.")
def openapi(as_html: bool, **options: Any) -> None:
    """Print the API as OpenAPI 3.1, as a cloud with these settings would serve it."""
    document = describe(FAMILIES, settings_from(options).compat)
    text = page(document) if as_html else msgspec.json.format(msgspec.json.encode(document))
    click.echo(text.decode())
