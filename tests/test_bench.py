"""The benchmarks still run. What they measure in slices this short says nothing."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from bench import beside
from bench.__main__ import Result
from bench.benchmarks import BENCHMARKS
from bench.beside import Comparison, Turn
from bench.load import Sample
from bench.udp import Results

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another process's CPU clock is read")


def test_every_benchmark_runs_and_the_table_has_its_row(tmp_path: Path):
    samples = tmp_path / "samples.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", *BENCHMARKS, "--seconds", "0.1", "--rounds", "1", "--json", str(samples)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for name in BENCHMARKS:
        assert f"│ {name} " in done.stdout
    for result in msgspec.json.decode(samples.read_bytes(), type=list[Result]):
        (pair,) = result.rounds
        for sample in (pair.hello, pair.sample):
            assert sample.requests > 0
            assert 0 < sample.p50_ms <= sample.p99_ms
            # The writer's thread works beside the loop's.
            assert 0 < sample.server_cpu_seconds < 2 * sample.seconds


def test_what_is_compared_is_shown_with_its_ratios():
    def sample(requests: int, cpu: float) -> Sample:
        return Sample(requests, 1.0, cpu, 0.1, 1.0, 2.0)

    turns = [Turn(sample(3_000 * times, 0.3 * times), sample(1_000 * times, 0.2 * times)) for times in (1, 2, 3)]
    console = Console(width=80, file=StringIO(), force_terminal=False)
    for table in beside.tables([Comparison("customer's tokens", 16, turns)]):
        console.print(table)
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    for figure in ("(3,000…9,000)", "(1,000…3,000)", "(3.00…3.00)", "(100…100)", "(200…200)", "(2.00…2.00)"):
        assert figure in shown
    assert "6,000 " in shown
    assert "customer's tokens" in shown


def test_an_answer_other_than_200_fails_the_run():
    done = subprocess.run(
        [sys.executable, "-c", _AGAINST_A_REFUSAL],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode
    assert "HTTP/1.1 401 No" in done.stderr


_OVER_UDP = ("handshakes", "exchange", "flood", "--count", "100", "--rounds", "1")

_AGAINST_A_REFUSAL = """
import os, socket, threading
from bench.load import Load, Order

def refuse(listener):
    connection, _ = listener.accept()
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 401 No\\r\\ncontent-length: 0\\r\\n\\r\\n")

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=refuse, args=(listener,), daemon=True).start()
host, port = listener.getsockname()
with Load() as load:
    load.run(Order(host, port, b"GET / HTTP/1.1\\r\\n\\r\\n", 1, 5.0, 0.0, os.getpid()))
"""


def test_the_benchmarks_over_udp_run(tmp_path: Path) -> None:
    samples = tmp_path / "samples.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", *_OVER_UDP, "--json", str(samples)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    results = msgspec.json.decode(samples.read_bytes(), type=Results)
    assert [(row.name, row.loop) for row in results.rows] == [
        (name, loop) for name in ("handshakes", "exchange") for loop in ("uvloop", "asyncio")
    ]
    for row in results.rows:
        (turn,) = row.turns
        assert 0 < turn.echo.cpu_us < turn.tally.cpu_us
    flood = results.flood
    assert flood is not None
    assert flood.hellos.done == 500
    for figure in ("sessions", "strangers", 'handshakes_total{result="started"}'):
        name = f"cloudchamber_udp_{figure}"
        assert flood.figures_after[name] == flood.figures_before[name]
