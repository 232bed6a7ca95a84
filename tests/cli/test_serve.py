"""The commands that a newcomer types, as real processes."""

import base64
import re
import resource
import signal
import sys
import time
from pathlib import Path

import httpx
import pytest

from cloudchamber.cli.serving import migrate_apart
from cloudchamber.errors import CloudError
from cloudchamber.identity.totp import STEP_S, hotp
from tests.processes import cloudchamber

HOST = r"127\.0\.0\.1:\d+"
READY = re.compile(rf"ready http=http://{HOST} tcp={HOST} udp={HOST} metrics=http://{HOST}")


def test_serve_says_ready_once_and_stops_cleanly(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path) as cloud:
        assert READY.fullmatch(cloud.lines[-1])
        assert httpx.get(f"{cloud.url}/healthz").json() == {"ok": True}
        ready = httpx.get(f"{cloud.url}/readyz")
        assert (ready.status_code, ready.json()["ok"]) == (200, True)
        assert httpx.get(f"{cloud.url}/version").json()["name"] == "cloudchamber"
        metrics = cloud.lines[-1].split("metrics=")[1]
        assert "cloudchamber_devices_online 0.0" in httpx.get(f"{metrics}/metrics").text
        # What still needs a compatibility switch is counted.
        httpx.get(f"{cloud.url}/v1/devices?access_token=0123456789")
        assert 'cloudchamber_compat_uses_total{switch="query_token"} 1.0' in httpx.get(f"{metrics}/metrics").text
        # An open stream does not hold the end up.
        with httpx.stream("GET", f"{cloud.url}/healthz"):
            began = time.monotonic()
            assert cloud.stop() == 0
            assert time.monotonic() - began < 10
    assert not (tmp_path / "data" / "listeners.json").exists()
    for name in ("server-tcp.pem", "server-udp.pem", "sealing.key", "cloudchamber.db"):
        assert (tmp_path / "data" / name).stat().st_mode & 0o077 == 0, name


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is read in /proc")
def test_the_first_start_leaves_nothing_of_the_migrations_in_memory(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path) as cloud:
        assert "sqlalchemy" not in Path(f"/proc/{cloud.process.pid}/maps").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are read")
