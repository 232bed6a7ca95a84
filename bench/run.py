"""What the command line chose for a run, and how far it is."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Steps:
    """The progress bar of one section. A suite says how many steps it has, and names each when it begins."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._task = progress.add_task(name, total=None)

    def expect(self, total: int) -> None:
        self._progress.update(self._task, total=total, completed=0)

    def begin(self, what: str) -> None:
        self._progress.update(self._task, description=f"{self._name}: {what}")

    def end(self) -> None:
        self.end_many(1)

    def end_many(self, count: int) -> None:
        self._progress.advance(self._task, count)


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float
    """Length of a slice."""
    rounds: int
    count: int
    """How many devices, sessions or messages, where a suite counts them and not the time."""
    offline_s: float
    """Seconds of silence until a device over UDP counts as offline, in `sessions`."""
    data: Path | None
    """Where servers that are compared keep their databases; None: in `folder`."""
    folder: Path
    """Empty, and gone after the section."""
    steps: Steps


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield shown
