"""House rules that no linter knows: where SQL may stand, what is pure, who may read the clock."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "cloudchamber"
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
SQL = re.compile(r"\b(SELECT\s.+\sFROM|INSERT INTO|UPDATE\s+\w+\s+SET|DELETE FROM)\b", re.DOTALL)
IMPURE = {"asyncio", "socket", "time", "random", "secrets", "os", "threading", "datetime", "logging"}
WALL_CLOCK = {"time", "time_ns"}


def tree_of(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 80


@pytest.mark.parametrize("name", FILES)
def test_sql_stands_in_stores_alone(name: str) -> None:
    if name.startswith("storage/") or name.endswith("/store.py"):
        return
    found = [
        node.value
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    ]
    assert found == []


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("/rules.py") or name.startswith("wire/")])
def test_what_decides_is_pure(name: str) -> None:
    """No clock, no randomness, no I/O: `now` and everything else is handed in."""
    assert IMPURE.isdisjoint(imports(tree_of(name)))
    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree_of(name)))


@pytest.mark.parametrize("name", FILES)
def test_the_wall_clock_is_read_in_one_place(name: str) -> None:
    if name in {"clock.py", "cli/simulate.py"} or name.startswith("simulator/"):
        return
    read = [
        node.attr
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Attribute)
        and node.attr in WALL_CLOCK
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    ]
    assert read == []


@pytest.mark.parametrize("name", FILES)
def test_no_catch_hides_everything(name: str) -> None:
    """A bare `except:`, or one for BaseException that neither raises again nor keeps the error, would swallow a
    cancellation."""
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type
            everything = caught is None or (isinstance(caught, ast.Name) and caught.id == "BaseException")
            kept = any(isinstance(inner, ast.Name) and inner.id == node.name for inner in ast.walk(node))
            raised = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert not everything or kept or raised, node.lineno
