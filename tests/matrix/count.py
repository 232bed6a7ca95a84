"""Counts the matrix's cells, and prints how many there were, whichever of the test processes met them."""

from collections import Counter
from typing import Any, Final

_SAID: Final = {
    "Exactly": "refused",
    "NotTheirs": "another's, and not found",
    "Reached": "allowed",
    "Open": "open to everybody",
}
_KEY: Final = "matrix_cells"
counted: Counter[str] = Counter()


def pytest_sessionfinish(session: Any) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_KEY] = dict(counted)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if counted:
        parts = ", ".join(f"{counted[name]} {said}" for name, said in _SAID.items())
        terminalreporter.write_line(f"matrix: {counted.total()} cells: {parts}")


class Workers:
    """Known to pytest-xdist alone."""

    def pytest_testnodedown(self, node: Any) -> None:
        counted.update(getattr(node, "workeroutput", {}).get(_KEY, {}))
