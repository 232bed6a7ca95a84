"""Firmware from its upload to the devices that run it: a whole cloud, simulated devices, real sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

from cloudchamber.simulator.device import VirtualDevice
from cloudchamber.simulator.firmware import FIRMWARE, as_module
from cloudchamber.simulator.fleet import Fleet, FleetPlan, Ota, load_keys
from cloudchamber.simulator.target import find_target
from cloudchamber.testing import Cloud, Recorder
from cloudchamber.wire.coap import Code, Type
from cloudchamber.wire.session.profile import profile_on
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.udp.device import DeviceDatagramConnection
from tests.gateway.cloud import until
from tests.whole.story import Product, Story

DEVICE = "0123456789abcdef01234567"
PATH = f"/v1/devices/{DEVICE}"
SIZE = 40_000
HOPEFUL_S = 60.0
"""Where one datagram in twenty gets lost, an update takes 1.5 s and one in a thousand takes 20; the description after
it takes 0.1 s and one in 150 more than 10, for devices say a thing again after 4 to 6 and after 12 to 18 s. In 2,000
tries on the fake network nothing was lost for good."""

# Platform and Device OS: the two protocols over the two transports.
KINDS = [
    pytest.param("tcp", "fast", "2.3.1", id="tcp-fast"),
    pytest.param("tcp", "slow", "1.5.2", id="tcp-slow"),
    pytest.param("tcp", "v3", "3.3.1", id="tcp-v3"),
    pytest.param("udp", "fast", "2.3.1", id="udp-fast"),
    pytest.param("udp", "slow", "1.5.2", id="udp-slow"),
    pytest.param("udp", "v3", "4.0.2", id="udp-v3"),
]


class Ear:
    """An open stream of events, and what came over it: name and data of each, and from which device."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str | None, str]] = []

    async def listen(self, story: Story, path: str, token: str, is_open: asyncio.Event) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with story.http.stream("GET", path, headers=headers, timeout=None) as stream:
            name = ""
            async for line in stream.aiter_lines():
                is_open.set()
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    event = json.loads(line[6:])
                    self.heard.append((name, event["data"], event["coreid"]))

    def of(self, name: str, device: str = DEVICE) -> list[str | None]:
        return [data for heard, data, by in self.heard if (heard, by) == (name, device)]

    @property
    def statuses(self) -> list[str | None]:
        return self.of("spark/flash/status")


@contextlib.asynccontextmanager
async def ear(story: Story, path: str, token: str) -> AsyncIterator[Ear]:
    opened, heard = asyncio.Event(), Ear()
    task = asyncio.create_task(heard.listen(story, path, token, opened))
    try:
        await asyncio.wait_for(opened.wait(), 10)
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def upload(story: Story, product: Product, version: int, name: str = "tinker", size: int = SIZE) -> bytes:
    data = as_module(name, platform_id=6, product_id=product.id, product_version=version, size=size)
    files = {"binary": (f"{name}.bin", data)}
    path = f"/v1/products/{product.id}/firmware"
    await story.ok("POST", path, product.owner_token, data={"version": str(version)}, files=files)
    return data


async def release(story: Story, product: Product, version: int, **more: Any) -> Any:
    wanted = {"version": version, "product_default": True, **more}
    return await story.ok("PUT", f"/v1/products/{product.id}/firmware/release", product.owner_token, json=wanted)


def cloud_for_updates(**settings: Any) -> Cloud:
    return Cloud(update_delay_s=0.05, **settings)


