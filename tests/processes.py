"""The project's commands as real processes."""

import contextlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_S = 60.0
ROOT = Path(__file__).parents[1]
WATCHED = ("-m", "tests.watched")


@dataclass
class Running:
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    _new: "queue.Queue[str | None]" = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, text: str, timeout_s: float = START_S) -> str:
        """The first line, from the beginning, with `text` in it."""
        deadline = time.monotonic() + timeout_s
        for line in self.lines:
            if text in line:
                return line
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                line_or_end = self._new.get(timeout=left)
                if line_or_end is None:
                    break
                self.lines.append(line_or_end)
                if text in line_or_end:
                    return line_or_end
        raise AssertionError(f"no line with {text!r} in:\n" + "\n".join(self.lines))

    def stop(self, timeout_s: float = 15.0) -> int:
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._new.put(line.rstrip("\n"))
        self._new.put(None)


@dataclass
class Serving(Running):
    url: str = ""
    metrics: str = ""


class Cloudchamber:
    def run(self, *words: str, stdin: str = "", timeout_s: float = 60.0) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def command(self, *words: str, program: Sequence[str] = ("-m", "cloudchamber")) -> list[str]:
        return [sys.executable, "-W", "error", *program, *words]

    @contextlib.contextmanager
    def start(self, *words: str, kind: type[Running] = Running, **how: Any) -> Iterator[Running]:
        process = subprocess.Popen(
            self.command(*words, **how),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=ROOT,
        )
        running = kind(process)
        try:
            yield running
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            assert process.stdout is not None
            process.stdout.close()

    @contextlib.contextmanager
    def serve(self, folder: Path, *words: str, program: Sequence[str] = WATCHED) -> Iterator[Serving]:
        """On free ports, over the data folder `folder`/data. Fails where it answered what the route table does not
        declare."""
        faults = folder / "undeclared-answers"
        listeners = ("--http", "--tcp", "--udp", "--metrics")
        on_free_ports = [word for listener in listeners for word in (listener, "127.0.0.1:0")]
        words = ("serve", "--data", str(folder / "data"), *on_free_ports, *words)
        with self.start(str(faults), *words, kind=Serving, program=program) as running:
            assert isinstance(running, Serving)
            ready = running.wait_for("ready http=")
            addresses = dict(word.split("=", 1) for word in ready.split() if "=" in word)
            running.url, running.metrics = addresses["http"], addresses["metrics"]
            yield running
        found = faults.read_text()
        assert not found, f"answers that the route table does not declare:\n{found}"

    @contextlib.contextmanager
    def simulate(self, folder: Path, *words: str) -> Iterator[Running]:
        with self.start("simulate", "--data", str(folder / "data"), "--keys", str(folder / "keys"), *words) as running:
            yield running


cloudchamber = Cloudchamber()
