"""What the command line chose for a run, and how far it is."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_TOLD_EVERY_S: Final = 10.0
"""Where there is no terminal, progress is a line now and then."""


class Steps:
    """The progress bar of one section. A suite says how many steps it has, and names each when it begins."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._task = progress.add_task(name, total=None)
        self._total = self._done = 0
        self._started = time.monotonic()
        self._told_at = 0.0

    def expect(self, total: int) -> None:
        self._total, self._done, self._started = total, 0, time.monotonic()
        self._progress.update(self._task, total=total, completed=0)

    def begin(self, what: str) -> None:
        self._progress.update(self._task, description=f"{self._name}: {what}")
        now = time.monotonic()
        if not self._progress.console.is_terminal and now > self._told_at + _TOLD_EVERY_S:
            self._told_at = now
            done = f" ({self._done:,} of {self._total:,})" if self._total else ""
            click.echo(f"  {self._name}: {what}{done}{self._left(now)}", err=True)

    def end(self) -> None:
        self.end_many(1)

    def end_many(self, count: int) -> None:
        self._done += count
        self._progress.advance(self._task, count)

    def _left(self, now: float) -> str:
        if not self._done or self._total <= self._done:
            return ""
        return f", some {(now - self._started) / self._done * (self._total - self._done):.0f} s left"


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
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        yield shown
