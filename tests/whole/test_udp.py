"""A whole cloud and its devices over DTLS: the story, restarts that nobody notices, crashes at bad moments."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from cloudchamber.simulator.device import State
from cloudchamber.simulator.firmware import FIRMWARE
from cloudchamber.simulator.fleet import Fleet, FleetPlan, load_keys
from cloudchamber.simulator.target import find_target
from cloudchamber.testing import Cloud, Recorder
from cloudchamber.wire.session.profile import PROFILES
from cloudchamber.wire.transport import Transport
from tests.gateway.cloud import until
from tests.gateway.udp_cloud import Relay, protected_numbers
from tests.processes import cloudchamber
from tests.whole.story import Story

DEVICE = "0123456789abcdef01234567"
PATH = f"/v1/devices/{DEVICE}"
COUNT = 200


@contextlib.asynccontextmanager
async def electrons(data: Path, server: str, count: int = 1, device_os: str = "2.3.1") -> AsyncIterator[Fleet]:
    """Devices that outlive a cloud."""
    plan = FleetPlan(
        first_id=DEVICE,
        count=count,
        target=find_target(data=data, server=server, server_key_file=None, transport=Transport.UDP),
        keys=data.parent / "keys",
        firmware=FIRMWARE["counter"],
        profile=PROFILES[device_os],
        platform_id=10,
        product_id=10,
        product_version=1,
    )
    fleet = Fleet(plan, load_keys(plan, lambda: None), Recorder())
    running = asyncio.create_task(fleet.run())
    try:
        await until(lambda: fleet.online == count, 30)
        yield fleet
    finally:
        for device in fleet.devices:
            device.drop()
        fleet.stop()
        await running


async def test_an_electron_in_all_that_the_api_can_do() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        devices = await cloud.start_device(DEVICE, protocol="udp")
        token = await story.user()
        assert (await story.ok("POST", "/v1/devices", token, data={"id": DEVICE}))["connected"] is True
        async with asyncio.timeout(10):
            while not (described := await story.ok("GET", PATH, token))["functions"]:
                await asyncio.sleep(0.05)
        assert (described["platform_id"], described["connected"]) == (10, True)
        assert isinstance((await story.ok("GET", f"{PATH}/counter", token))["result"], int)
        assert (await story.ok("GET", f"{PATH}/motd", token))["result"] == "hello from a virtual device"
        assert (await story.ok("POST", f"{PATH}/brew", token, data={"arg": "7"}))["return_value"] == 7
        assert await story.ok("PUT", f"{PATH}/ping", token, json={}) == {"online": True, "ok": True}
        assert (await story.ok("PUT", PATH, token, json={"signal": "1"}))["signaling"] is True
        await until(lambda: devices.all[0].signals)
        assert (await story.ok("PUT", PATH, token, json={"name": "lamp"}))["name"] == "lamp"
        event = {"name": "testEvent", "data": "testing!", "private": "true"}
        await story.ok("POST", "/v1/devices/events", token, data=event)
        await devices.recorder.serial_line("testEventHandler called testing!")
        url = f"{cloud.url}/v1/devices/events?access_token={token}"
        async with asyncio.timeout(10), story.http.stream("GET", url) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            assert (await story.ok("POST", f"{PATH}/publish", token, data={"arg": "alpha=1"}))["return_value"] == 0
            while "event: alpha" not in await anext(lines):
                pass


async def test_two_hundred_devices_do_not_notice_a_restart_of_the_cloud(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with contextlib.AsyncExitStack() as stack:
        async with Cloud(data=data) as cloud, Story(cloud.url) as story:
            udp = cloud.listening.udp
            token = await story.user()
            fleet = await stack.enter_async_context(electrons(data, str(udp), COUNT))
            await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
            assert cloud.cloud._udp.handshakes()["done"] == COUNT
        async with Cloud(data=data, udp=udp) as cloud, Story(cloud.url) as story:
            token = await story.log_in("maker@example.com")
            assert all(device.publish("alpha", "1") for device in fleet.devices)
            await until(lambda: cloud.cloud._udp.sessions == COUNT, 20)
            async with asyncio.timeout(10):
                while not (await story.ok("GET", PATH, token))["connected"]:
                    await asyncio.sleep(0.05)
            assert (await story.ok("POST", f"{PATH}/brew", token, data={"arg": "7"}))["return_value"] == 7
            assert cloud.cloud._udp.handshakes()["started"] == 0
        assert fleet.online == COUNT
        assert {device.network.handshakes for device in fleet.devices} == {1}


async def test_a_key_that_changes_while_the_device_is_online_ends_its_session(tmp_path: Path) -> None:
    """The command line is a process of its own, and a session over datagrams would outlive its key for months. With
    close_notify the device comes back at once, shows which key it holds, and is let in only with the right one."""
    keys = tmp_path / "other"
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(cloudchamber.serve(tmp_path))
        story = await stack.enter_async_context(Story(server.url))
        udp = next(word[4:] for word in server.lines[-1].split() if word.startswith("udp="))
        token = await story.user()
        assert cloudchamber.run("keys", "device", "--protocol", "udp", "--out", str(keys)).returncode == 0

        async def register(file: Path) -> None:
            words = ("keys", "register", DEVICE, str(file), "--data", str(tmp_path / "data"))
            done = await asyncio.to_thread(cloudchamber.run, *words)
            assert done.returncode == 0, done.stderr

        async with electrons(tmp_path / "data", udp) as fleet:
            await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
            (device,) = fleet.devices
            await register(keys / "device.pub.pem")
            await until(lambda: device.network.handshakes > 1, 20)
            async with asyncio.timeout(20):
                while (await story.ok("GET", PATH, token))["connected"]:
                    await asyncio.sleep(0.1)
            assert (await story.ask("GET", f"{PATH}/counter", token)).status_code == 408
            assert fleet.online == 0
        await register(tmp_path / "keys" / f"{DEVICE}.udp.der")
        # Whoever was refused waits for a minute or two: this one was switched off and on.
        (tmp_path / "keys" / f"{DEVICE}.udp.session").unlink(missing_ok=True)
        async with electrons(tmp_path / "data", udp):
            assert isinstance((await story.ok("GET", f"{PATH}/counter", token))["result"], int)


async def test_a_cloud_that_is_killed_at_any_moment_uses_no_record_number_twice(tmp_path: Path) -> None:
    """Over all the lives of the process no two records of the one session may have the same number: it is the nonce.
    And the device goes on with its session each time."""
    relay = Relay()
    udp, token = "127.0.0.1:0", ""
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(relay.close)
        for life, busy_s in enumerate((0.2, 0.0, 0.03, 0.6)):
            with cloudchamber.serve(tmp_path, "--udp", udp) as cloud:
                async with Story(cloud.url) as story:
                    if life == 0:
                        udp = next(word[4:] for word in cloud.lines[-1].split() if word.startswith("udp="))
                        port = await relay.start(int(udp.rpartition(":")[2]))
                        fleet = await stack.enter_async_context(electrons(tmp_path / "data", f"127.0.0.1:{port}"))
                        token = await story.user()
                        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
                    (device,) = fleet.devices
                    assert device.publish("alpha", "1")
                    async with asyncio.timeout(20):
                        while not (await story.ok("GET", PATH, token))["connected"]:
                            await asyncio.sleep(0.02)
                    assert (await story.ok("POST", f"{PATH}/brew", token, data={"arg": "7"}))["return_value"] == 7
                    work = [asyncio.ensure_future(story.ask("GET", f"{PATH}/counter", token)) for _ in range(20)]
                    await asyncio.sleep(busy_s)
                    cloud.process.kill()
                    await asyncio.gather(*work, return_exceptions=True)
                    await asyncio.to_thread(cloud.process.wait)
        assert device.state is State.ONLINE
        assert device.network.handshakes == 1
    numbers = protected_numbers(relay.from_cloud)
    assert len(numbers) > 80
    assert len({nonce for nonce, _ in numbers}) == len({number for _, number in numbers}) == len(numbers)
    assert len({number // 1024 for _, number in numbers}) == 4, "each life begins with a block of its own"
