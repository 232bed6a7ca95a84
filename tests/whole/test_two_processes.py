"""Two processes of one database, as behind a balancer: what is taken away through one of them is gone in the other
within the second, too, with the streams that were opened by it. All of it was used in both before."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import cloudchamber
from tests.whole.story import PASSWORD, Product, Story

DEVICE = "0123456789abcdef01234567"
SOON_S = 1.0
# A machine may be busy enough for the poll to be late.
GRACE_S = 4.0


@dataclass
class Pair:
    here: Story
    there: Story
    maker: str
    product: Product


@contextlib.asynccontextmanager
async def pair(tmp_path: Path, url: str) -> AsyncIterator[Pair]:
    folders = [tmp_path / "one", tmp_path / "two"]
    (folders[1] / "data").mkdir(mode=0o700, parents=True)
    folders[0].mkdir()
    with cloudchamber.serve(folders[0], "--database", url) as one:
        shutil.copy(folders[0] / "data/sealing.key", folders[1] / "data/sealing.key")
        with cloudchamber.serve(folders[1], "--database", url) as two:
            async with Story(one.url) as here, Story(two.url) as there:
                maker = await here.user()
                yield Pair(here, there, maker, await here.product(maker))


async def refused(story: Story, path: str, token: str, *statuses: int) -> None:
    """Soon, and from then on."""
    async with asyncio.timeout(SOON_S + GRACE_S):
        while (await story.ask("GET", path, token)).status_code not in statuses:
            await asyncio.sleep(0.05)
    for _ in range(3):
        assert (await story.ask("GET", path, token)).status_code in statuses


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


async def test_what_ends_in_one_process_ends_in_the_other(tmp_path: Path, empty_database_url: str) -> None:
    async with pair(tmp_path, empty_database_url) as both:
        here, there, product = both.here, both.there, both.product
        base = f"/v1/products/{product.id}"
        devices = f"{base}/devices"
        kim, lee, max_ = [await here.customer(product, f"{name}@example.com") for name in ("kim", "lee", "max")]
        await here.import_devices(product, [DEVICE])
        await here.ok("POST", "/v1/devices", lee, data={"id": DEVICE})
        ann = await here.user("ann@example.com")
        bob = await here.user("bob@example.com")
        stays = await here.log_in("maker@example.com")
        await here.ok("POST", f"{base}/team", both.maker, json={"username": "bob@example.com", "role": "Developer"})
        robot = await here.ok(
            "POST", f"{base}/team", both.maker, json={"friendly_name": "r", "scopes": ["devices:list"]}
        )
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
