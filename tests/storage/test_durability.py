"""A process that is killed at any moment has lost nothing that it acknowledged, and left nothing half done."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cloudchamber.storage.database import open_database

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.soak)])
async def test_kill_9(database_url: str, rounds: int) -> None:
    chance = random.Random(57)
    acknowledged: set[str] = set()
    for number in range(rounds):
        lines = run_and_kill(database_url, number * 1_000_000, after_s=chance.uniform(0.0, 0.3))
        acknowledged |= lines
        database = await open_database(database_url)
        try:
            # In one statement: a commit that was on its way may become true in a PostgreSQL at any time after the kill.
            both = "SELECT 'user', id FROM users UNION ALL SELECT 'custody', device_id FROM custody"
            rows = await database.fetch_all(both)
            users, custody = ({id_ for kind, id_ in rows if kind == of} for of in ("user", "custody"))
        finally:
            await database.close()
        assert acknowledged <= users
        assert users == custody
    assert len(acknowledged) > rounds


def run_and_kill(url: str, first: int, *, after_s: float) -> set[str]:
    """What the process had acknowledged when it was killed, `after_s` after its first line."""
    command = [sys.executable, "-m", "tests.storage.writer", url, str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout
        fd = writer.stdout.fileno()
        output = os.read(fd, 10)
        assert output, "the writer ended before it wrote anything"
        end = time.monotonic() + after_s
        while time.monotonic() < end:
            output += os.read(fd, 65536)  # drained, so that the writer never waits for us
        writer.kill()
        while chunk := os.read(fd, 65536):
            output += chunk
    # A write of ten bytes to a pipe is whole or not there at all.
    return set(output.decode().split())
