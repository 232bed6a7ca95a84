"""`cloudchamber openapi`: the same document that a cloud serves, with the switches of its settings."""

import json
from pathlib import Path

from click.testing import CliRunner

from cloudchamber.api.openapi import openapi
from cloudchamber.api.routes import FAMILIES
from cloudchamber.cli.main import main
from cloudchamber.settings import Compat


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["openapi", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_document_for_programs(tmp_path: Path) -> None:
    assert json.loads(run()) == openapi(FAMILIES, Compat())
    config = tmp_path / "cloud.toml"
    config.write_text("[compat]\nquery_token = false\n")
    assert json.loads(run("--config", str(config))) == openapi(FAMILIES, Compat(query_token=False))


def test_the_page_for_people() -> None:
    page = run("--html")
    assert page.startswith("<!doctype html>")
    assert "/v1/devices/{device}" in page
