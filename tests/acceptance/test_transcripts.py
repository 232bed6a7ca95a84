"""The published transcripts of the vendor's cloud as one script of curl calls, against `cloudchamber serve` with a
simulated device: as anybody would run it by hand, with real processes."""

import os
import re
import subprocess
from pathlib import Path

from tests.processes import cloudchamber

SCRIPT = Path(__file__).parent / "transcripts.sh"
DEVICE = "0123456789abcdef01234567"


def test_every_transcript_is_answered(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path) as cloud, cloudchamber.simulate(tmp_path, "--id", DEVICE) as device:
        device.wait_for(f"{DEVICE} online")
        ran = subprocess.run(
            ["bash", str(SCRIPT)],
            env={**os.environ, "BASE": cloud.url, "DEV": DEVICE},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        device.wait_for("testEventHandler called testing!")
    said = ran.stdout + ran.stderr
    closing = re.search(r"passed (\d+) failed (\d+) soft (\d+) skipped (\d+)", said)
    assert closing, said
    passed, failed, soft, _ = map(int, closing.groups())
    assert (failed, soft, ran.returncode) == (0, 0, 0), said
    assert passed >= 129
    skipped = [line for line in said.splitlines() if line.startswith("skip ")]
    # Organisations come later.
    assert all("[org]" in line or re.search(r" B\d ", line) for line in skipped), skipped
