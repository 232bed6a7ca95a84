"""`cloudchamber setup` and `cloudchamber simulate --softap`, as two people's terminals."""

import re
from pathlib import Path

import httpx

from tests.processes import cloudchamber

DEVICE = "0123456789abcdef01234567"
PASSWORD = "a good password"
LOGIN = ("--username", "kim@example.com", "--password", PASSWORD)


def listening_address(line: str) -> str:
    found = re.search(r"at (127\.0\.0\.1:\d+) \(HTTP and TCP\)", line)
    assert found, line
    return found[1]


def test_from_listening_to_its_owner(tmp_path: Path) -> None:
    with (
        cloudchamber.serve(tmp_path) as cloud,
        cloudchamber.simulate(
            tmp_path, "--id", DEVICE, "--softap", "127.0.0.1:0", "--wifi", "Home=long enough"
        ) as device,
    ):
        made = httpx.post(f"{cloud.url}/v1/users", json={"username": "kim@example.com", "password": PASSWORD})
        assert made.json() == {"ok": True}
        address = listening_address(device.wait_for("listening"))
        device.wait_for("LED blinking blue")
        where = ("--url", cloud.url, "--device", address, *LOGIN)

        unknown = cloudchamber.run("setup", *where, "--ssid", "Elsewhere")
        assert unknown.returncode == 1
        assert "does not see the Wi-Fi 'Elsewhere'. It sees: Home." in unknown.stderr

        # The Wi-Fi and its password are asked for.
        done = cloudchamber.run("setup", *where, "--wifi-password", "long enough", stdin="1\n")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{DEVICE} is online and yours" in done.stdout
        for step in ("LED blinking green", "joined Home", "LED blinking cyan", "LED breathing cyan", "claimed"):
            device.wait_for(step)


def test_what_goes_wrong_says_what_to_do(tmp_path: Path) -> None:
    nobody = cloudchamber.run("setup", "--url", "http://127.0.0.1:9", *LOGIN)
    assert nobody.returncode == 1
    assert "does not answer" in nobody.stderr
    assert "--url" in nobody.stderr
    with cloudchamber.serve(tmp_path) as cloud:
        wrong = cloudchamber.run("setup", "--url", cloud.url, *LOGIN)
        assert wrong.returncode == 1
        assert "The cloud refused: User credentials are invalid" in wrong.stderr
    both = cloudchamber.run("simulate", "--softap", "127.0.0.1:0", "--count", "2")
    assert both.returncode == 2
    assert "--softap is for one device" in both.stderr
