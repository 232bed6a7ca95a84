"""The published transcripts of the vendor's cloud as one script of curl calls, against `cloudchamber serve` with a
simulated device: as anybody would run it by hand, with real processes.

The script makes its user and product itself, but the cases on organizations' paths have to be told where to look: so
both are made before, in the way in which the script would, and the organization is the one that the product is in.
"""

import os
import re
import subprocess
from pathlib import Path

import httpx

from tests.processes import cloudchamber

SCRIPT = Path(__file__).parent / "transcripts.sh"
DEVICE = "0123456789abcdef01234567"
USER, PASSWORD = "owner@example.com", "pw-of-the-owner"


def test_every_transcript_is_answered(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path) as cloud, cloudchamber.simulate(tmp_path, "--id", DEVICE) as device:
        device.wait_for(f"{DEVICE} online")
        ran = subprocess.run(
            ["bash", str(SCRIPT)],
            env={**os.environ, "BASE": cloud.url, "DEV": DEVICE, **fixtures(cloud.url)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        device.wait_for("testEventHandler called testing!")
    said = ran.stdout + ran.stderr
    closing = re.search(r"passed (\d+) failed (\d+) soft (\d+) skipped (\d+)", said)
    assert closing, said
    passed, failed, _, skipped = map(int, closing.groups())
    assert (failed, skipped, ran.returncode) == (0, 0, 0), said
    # "refused when the account exists: fine"
    assert re.findall(r"^soft +(\S+):", said, flags=re.MULTILINE) == ["0.1"], said
    assert passed >= 136, said


def fixtures(url: str) -> dict[str, str]:
    """What the script takes from the environment: a user with a product, and where it stands."""
    with httpx.Client(base_url=url, timeout=20) as http:

        def ask(method: str, path: str, **sent: object) -> dict:
            answer = http.request(method, path, **sent)
            assert answer.is_success, (path, answer.text)
            return answer.json()

        named = {"username": USER, "password": PASSWORD}
        ask("POST", "/v1/users", json=named)
        form = {"grant_type": "password", **named}
        token = ask("POST", "/oauth/token", data=form, auth=("particle", "particle"))["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        made = {"product": {"name": "ElectronTest1", "description": "t", "platform_id": 10}}
        product = ask("POST", "/v1/user/products", json=made, headers=bearer)["product"]
        organization = ask("GET", f"/v1/orgs/{product['organization']}", headers=bearer)["organization"]
    return {
        "USER_NAME": USER,
        "USER_PW": PASSWORD,
        "P": str(product["id"]),
        "ORG": organization["slug"],
        "ORG_P": product["slug"],
    }
