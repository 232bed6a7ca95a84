"""Two processes of one database, as behind a balancer: what is taken away through one of them is gone in the other
within the second, too, with the streams that were opened by it, and what is changed is so in the other. All of it was
used in both before."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.simulator.firmware import as_module
from tests.processes import Serving, cloudchamber
from tests.whole.story import PASSWORD, Story

DEVICE = "0123456789abcdef01234567"
SOON_S = 1.0
# A machine may be busy enough for the poll to be late.
GRACE_S = 4.0


@dataclass
class Pair:
    here: Story
    there: Story
    maker: str
    folder: Path
    """Of the process that is there."""
    processes: tuple[Serving, Serving]


@contextlib.asynccontextmanager
async def pair(tmp_path: Path, url: str) -> AsyncIterator[Pair]:
    folders = [tmp_path / "one", tmp_path / "two"]
    (folders[1] / "data").mkdir(mode=0o700, parents=True)
    folders[0].mkdir()
    words = ("--database", url, "--webhook-private-targets", "true")
    with cloudchamber.serve(folders[0], *words) as one:
        shutil.copy(folders[0] / "data/sealing.key", folders[1] / "data/sealing.key")
        with cloudchamber.serve(folders[1], *words) as two:
            async with Story(one.url) as here, Story(two.url) as there:
                yield Pair(here, there, await here.user(), folders[1], (one, two))


async def refused(story: Story, path: str, token: str, *statuses: int) -> None:
    """Soon, and from then on."""
    async with asyncio.timeout(SOON_S + GRACE_S):
        while (await story.ask("GET", path, token)).status_code not in statuses:
            await asyncio.sleep(0.05)
    for _ in range(3):
        assert (await story.ask("GET", path, token)).status_code in statuses


async def shown(story: Story, path: str, token: str, is_so: Callable[[Any], bool]) -> None:
    """Soon."""
    body: Any = None
    try:
        async with asyncio.timeout(SOON_S + GRACE_S):
            while not is_so(body := await story.ok("GET", path, token)):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{path} still is {body}") from None


class Target:
    """A host that webhooks point to: the paths that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    async def __aenter__(self) -> "Target":
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split()[1].decode())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    async def is_asked_for(self, story: Story, token: str, event: str, path: str) -> None:
        """By events that are published again and again."""
        async with asyncio.timeout(SOON_S + GRACE_S):
            while path not in self.asked:
                await story.ok("POST", "/v1/devices/events", token, data={"name": event})
                await asyncio.sleep(0.1)


