"""A test that fails with its sockets open must end all the same, and its sockets must be told of."""

import re
import subprocess
import sys
from pathlib import Path

TESTS = """
import asyncio

async def test_that_fails_with_its_socket_open():
    kept.append(await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    ))
    raise LookupError

async def test_that_leaves_its_socket_open():
    kept.append(await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    ))

async def test_that_passes():
    pass

kept = []
"""

CONFTEST = """
from tests.loops import Uvloop

def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": Uvloop}
"""


def test_a_socket_left_open_is_an_error_and_does_not_stop_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_sockets.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    root = Path(__file__).parents[1]
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", root / "pyproject.toml"),
            *(f"--rootdir={tmp_path}", tmp_path),
        ],
        cwd=root, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = re.findall(r"^E +ResourceWarning: unclosed resource <UDPTransport", ran.stdout, re.MULTILINE)
    assert len(told) == 2, ran.stdout
    assert "1 failed, 2 passed, 2 errors" in ran.stdout, ran.stdout
