"""The compiled build (docs/decisions/0018-compiled.md): what its sources must not have, and that it does the same."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cloudchamber.cli.main import main

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "cloudchamber"
HOOK: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
    "wheel"
]["hooks"]["custom"]
COMPILED: list[str] = [*HOOK["modules"], *HOOK["apart"]]
OPTIONS = {"Value": "frozen=True", "Entity": "eq=False"}
"""Of the bases in wire/structs.py."""
INTERPRETED = {*OPTIONS, "Enum", "IntEnum", "NamedTuple", "Protocol"}
"""What derives from these is an ordinary class in a compiled module as well."""


def classes_of(module: str) -> Iterator[ast.ClassDef]:
    tree = ast.parse((SOURCES / f"{module}.py").read_text())
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def bases_of(node: ast.ClassDef) -> set[str]:
    """Without what stands in brackets, and where they are from."""
    return {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}


@pytest.mark.parametrize("module", COMPILED)
def test_structs_have_their_options_from_their_base(module: str) -> None:
    """In brackets behind it they are lost, without a word."""
    for node in classes_of(module):
        bases = bases_of(node)
        assert "Struct" not in bases or not node.keywords, f"{node.name}: its base has to be one of wire/structs.py"
        said = ", ".join(f"{option.arg}={ast.unparse(option.value)}" for option in node.keywords)
        assert said == ", ".join(OPTIONS[base] for base in bases if base in OPTIONS), node.name


@pytest.mark.parametrize("module", COMPILED)
def test_nothing_that_is_not_compiled_right(module: str) -> None:
    source = (SOURCES / f"{module}.py").read_text()
    assert "slots=True" not in source, "a compiled class has its own slots"
    assert "cls.__new__(" not in source, "no object is made but by calling its class"
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, ast.Delete) or not any(isinstance(each, ast.Attribute) for each in node.targets)
    for node in classes_of(module):
        for each in node.body:
            # A table of methods below their class, see `HANDLERS` in gateway/session.py.
            assert not (isinstance(each, ast.AnnAssign | ast.Assign) and isinstance(each.value, ast.Dict)), node.name


def test_what_derives_from_a_compiled_class_is_compiled() -> None:
    compiled = {node.name for module in COMPILED for node in classes_of(module) if not INTERPRETED & bases_of(node)}
    for path in SOURCES.rglob("*.py"):
        module = path.relative_to(SOURCES).with_suffix("").as_posix()
        if module in COMPILED:
            continue
        for node in classes_of(module):
            theirs = bases_of(node) & compiled
            assert not theirs, f"{module}: {node.name} has to be in the list of pyproject.toml, for {theirs} are"


def test_nothing_is_referred_to_weakly() -> None:
    """A weak reference to an object of a compiled class outlives it, and whoever follows it crashes."""
    for path in SOURCES.rglob("*.py"):
        assert "import weakref" not in path.read_text(), path


def test_the_command_says_which_it_is() -> None:
    said = CliRunner().invoke(main, ["--version"]).output
    assert said.startswith("cloudchamber, version ")
    assert "compiled" not in said


# What looks inside of objects, refers to them weakly, or puts a value of its own in the place of a constant.
_LOOKS_INSIDE = (
    "tests/wire/test_every_parser.py::test_all_are_found",
    "tests/wire/udp/test_cloud.py::test_a_session_is_collectable_after_its_end",
    "tests/wire/udp/test_packed.py::test_nothing_of_a_session_at_rest_is_lost",
    "tests/gateway/test_tcp.py::test_nothing_is_left_of_a_connection",
    "tests/gateway/test_udp.py::test_a_device_that_is_gone_leaves_nothing_in_memory",
)


@pytest.mark.soak
def test_the_compiled_build_passes_the_tests_of_the_protocol_and_of_the_gateways(tmp_path: Path) -> None:
    """Golden frames, recordings, handshakes, every split, both transports over real sockets, and the whole cloud."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("no C compiler: on Debian, apt-get install gcc python3-dev")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    environment = {**os.environ, "HATCH_BUILD_HOOK_ENABLE_CUSTOM": "1"}
    made = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-4000:] + made.stderr[-4000:]
    (wheel,) = tmp_path.glob("*.whl")
    folder = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(folder)
    for module in COMPILED:
        assert list(folder.glob(f"cloudchamber/{module}.*.so")), module

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    version = [sys.executable, "-m", "cloudchamber", "--version"]
    said = subprocess.run(version, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.endswith(", compiled\n")
    tests = ["tests/wire", "tests/gateway", "tests/conformance", "tests/captures", "tests/acceptance"]
    left_out = [f"--deselect={each}" for each in _LOOKS_INSIDE]
    run = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *tests, *left_out]
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
