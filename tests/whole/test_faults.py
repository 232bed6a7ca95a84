"""A disk that is full, a damaged database, a clock that jumps (statement 57): writes are refused with 503 and nothing
of them is kept, reads and devices go on, nobody gets in who would not otherwise, and what is wrong is named."""

import asyncio
import resource
import sys
from pathlib import Path

import pytest

from cloudchamber.app import Cloud as App
from cloudchamber.clock import DAY, Millis, SystemClock
from cloudchamber.settings import Settings
from cloudchamber.testing import ANY_PORT
from tests.processes import cloudchamber
from tests.whole.story import PASSWORD, Story
from tests.whole.test_udp import electrons

DEVICE = "0123456789abcdef01234567"
PATH = f"/v1/devices/{DEVICE}"
MAKER = "maker@example.com"


def limit_files(pid: int, size: int) -> None:
    """What a full disk is to a process: no file of it may grow past `size` bytes; -1 lifts that again."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.skipif(sys.platform != "linux", reason="another process's limits are set")
async def test_57_a_full_disk_refuses_writes_and_nothing_else(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path, "--rate-limits", "off") as cloud:
        udp = next(word[4:] for word in cloud.lines[-1].split() if word.startswith("udp="))
        async with Story(cloud.url) as story, electrons(tmp_path / "data", udp) as fleet:
            token = await story.user(MAKER)
            product = await story.product(token)
            await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
            revoked = await story.log_in(MAKER)
            await story.ok("DELETE", f"/v1/access_tokens/{revoked}", auth=(MAKER, PASSWORD))
            log_in = {"grant_type": "password", "username": MAKER, "password": PASSWORD}
            before = await story.ok("GET", PATH, token)

            limit_files(cloud.process.pid, 0)
            for method, path, options in (
                ("PUT", PATH, {"json": {"name": "lamp"}}),
                ("POST", "/v1/device_claims", {}),
                ("POST", f"/v1/products/{product.id}/devices", {"json": {"ids": ["f" * 24]}}),
                ("DELETE", PATH, {}),
            ):
                answer = await story.ask(method, path, token, **options)
                assert answer.status_code == 503, f"{method} {path}: {answer.text}"
                assert answer.json()["ok"] is False
                assert answer.headers["retry-after"]
            answer = await story.ask("POST", "/oauth/token", data=log_in, auth=("particle", "particle"))
            assert answer.status_code == 503
            assert "access_token" not in answer.text
            # Nobody gets in for it.
            wrong = await story.ask(
                "POST", "/oauth/token", data={**log_in, "password": "x" * 9}, auth=("particle", "particle")
            )
            assert wrong.status_code in (400, 503)
            assert (await story.ask("GET", PATH, revoked)).status_code == 401
            assert (await story.ask("GET", PATH, "0" * 40)).status_code == 401
            # Reads and devices go on.
            assert (await story.ok("GET", PATH, token))["name"] == before["name"]
            assert (await story.ok("GET", f"/v1/products/{product.id}/devices", token))["devices"] == []
            assert isinstance((await story.ok("GET", f"{PATH}/counter", token))["result"], int)
            assert (await story.ok("POST", f"{PATH}/brew", token, data={"arg": "7"}))["return_value"] == 7
            assert fleet.online == 1

            limit_files(cloud.process.pid, resource.RLIM_INFINITY)
            assert (await story.ok("GET", PATH, token))["name"] == before["name"]
            assert (await story.ok("PUT", PATH, token, json={"name": "lamp"}))["name"] == "lamp"
            assert await story.log_in(MAKER)
            await story.import_devices(product, ["f" * 24])
        assert cloud.stop() == 0


async def test_57_damage_is_named_at_the_start(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path) as cloud:
        async with Story(cloud.url) as story:
            await story.user(MAKER)
        assert cloud.stop() == 0
    file = tmp_path / "data" / "cloudchamber.db"
    content = bytearray(file.read_bytes())
    content[content.index(MAKER.encode())] ^= 1  # an index and its table do not agree any more
    file.write_bytes(content)
    done = await asyncio.to_thread(cloudchamber.run, "serve", "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert "restore the last backup" in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_bytes() == content, "it is left as it was found"


class Jumping(SystemClock):
    off_by = 0

    def now(self) -> Millis:
        return Millis(super().now() + self.off_by)


async def test_57_a_clock_that_jumps_by_a_day_locks_nobody_out_and_lets_nobody_in(tmp_path: Path) -> None:
    clock = Jumping()
    ports = dict.fromkeys(("http", "tcp", "udp", "metrics"), ANY_PORT)
    async with App(Settings(data=tmp_path / "data", **ports), clock=clock) as cloud:
        url = f"http://{cloud.listening.http}"
        async with Story(url) as story, electrons(tmp_path / "data", str(cloud.listening.udp)) as fleet:
            log_in = {"grant_type": "password", "username": MAKER, "password": PASSWORD}

            async def log_in_for(seconds: int) -> str:
                form = {**log_in, "expires_in": str(seconds)}
                found = await story.ok("POST", "/oauth/token", data=form, auth=("particle", "particle"))
                return str(found["access_token"])

            token = await story.user(MAKER)
            await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
            an_hour, two_days = await log_in_for(3600), await log_in_for(2 * 86400)

            for off_by, good, bad in (
                (DAY, [two_days], [an_hour]),
                (-DAY, [two_days, an_hour], []),
                (0, [two_days], []),
            ):
                clock.off_by = off_by
                for known in good:
                    assert (await story.ok("GET", PATH, known))["connected"] is True
                for known in bad:
                    assert (await story.ask("GET", PATH, known)).status_code == 401
                # Tokens and claim codes that are made now are good now.
                fresh = await log_in_for(60)
                assert isinstance((await story.ok("GET", f"{PATH}/counter", fresh))["result"], int)
                assert (await story.ok("POST", "/v1/device_claims", fresh))["claim_code"]
                wrong = await story.ask(
                    "POST", "/oauth/token", data={**log_in, "password": "x" * 9}, auth=("particle", "particle")
                )
                assert wrong.status_code == 400
                assert fleet.online == 1
            assert {device.network.handshakes for device in fleet.devices} == {1}
