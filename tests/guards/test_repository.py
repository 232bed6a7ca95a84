"""What holds for the repository as a whole."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements-build.lock", "requirements.lock", "requirements-dev.lock")

# Put together here, so that this file does not hold what it forbids.
FORBIDDEN = [
    ".".join(host).encode()
    for host in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("archive", "ubuntu", "com"),
    )
] + ["/".join(("", *folder)).encode() for folder in (("root", ""), ("work", "main"), ("work", "shared"))]


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def locked(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (ROOT / lock).read_text(), flags=re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower() for requirement in requirements}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_no_file_names_a_registrys_host_or_a_folder_of_one_machine():
    files = tracked_files()
    assert files
    found = [(str(path), bad.decode()) for path in files for bad in FORBIDDEN if bad in path.read_bytes()]
    assert not found


def test_make_help_lists_the_targets():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    assert set(re.findall(r"^  make ([a-z-]+) ", listed, flags=re.MULTILINE)) >= {
        "setup", "demo", "test", "lint", "bench", "soak", "clean",
    }  # fmt: skip


def test_the_locks_hold_what_the_project_asks_for(project: dict):
    assert names(project["project"]["dependencies"]) <= locked("requirements.lock").keys()
    assert names(project["dependency-groups"]["dev"]) <= locked("requirements-dev.lock").keys()
    assert names(project["dependency-groups"]["build"]) <= locked("requirements-build.lock").keys()
    assert "uv" in locked("requirements-build.lock")


def test_what_only_tests_need_is_not_in_the_lock_that_the_demo_installs(project: dict):
    only_dev = names(project["dependency-groups"]["dev"]) - names(project["project"]["dependencies"])
    assert not only_dev & locked("requirements.lock").keys()


def test_the_locks_agree_on_what_they_share():
    build, runtime, dev = (locked(lock).items() for lock in LOCKS)
    for one, other in ((build, runtime), (build, dev), (runtime, dev)):
        assert len(dict(one | other)) == len(one | other)


def test_every_locked_package_has_hashes():
    for lock in LOCKS:
        entries = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text())
        # A package may stand there twice, for two ranges of Python.
        pinned = [entry for entry in entries if re.match(r"[a-z0-9-]+==", entry)]
        assert pinned
        assert not [entry for entry in pinned if "--hash=sha256:" not in entry]


def test_every_package_has_an_init_file():
    # migrations is a folder of scripts that the migration tool loads by path.
    folders = {path.parent for path in (ROOT / "src").rglob("*.py") if "migrations" not in path.parts}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_no_two_decisions_have_one_number_and_each_page_begins_with_its_own():
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert pages
    numbers = [int(page.name[:4]) for page in pages]
    assert len(set(numbers)) == len(numbers)
    wrong = [p.name for p, number in zip(pages, numbers, strict=True) if not p.read_text().startswith(f"# {number}. ")]
    assert not wrong