class Stream:
    def __init__(self, story: Story, path: str, token: str) -> None:
        self._ended = asyncio.Event()
        self._open = asyncio.Event()
        self._task = asyncio.create_task(self._read(story, path, token))

    async def _read(self, story: Story, path: str, token: str) -> None:
        async with story.http.stream("GET", path, headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status_code == 200
            async for _ in answer.aiter_raw():
                self._open.set()
        self._ended.set()

    async def opened(self) -> "Stream":
        async with asyncio.timeout(10):
            await self._open.wait()
        return self

    async def ended(self) -> None:
        async with asyncio.timeout(SOON_S + GRACE_S):
            await self._ended.wait()
        await self._task

    @property
    def is_open(self) -> bool:
        return not self._task.done()


async def test_what_one_process_does_the_other_goes_by(tmp_path: Path, empty_database_url: str) -> None:
    async with pair(tmp_path, empty_database_url) as both, asyncio.TaskGroup() as group:
        group.create_task(what_ends_here_ends_there(both))
        group.create_task(what_is_changed_here_is_so_there(both))
    # Both said so, and that they should have all keys in common.
    for process in both.processes:
        process.wait_for("Another process serves from this database", SOON_S)
        assert "has another server-tcp.pem, another server-udp.pem:" in process.wait_for("has another", SOON_S)


async def what_ends_here_ends_there(both: Pair) -> None:
    here, there = both.here, both.there
    product = await here.product(both.maker)
    base = f"/v1/products/{product.id}"
    devices = f"{base}/devices"
    kim, lee, max_ = [await here.customer(product, f"{name}@example.com") for name in ("kim", "lee", "max")]
    await here.import_devices(product, [DEVICE])
    await here.ok("POST", "/v1/devices", lee, data={"id": DEVICE})
    ann = await here.user("ann@example.com")
    bob = await here.user("bob@example.com")
    stays = await here.log_in("maker@example.com")
    await here.ok("POST", f"{base}/team", both.maker, json={"username": "bob@example.com", "role": "Developer"})
    robot = await here.ok("POST", f"{base}/team", both.maker, json={"friendly_name": "r", "scopes": ["devices:list"]})
    robot_token = robot["created"]["tokens"][0]["token"]
    form = {"name": "narrow", "type": "installed"}
    client = (await here.ok("POST", f"{base}/clients", both.maker, data=form))["client"]
    grant: dict[str, Any] = {"grant_type": "client_credentials"}
    its = (await here.ok("POST", "/oauth/token", data=grant, auth=(client["id"], client["secret"])))["access_token"]

    await there.ok("GET", f"/v1/devices/{DEVICE}", lee)
    # Both have all of them in memory, and a stream of each is open at the other.
    for path, token in [
        ("/v1/devices", kim),
        ("/v1/devices", ann),
        (devices, bob),
        (devices, robot_token),
        (devices, its),
        (devices, stays),
        (devices, product.token),
    ]:
        for story in (here, there):
            await story.ok("GET", path, token)
    own, events = "/v1/devices/events", f"{base}/events"
    streams = {
        name: await Stream(there, path, token).opened()
        for name, path, token in [
            ("kim", own, kim),
            ("ann", own, ann),
            ("bob", events, bob),
            ("its", events, its),
            ("stays", events, stays),
        ]
    }

    # One token, by its owner; all of an account, by a new password.
    second = await there.log_in("ann@example.com")
    await here.ok("DELETE", f"/v1/access_tokens/{second}")
    form = {"current_password": PASSWORD, "password": "another good password", "invalidate_tokens": "true"}
    await here.ok("PUT", "/v1/user", ann, data=form)
    # A customer; somebody in the team, and a program; what a client may do.
    await here.ok("DELETE", f"{base}/customers/kim@example.com", both.maker)
    await here.ok("DELETE", f"{base}/team/bob@example.com", both.maker)
    await here.ok("DELETE", f"{base}/team/{robot['created']['username']}", both.maker)
    await here.ok("PUT", f"{base}/clients/{client['id']}", both.maker, data={"scope": "devices:update"})
    # A device, which is somebody else's from then on.
    await here.ok("DELETE", f"/v1/devices/{DEVICE}", lee)
    await here.ok("POST", "/v1/devices", max_, data={"id": DEVICE})
    await asyncio.gather(
        refused(there, f"/v1/devices/{DEVICE}", lee, 403),
        *(refused(there, "/v1/devices", token, 401) for token in (second, ann, kim)),
        refused(there, devices, bob, 404),
        refused(there, devices, robot_token, 401),
        refused(there, devices, its, 400),
        *(streams.pop(name).ended() for name in ("ann", "kim", "bob", "its")),
    )
    assert [each["id"] for each in await there.ok("GET", "/v1/devices", max_)] == [DEVICE]
    assert await there.ok("GET", "/v1/devices", lee) == []
    # Nobody else felt anything of it.
    assert streams["stays"].is_open
    await there.ok("GET", devices, stays)

    # The client, and the product with whatever acts for it.
    await here.ok("DELETE", f"{base}/clients/{client['id']}", both.maker)
    await here.ok("DELETE", f"{devices}/{DEVICE}", both.maker)
    await here.ok("DELETE", base, both.maker)
    await asyncio.gather(
        *(refused(there, devices, token, 401) for token in (its, product.token)),
        refused(there, devices, stays, 404),
        streams.pop("stays").ended(),
    )
    answer = await there.ask("POST", "/oauth/token", data=grant, auth=(client["id"], client["secret"]))
    assert answer.json()["error"] == "invalid_client"


async def what_is_changed_here_is_so_there(both: Pair) -> None:
    async with Target() as target:
        here, there, maker = both.here, both.there, both.maker
        product = await here.product(maker)
        base = f"/v1/products/{product.id}"
        lamps = [f"{number:024x}" for number in (1, 2)]
        paths = [f"{base}/devices/{lamp}" for lamp in lamps]
        await here.import_devices(product, lamps)
        await here.ok("PUT", paths[0], maker, json={"groups": ["old"]})
        like = ("--id", lamps[0], "--count", "2", "--product", str(product.id), "--version", "1")
        with cloudchamber.simulate(both.folder, *like):
            for path in paths:
                async with asyncio.timeout(20):
                    await shown(there, path, maker, lambda lamp: lamp["connected"] and lamp["firmware_version"] == 1)
            await here.ok("GET", paths[0], maker)

            # A device's name, another one's owner, by an import; the product's name, and its first firmware.
            await here.ok("PUT", paths[0], maker, json={"name": "lamp"})
            claimed = {"ids": [lamps[1]], "claim_user": "maker@example.com"}
            await here.ok("POST", f"{base}/devices", maker, json=claimed)
            await here.ok("PUT", base, maker, json={"product": {"name": "Lantern", "description": "x"}})
            binary = as_module("tinker", platform_id=6, product_id=product.id, product_version=1)
            firmware = {"data": {"version": "1"}, "files": {"binary": ("tinker.bin", binary)}}
            await here.ok("POST", f"{base}/firmware", maker, **firmware)

            # Webhooks: one that is made, one that points elsewhere, and one that is gone.
            form = {"event": "hello", "url": f"{target.url}/first", "requestType": "POST"}
            hook = (await here.ok("POST", "/v1/integrations", maker, json=form | {"integration_type": "Webhook"}))["id"]
            await target.is_asked_for(there, maker, "hello", "/first")
            await here.ok("PUT", f"/v1/integrations/{hook}", maker, json=form | {"url": f"{target.url}/second"})
            await target.is_asked_for(there, maker, "hello", "/second")
            await here.ok("DELETE", f"/v1/integrations/{hook}", maker)
            # From then on, though its process has not heard of it; who is asked next tells that what came before was.
            await asyncio.sleep(0.1)
            target.asked.clear()
            await there.ok("POST", "/v1/devices/events", maker, data={"name": "hello"})
            last = {"event": "last", "url": f"{target.url}/last", "requestType": "POST"}
            await here.ok("POST", "/v1/integrations", maker, json=last | {"integration_type": "Webhook"})
            await target.is_asked_for(there, maker, "last", "/last")
            assert set(target.asked) == {"/last"}

            await shown(there, paths[0], maker, lambda lamp: lamp["name"] == "lamp")
            await shown(there, paths[1], maker, lambda lamp: lamp["owner"] == "maker@example.com")
            await shown(there, base, maker, lambda found: found["product"]["name"] == "Lantern")

            # A group's name; what is released to it; whom the product's team invites.
            await here.ok("PUT", f"{base}/groups/old", maker, json={"name": "new"})
            await here.ok("PUT", f"{base}/firmware/release", maker, json={"version": 1, "groups": ["new"]})
            await here.ok("POST", f"{base}/team", maker, json={"username": "joe@example.com", "role": "Developer"})
            await shown(
                there,
                paths[0],
                maker,
                lambda lamp: (
                    (lamp["name"], lamp["groups"], lamp["targeted_firmware_release_version"]) == ("lamp", ["new"], 1)
                ),
            )
            # Who was invited here and makes the account there is in the team there.
            joe = await there.user("joe@example.com")
            assert (await there.ok("GET", f"{base}/devices", joe))["devices"]

            # What is released to all. A device that is denied, and one that has another key: their connections end.
            await here.ok("PUT", f"{base}/firmware/release", maker, json={"version": 1, "product_default": True})
            await here.ok("DELETE", paths[0], maker, json={"deny": True})
            key = rsa.generate_private_key(65537, 1024).public_key()
            pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
            sent = {"deviceID": lamps[1], "publicKey": pem, "product_id": product.id}
            await here.ok("POST", f"/v1/provisioning/{lamps[1]}", maker, json=sent)
            for path in paths:
                await shown(there, path, maker, lambda lamp: not lamp["connected"])
            await shown(there, paths[1], maker, lambda lamp: lamp["targeted_firmware_release_version"] == 1)