# --- one device ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("transport", "ota", "device_os"), KINDS)
async def test_a_file_is_flashed(
    transport: Literal["tcp", "udp"], ota: Literal["fast", "slow", "v3"], device_os: str
) -> None:
    async with cloud_for_updates() as cloud, Story(cloud.url) as story:
        devices = await cloud.start_device(
            DEVICE, protocol=transport, ota=ota, device_os=device_os, loss=0.05 if transport == "udp" else 0.0
        )
        (device,) = devices.all
        token = await story.user()
        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
        assert isinstance(device.firmware, FIRMWARE["counter"])
        platform = 6 if transport == "tcp" else 10
        # Each loss costs the slow way seconds.
        size = SIZE // 5 if (transport, ota) == ("udp", "slow") else SIZE
        data = as_module("tinker", platform_id=platform, product_id=None, product_version=None, size=size)
        async with ear(story, "/v1/devices/events", token) as heard:
            form, files = {"file_type": "binary"}, {"file": ("tinker.bin", data)}
            answer = await story.ok("PUT", PATH, token, data=form, files=files)
            assert answer == {"id": DEVICE, "status": "Update started"}
            await until(lambda: device.updates == 1 and isinstance(device.firmware, FIRMWARE["tinker"]), HOPEFUL_S)
            await devices.online(HOPEFUL_S)
            # Its own words for the module that it runs now.
            await until(lambda: heard.of("spark/device/app-hash"), HOPEFUL_S)
        assert heard.statuses == ["started tinker.bin", "success tinker.bin"]
        async with asyncio.timeout(HOPEFUL_S):
            while "digitalread" not in (await story.ok("GET", PATH, token))["functions"]:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(("transport", "ota", "device_os"), KINDS[2:])
