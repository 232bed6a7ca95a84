"""particle-cli, unmodified, in two releases: the last that asks little of Node, and a current one.

The current one pins dependencies that the registry does not hold; `overrides` in its package.json take the nearest that
are there.
"""

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

from cloudchamber.clock import SystemClock
from cloudchamber.identity.totp import hotp, step_at
from cloudchamber.simulator.device import State
from cloudchamber.simulator.keys import device_key
from cloudchamber.testing import Cloud
from cloudchamber.wire.transport import Transport
from tests.whole.story import PASSWORD, Story

HERE = Path(__file__).parent
NODE = str(Path(sys.executable).parent / "node")
DEVICE, OTHER = "0123456789abcdef01234567", "0123456789abcdef01234568"
MAKER = "maker@example.com"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Cli:
    program: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.home), "PARTICLE_DISABLE_UPDATE": "1", "NO_COLOR": "1"}

    async def run(self, *words: str, succeeds: bool = True, timeout_s: float = 60.0) -> str:
        process = await asyncio.create_subprocess_exec(
            *(NODE, str(self.program), *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.environment,
            cwd=self.home,
        )
        out, _ = await asyncio.wait_for(process.communicate(), timeout_s)
        text = _ESCAPES.sub("", out.decode())
        assert (process.returncode == 0) is succeeds, f"particle {' '.join(words)}\n{text}"
        return text

    async def answering(self, *words: str, prompt: str, answer: str) -> str:
        """A command that asks for something on its terminal."""

        def play() -> str:
            child = pexpect.spawn(
                NODE, [str(self.program), *words], env=self.environment, cwd=str(self.home), encoding="utf-8"
            )
            child.timeout = 60
            child.expect(prompt)
            child.sendline(answer)
            child.expect(pexpect.EOF)
            child.close()
            return str(child.before)

        return _ESCAPES.sub("", await asyncio.to_thread(play))

    def settings(self) -> dict[str, str | None]:
        found: dict[str, str | None] = json.loads((self.home / ".particle" / "local.config.json").read_text())
        return found


@pytest.fixture(params=["3.43", "3.51"])
def program(request: pytest.FixtureRequest) -> Path:
    return HERE / f"cli-{request.param}" / "node_modules/particle-cli/src/index.js"


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with Cloud() as running:
        yield running


@pytest.fixture
def cli(program: Path, cloud: Cloud, tmp_path: Path) -> Cli:
    folder = tmp_path / ".particle"
    folder.mkdir()
    (folder / "profile.json").write_text('{"name":"local"}')
    (folder / "local.config.json").write_text(json.dumps({"apiUrl": cloud.url}))
    return Cli(program, tmp_path)


async def test_a_day_with_the_command_line(cli: Cli, cloud: Cloud) -> None:
    async with Story(cloud.url) as story:
        token = await story.user(MAKER)
        product = await story.product(token)
        device = await cloud.start_device(DEVICE)

        wrong = await cli.run("login", "--username", MAKER, "--password", "wrong", succeeds=False)
        assert "User credentials are invalid" in wrong
        await cli.run("login", "--username", MAKER, "--password", PASSWORD)
        assert MAKER in await cli.run("whoami")

        assert "Successfully claimed" in await cli.run("device", "add", DEVICE)
        listed = await cli.run("list")
        assert f"<no name> [{DEVICE}] (Photon) is online" in listed
        assert "motd (string)" in listed
        assert "int brew (String args)" in listed
        await cli.run("device", "rename", DEVICE, "lamp")
        assert "int lightsOn" in await cli.run("function", "list")
        assert (await cli.run("function", "call", "lamp", "brew", "7")).strip() == "7"
        assert "not found" in await cli.run("function", "call", "lamp", "nothing", succeeds=False)
        assert "temperature (double)" in await cli.run("variable", "list")
        assert "hello from a virtual device" in await cli.run("variable", "get", "lamp", "motd")
        await cli.run("nyan", "lamp", "on")
        assert device.all[0].signals
        await cli.run("nyan", "lamp", "off")

        listening = asyncio.create_task(cli.run("subscribe", "temp", "--max", "1"))
        async with asyncio.timeout(30):
            while not listening.done():
                await cli.run("publish", "temp", "25.0")
                await asyncio.wait([listening], timeout=0.5)
        heard = listening.result()
        assert '"data":"25.0"' in heard
        assert '"name":"temp"' in heard

        made = await cli.run("webhook", "create", "temp", "https://example.com/in")
        hook = re.search(r"[0-9a-f]{24}", made)
        assert hook
        assert 'watching for "temp"' in await cli.run("webhook", "list")
        await cli.run("webhook", "delete", hook[0])
        assert "watching" not in await cli.run("webhook", "list")

        (cli.home / "ids.txt").write_text(f"{OTHER}\n{'b' * 24}\nnonsense\n")
        imported = await cli.run("product", "device", "add", str(product.id), "--file", "ids.txt")
        assert OTHER in imported
        assert re.search(r"Skipped Invalid IDs:\s+nonsense", imported)
        assert f"[{OTHER}] (Product {product.id}) is offline" in await cli.run(
            "product", "device", "list", str(product.id)
        )
        await cli.run("product", "device", "remove", str(product.id), OTHER)
        assert OTHER not in await cli.run("product", "device", "list", str(product.id))

        await cli.run("device", "remove", "lamp", "--yes")
        assert await story.ok("GET", "/v1/devices", token) == []


async def test_a_device_of_somebody_else_is_told_so(cli: Cli, cloud: Cloud) -> None:
    async with Story(cloud.url) as story:
        owner = await story.user("owner@example.com")
        await story.user(MAKER)
        await cloud.start_device(DEVICE)
        await story.ok("POST", "/v1/devices", owner, data={"id": DEVICE})
        await cli.run("login", "--username", MAKER, "--password", PASSWORD)
        asked = await cli.answering("device", "add", DEVICE, prompt="belongs to someone else", answer="n")
        assert "request" in asked.lower()
        refused = await cli.run("variable", "get", DEVICE, "motd", succeeds=False)
        assert "Permission Denied" in refused or "not found" in refused


async def test_tokens_and_second_factors(cli: Cli, cloud: Cloud) -> None:
    async with Story(cloud.url) as story:
        token = await story.user(MAKER)
        await cli.run("login", "--username", MAKER, "--password", PASSWORD)
        made = await cli.answering("token", "create", prompt="Please enter your password", answer=PASSWORD)
        fresh = re.search(r"[0-9a-f]{40}", made)
        assert fresh, made
        await story.ok("GET", "/v1/user", fresh[0])
        await cli.run("token", "revoke", fresh[0])
        assert (await story.ask("GET", "/v1/user", fresh[0])).status_code == 401
        await cli.run("logout")

        enrolment = await story.ok("GET", "/v1/user/mfa-enable", token)
        # A code works once, so the one of half a minute ago enrols and the present one logs in.
        code = {"mfa_token": enrolment["mfa_token"], "otp": one_time_code(enrolment["secret"], -1)}
        await story.ok("POST", "/v1/user/mfa-enable", token, json=code)
        who = ("--username", MAKER, "--password", PASSWORD)
        refused = await cli.run("login", *who, "--otp", "000000", succeeds=False)
        assert "Could not validate OTP" in refused
        assert not cli.settings().get("access_token")
        await cli.run("login", *who, "--otp", one_time_code(enrolment["secret"]))
        assert MAKER in await cli.run("whoami")


def one_time_code(secret: str, steps: int = 0) -> str:
    padded = secret + "=" * (-len(secret) % 8)
    return hotp(base64.b32decode(padded), step_at(SystemClock().now()) + steps)


async def test_a_devices_key_is_made_and_sent(cli: Cli, cloud: Cloud) -> None:
    """As `particle keys doctor` does, but for the steps that need a device on a cable."""
    async with Story(cloud.url) as story:
        token = await story.user(MAKER)
        product = await story.product(token)
        await cli.run("login", "--username", MAKER, "--password", PASSWORD)
        await story.import_devices(product, [OTHER])
        await story.ok("POST", "/v1/devices", token, json={"id": OTHER})
        # Where its simulated device will look; `keys new` asks for one on a cable.
        keys = cloud.data.parent / "device-keys"
        keys.mkdir()
        device_key(keys, OTHER, Transport.TCP)
        sent = await cli.run("keys", "send", OTHER, str(keys / f"{OTHER}.tcp.der"))
        assert "submitting public key succeeded" in sent
        # The device that holds the private half is let in by it, and no other.
        devices = await cloud.start_device(OTHER)
        assert devices.all[0].state is State.ONLINE
        await devices.stop()
        (keys / f"{OTHER}.tcp.der").unlink()
        with pytest.raises(TimeoutError):
            await cloud.start_device(OTHER, timeout_s=2)
