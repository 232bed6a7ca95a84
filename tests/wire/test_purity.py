"""`wire/` decides and does nothing else: it must not be able to reach a socket, a clock or a source of randomness."""

import ast
from pathlib import Path

import pytest

import cloudchamber.wire

ROOT = Path(cloudchamber.wire.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
FORBIDDEN = {
    "asyncio", "datetime", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors",
    "socket", "ssl", "subprocess", "threading", "time", "uuid",
}  # fmt: skip
OUTSIDE = {"cryptography"}
DRAWS = {"urandom", "generate_key", "generate_private_key", "token_bytes", "print", "open", "input", "exec", "eval"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_forbidden_import(file: Path) -> None:
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            assert top not in FORBIDDEN
            assert top != "cloudchamber" or name.startswith("cloudchamber.wire"), "wire/ stands at the bottom"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_is_drawn_printed_or_opened(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            assert name not in DRAWS


def test_the_walk_finds_the_package() -> None:
    assert len(FILES) > 15