async def test_the_same_file_again(
    transport: Literal["tcp", "udp"], ota: Literal["fast", "slow", "v3"], device_os: str
) -> None:
    """Within a session over datagrams nothing of what the device tells is new then."""
    async with cloud_for_updates() as cloud, Story(cloud.url) as story:
        devices = await cloud.start_device(DEVICE, protocol=transport, ota=ota, device_os=device_os, platform_id=6)
        (device,) = devices.all
        token = await story.user()
        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
        data = as_module("tinker", platform_id=6, product_id=None, product_version=None, size=SIZE // 5)
        async with ear(story, "/v1/devices/events", token) as heard:
            for times in (1, 2):
                await story.ok("PUT", PATH, token, files={"file": ("tinker.bin", data)})
                await until(lambda times=times: len(heard.of("spark/device/app-hash")) == times, HOPEFUL_S)
                assert device.updates == times
        first, second = heard.of("spark/device/app-hash")
        assert first == second
        assert heard.statuses == ["started tinker.bin", "success tinker.bin"] * 2


@pytest.mark.parametrize(("ota", "device_os"), [("fast", "2.3.1"), ("slow", "1.5.2")])
async def test_a_device_whose_word_of_an_update_gets_lost(
    monkeypatch: pytest.MonkeyPatch, ota: Literal["fast", "slow"], device_os: str
) -> None:
    """It has the file, says so once, and starts with it. It gets no second copy, for it says so in its next Hello."""
    send, lost = DeviceDatagramConnection.messages_to_send, []

    def send_but_its_last_word(connection: DeviceDatagramConnection, now: float) -> list[bytes]:
        leaving = send(connection, now)
        words = [raw for raw in leaving if raw[0] >> 4 & 3 == Type.ACK and raw[1] == Code.CHANGED]
        lost.extend(words)
        return [raw for raw in leaving if raw not in words]

    monkeypatch.setattr(DeviceDatagramConnection, "messages_to_send", send_but_its_last_word)
    async with cloud_for_updates() as cloud, Story(cloud.url) as story:
        devices = await cloud.start_device(DEVICE, protocol="udp", ota=ota, device_os=device_os)
        (device,) = devices.all
        token = await story.user()
        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
        data = as_module("tinker", platform_id=10, product_id=None, product_version=None, size=SIZE // 5)
        async with ear(story, "/v1/devices/events", token) as heard:
            await story.ok("PUT", PATH, token, files={"file": ("tinker.bin", data)})
            await until(lambda: heard.of("spark/device/app-hash"), HOPEFUL_S)
        assert lost
        assert heard.statuses == ["started tinker.bin", "success tinker.bin"]
        assert device.updates == 1


@pytest.mark.parametrize(("transport", "ota", "device_os"), KINDS)
async def test_a_connection_that_is_lost_in_the_middle(
    transport: Literal["tcp", "udp"], ota: Literal["fast", "slow", "v3"], device_os: str
) -> None:
    """V3 goes on where it was; the older protocol begins anew. Nobody can tell from fast chunks, which have no answers,
    that the device that is back over datagrams does not take them any more: only that it never starts."""
    async with cloud_for_updates(update_restart_s=1.0) as cloud, Story(cloud.url) as story:
        devices = await cloud.start_device(
            DEVICE, protocol=transport, ota=ota, device_os=device_os, drop_update_at=0.5, platform_id=6
        )
        (device,) = devices.all
        token = await story.user()
        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
        data = as_module("tinker", platform_id=6, product_id=None, product_version=None, size=SIZE)
        async with ear(story, "/v1/devices/events", token) as heard:
            await story.ok("PUT", PATH, token, files={"file": ("tinker.bin", data)})
            await until(lambda: device.updates == 1 and isinstance(device.firmware, FIRMWARE["tinker"]), HOPEFUL_S)
            await until(lambda: heard.statuses[-1] == "success tinker.bin", HOPEFUL_S)
        unnoticed = ["success tinker.bin", "failed tinker.bin"] if (transport, ota) == ("udp", "fast") else []
        assert heard.statuses == ["started tinker.bin", *unnoticed, "started tinker.bin", "success tinker.bin"]
        first, second = (line for line in devices.recorder.log_lines if " begun" in line)
        assert ", from " not in first
        resumed = int(second.rpartition(", from ")[2].split()[0]) if ", from " in second else 0
        assert (resumed > SIZE // 3) if ota == "v3" else (resumed == 0)


async def test_a_file_that_the_device_rejects() -> None:
    async with cloud_for_updates() as cloud, Story(cloud.url) as story:
        devices = await cloud.start_device(DEVICE, device_os="3.3.1")
        (device,) = devices.all
        token = await story.user()
        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
        device.set_updates_enabled(enabled=False)
        data = as_module("tinker", platform_id=6, product_id=None, product_version=None, size=SIZE)
        async with asyncio.timeout(10):
            while (await story.ok("GET", PATH, token))["firmware_updates_enabled"]:
                await asyncio.sleep(0.05)
        refused = await story.ask("PUT", PATH, token, files={"file": ("tinker.bin", data)})
        assert (refused.status_code, refused.json()["ok"], refused.json()["code"]) == (409, False, 409)
        assert "takes no updates now" in refused.json()["errors"][0]
        await story.ok("PUT", PATH, token, json={"firmware_updates_forced": True})
        await story.ok("PUT", PATH, token, files={"file": ("tinker.bin", data)})
        await until(lambda: device.updates == 1, HOPEFUL_S)


# --- a cloud that ends -----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def photons(
    recorder: Recorder, data: Path, server: str, count: int, product_id: int, ota: Ota
) -> AsyncIterator[Fleet]:
    """Devices that outlive a cloud, and lose their network in the middle of an update."""
    plan = FleetPlan(
        first_id=DEVICE,
        count=count,
        target=find_target(data=data, server=server, server_key_file=None, transport=Transport.TCP),
        keys=data.parent / "keys",
        firmware=FIRMWARE["counter"],
        profile=profile_on("3.3.1", 6),
        platform_id=6,
        product_id=product_id,
        product_version=1,
        ota=ota,
        drop_update_at=0.5,
    )
    fleet = Fleet(plan, load_keys(plan, lambda: None), recorder)
    running = asyncio.create_task(fleet.run())
    try:
        await until(lambda: fleet.online == count, 30)
        yield fleet
    finally:
        fleet.stop()
        await running


@pytest.mark.parametrize("ota", [Ota.SLOW, Ota.V3])
async def test_a_restart_of_the_cloud_in_the_middle(tmp_path: Path, ota: Ota) -> None:
    """One device gets a flashed file, and one its product's firmware; both are in the middle of it."""
    data, said = tmp_path / "data", Recorder()
    async with contextlib.AsyncExitStack() as stack:
        async with cloud_for_updates(data=data) as cloud, Story(cloud.url) as story:
            tcp = cloud.listening.tcp
            product = await story.product(await story.user())
            fleet = await stack.enter_async_context(photons(said, data, str(tcp), 2, product.id, ota))
            flashed, updated = fleet.devices
            await story.import_devices(product, [device.id for device in fleet.devices])
            file = as_module("tinker", platform_id=6, product_id=product.id, product_version=9, size=400_000)
            await upload(story, product, 2, size=400_000)
            path = f"/v1/products/{product.id}/devices"
            lock = {"desired_firmware_version": 2, "flash": True}
            await asyncio.gather(
                story.ok("PUT", f"{path}/{flashed.id}", product.owner_token, files={"file": ("tinker.bin", file)}),
                story.ok("PUT", f"{path}/{updated.id}", product.owner_token, json=lock),
            )
            # A device without its network takes half a second at least to be back.
            await until(lambda: sum("network pulled" in line for line in said.log_lines) == 2, HOPEFUL_S)
            assert flashed.updates == updated.updates == 0
        async with cloud_for_updates(data=data, tcp=tcp):
            await until(lambda: flashed.updates == updated.updates == 1, 60)
            await until(lambda: fleet.online == 2, 30)
            assert isinstance(flashed.firmware, FIRMWARE["tinker"])


# --- a fleet ---------------------------------------------------------------------------------------------------------


async def test_fifty_devices_get_a_release() -> None:
    """One is flashed by hand and runs it; then it is released. Of the others some are online, some busy, some come
    later, one is a development device."""
    count = 50
    async with cloud_for_updates(max_updates=10) as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        devices = await cloud.start_devices(count, first_id=DEVICE, product_id=product.id, device_os="3.3.1")
        pilot, busy, developers, *others = devices.all
        away = others[:10]
        ids = [device.id for device in devices.all]
        path = f"/v1/products/{product.id}/devices"
        await story.import_devices(product, ids)
        await upload(story, product, 1, "counter")
        await upload(story, product, 2)
        untested = {"version": 2, "product_default": True}
        refused = await story.ask(
            "PUT", f"/v1/products/{product.id}/firmware/release", product.owner_token, json=untested
        )
        assert refused.status_code == 400
        lock = {"desired_firmware_version": 2, "flash": True}
        await story.ok("PUT", f"{path}/{pilot.id}", product.owner_token, json=lock)
        await story.ok("PUT", f"{path}/{developers.id}", product.owner_token, json={"development": True})
        busy.set_updates_enabled(enabled=False)
        await until(lambda: pilot.updates == 1, HOPEFUL_S)
        async with asyncio.timeout(HOPEFUL_S):
            while (await version_of(story, product, pilot)) != 2:
                await asyncio.sleep(0.05)

        async with ear(story, f"/v1/products/{product.id}/events", product.token) as heard:
            for device in away:
                device.sleep(3.0)
            await until(lambda: all(not is_online(cloud, device) for device in away), 10)
            shown = await release(story, product, 2, intelligent=True)
            assert (shown["product_default"], shown["intelligent"], shown["device_count"]) == (True, True, 1)
            await until(lambda: all(device.updates == 1 for device in others), 60)
            await until(lambda: devices.fleet.online == count, 30)
            assert (busy.updates, developers.updates) == (0, 0)
            assert heard.of("particle/device/updates/pending", busy.id) == ["true"]
            busy.set_updates_enabled(enabled=True)
            await until(lambda: busy.updates == 1, HOPEFUL_S)
            for device in others:
                statuses = heard.of("spark/flash/status", device.id)
                assert statuses == ["started tinker.bin", "success tinker.bin"], device.id
        await devices.online()
        async with asyncio.timeout(20):
            while (await release_shown(story, product, 2))["device_count"] < count - 1:
                await asyncio.sleep(0.1)
        page = await story.ok("GET", f"{path}?per_page=100", product.token)
        versions = {device["id"]: device["firmware_version"] for device in page["devices"]}
        assert versions.pop(developers.id) == 1
        assert set(versions.values()) == {2}
        assert {device["targeted_firmware_release_version"] for device in page["devices"]} == {2}
        assert {device.updates for device in devices.all} == {0, 1}
        assert (cloud.cloud.firmware_updates.running, cloud.cloud.firmware_updates.waiting) == (0, 0)


async def version_of(story: Story, product: Product, device: VirtualDevice) -> int | None:
    found = await story.ok("GET", f"/v1/products/{product.id}/devices/{device.id}", product.token)
    return found["firmware_version"] if found["connected"] else None


async def release_shown(story: Story, product: Product, version: int) -> Any:
    return await story.ok("GET", f"/v1/products/{product.id}/firmware/{version}", product.token)


def is_online(cloud: Cloud, device: VirtualDevice) -> bool:
    return cloud.cloud.devices._live.is_online(device.id)
