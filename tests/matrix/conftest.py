"""Counts the cells, and prints how many there were."""

from collections import Counter
from typing import Any, Final

import pytest

_SAID: Final = {
    "Exactly": "refused",
    "NotTheirs": "another's, and not found",
    "Reached": "allowed",
    "Open": "open to everybody",
}
_counted: Counter[str] = Counter()


@pytest.fixture(scope="session")
def matrix() -> Counter[str]:
    return _counted


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _counted:
        parts = ", ".join(f"{_counted[name]} {said}" for name, said in _SAID.items())
        terminalreporter.write_line(f"matrix: {_counted.total()} cells: {parts}")