def test_it_may_open_as_many_files_as_the_system_lets_it(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        with cloudchamber.serve(tmp_path) as cloud:
            assert resource.prlimit(cloud.process.pid, resource.RLIMIT_NOFILE)[0] == min(hard, 1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_database_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="neither opened nor made"):
        await migrate_apart(f"sqlite:///{tmp_path}/no/such/folder/cloudchamber.db")


def test_a_second_cloud_on_the_folder_is_told_why_not(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path):
        second = cloudchamber.run("serve", "--data", str(tmp_path / "data"), "--http", "127.0.0.1:0")
        assert second.returncode == 1
        assert "Another cloud runs on the folder" in second.stderr


def test_a_taken_port_is_named_with_its_remedy(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path) as cloud:
        taken = cloud.url.removeprefix("http://")
        second = cloudchamber.run("serve", "--data", str(tmp_path / "other"), "--http", taken)
        assert second.returncode == 1
        assert f"Cannot listen on {taken}" in second.stderr
        assert "--http" in second.stderr


@pytest.mark.parametrize("words", [["--http", "8080"], ["--registration", "maybe"], ["--workers-crypto", "-1"]])
def test_bad_settings_are_named(tmp_path: Path, words: list[str]) -> None:
    ran = cloudchamber.run("serve", "--data", str(tmp_path / "data"), *words)
    assert ran.returncode == 2
    assert words[0] in ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    form = {"username": "jane@example.com", "password": "open sesame"}
    with cloudchamber.serve(tmp_path) as cloud:
        assert httpx.post(f"{cloud.url}/v1/users", data=form).json() == {"ok": True}
        cloud.process.send_signal(signal.SIGKILL)
        cloud.process.wait(10)
    with cloudchamber.serve(tmp_path) as cloud:
        answer = httpx.post(
            f"{cloud.url}/oauth/token", data={"grant_type": "password", **form}, auth=("particle", "particle")
        )
        assert answer.status_code == 200


def test_user_create_while_the_cloud_runs(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with cloudchamber.serve(tmp_path, "--registration", "closed") as cloud:
        form = {"username": "other@example.com", "password": "a password"}
        assert httpx.post(f"{cloud.url}/v1/users", data=form).status_code == 403
        made = cloudchamber.run(
            "user", "create", "Maker@example.com", "--password-stdin", "--data", data, stdin="a password\n"
        )
        assert made.returncode == 0, made.stderr
        again = cloudchamber.run(
            "user", "create", "maker@example.com", "--password-stdin", "--data", data, stdin="a password\n"
        )
        assert again.returncode == 1
        assert "already exists" in again.stderr
        answer = httpx.post(
            f"{cloud.url}/oauth/token",
            data={"grant_type": "password", "username": "maker@example.com", "password": "a password"},
            auth=("particle", "particle"),
        )
        assert answer.status_code == 200


def test_second_factors_are_taken_away_while_the_cloud_runs(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    form = {"grant_type": "password", "username": "jane@example.com", "password": "open sesame"}
    with cloudchamber.serve(tmp_path) as cloud:
        httpx.post(f"{cloud.url}/v1/users", data=form)

        def log_in() -> httpx.Response:
            return httpx.post(f"{cloud.url}/oauth/token", data=form, auth=("particle", "particle"))

        headers = {"Authorization": f"Bearer {log_in().json()['access_token']}"}
        begun = httpx.get(f"{cloud.url}/v1/user/mfa-enable", headers=headers).json()
        code = hotp(base64.b32decode(begun["secret"]), int(time.time()) // STEP_S)
        sent = {"mfa_token": begun["mfa_token"], "otp": code}
        assert httpx.post(f"{cloud.url}/v1/user/mfa-enable", json=sent, headers=headers).json()["enrolled"] is True
        assert log_in().status_code == 403
        unknown = cloudchamber.run("user", "mfa-off", "nobody@example.com", "--data", data)
        assert (unknown.returncode, "no account" in unknown.stderr) == (1, True)
        done = cloudchamber.run("user", "mfa-off", "Jane@example.com", "--data", data)
        assert done.returncode == 0, done.stderr
        assert log_in().status_code == 200


def test_keys_for_a_device_that_is_registered_beforehand(tmp_path: Path) -> None:
    device = "0123456789abcdef01234567"
    data = str(tmp_path / "data")
    keys = tmp_path / "device"
    assert cloudchamber.run("keys", "device", "--protocol", "tcp", "--out", str(keys)).returncode == 0
    with cloudchamber.serve(tmp_path, "--device-keys", "registered") as cloud:
        tcp = cloud.lines[-1].split("tcp=")[1].split()[0]
        host, port = tcp.split(":")
        out = tmp_path / "server.der"
        made = cloudchamber.run("keys", "server", "--host", host, "--port", port, "--out", str(out), "--data", data)
        assert made.returncode == 0, made.stderr
        assert len(out.read_bytes()) == 512
        registered = cloudchamber.run("keys", "register", device, str(keys / "device.pub.pem"), "--data", data)
        assert registered.returncode == 0, registered.stderr
        (tmp_path / "keys").mkdir()
        (tmp_path / "keys" / f"{device}.tcp.der").write_bytes((keys / "device.der").read_bytes())
        (tmp_path / "keys" / f"{device}.tcp.der").chmod(0o600)
        words = ("--id", device, "--server-key", str(out))
        with cloudchamber.simulate(tmp_path, *words) as simulated:
            simulated.wait_for(f"{device} online")
        # The same id with another key is refused.
        with cloudchamber.start("simulate", *words, "--keys", str(tmp_path / "other")) as stranger:
            stranger.wait_for("next attempt")
            assert not any(line.endswith("online") for line in stranger.lines)
