"""kill -9 of the whole server at random moments of its work: whatever it answered with 2xx is there afterwards, and
nothing is half done (statement 56; `storage/test_durability.py` is the same for the storage alone)."""

import asyncio
import contextlib
import random
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.processes import cloudchamber
from tests.whole.story import Product, Story

CUSTOMERS = ("ann@example.com", "bob@example.com")
BATCH = 10
# A machine may be busy enough for a start to take longer than the usual grace.
SETTINGS = ("--rate-limits", "off", "--refresh-grace-s", "600")


@dataclass
class Answered:
    """What the server has said yes to, over all of its lives."""

    imported: set[str] = field(default_factory=set)
    claims: dict[str, str] = field(default_factory=dict)
    """Customers by device."""
    renamed: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    """The last access and refresh token by customer."""
    refreshes: int = 0


async def until_killed(work: Callable[[], Awaitable[None]], process: subprocess.Popen[str]) -> None:
    """Errors of the connection end it, too: who has nothing to ask for sees none."""
    with contextlib.suppress(httpx.TransportError):
        while process.poll() is None:
            await work()


class Work:
    def __init__(self, story: Story, product: Product, answered: Answered, chance: random.Random) -> None:
        self.story, self.product, self.answered, self.chance = story, product, answered, chance

    async def import_devices(self) -> None:
        ids = [f"{self.chance.getrandbits(96):024x}" for _ in range(BATCH)]
        path = f"/v1/products/{self.product.id}/devices"
        done = await self.story.ok("POST", path, self.product.token, json={"ids": ids})
        assert done["updated"] == BATCH
        self.answered.imported.update(ids)

    def claim(self, customer: str) -> Callable[[], Awaitable[None]]:
        async def claim() -> None:
            free = sorted(self.answered.imported - self.answered.claims.keys())
            if not free:
                await asyncio.sleep(0.005)
                return
            device = self.chance.choice(free[:3])  # both often want the same one
            access, _ = self.answered.tokens[customer]
            answer = await self.story.ask("POST", "/v1/devices", access, data={"id": device})
            if answer.is_success:
                assert self.answered.claims.setdefault(device, customer) == customer
                answer = await self.story.ask(
                    "PUT", f"/v1/devices/{device}", access, data={"name": f"is-{customer[:3]}"}
                )
                if answer.is_success:
                    self.answered.renamed[device] = answer.json()["name"]

        return claim

    def refresh(self, customer: str) -> Callable[[], Awaitable[None]]:
        async def refresh() -> None:
            _, token = self.answered.tokens[customer]
            form = {"grant_type": "refresh_token", "refresh_token": token}
            found = await self.story.ok("POST", "/oauth/token", data=form, auth=self.product.client)
            self.answered.tokens[customer] = (found["access_token"], found["refresh_token"])
            self.answered.refreshes += 1

        return refresh


async def sign_in_again(story: Story, product: Product, answered: Answered, customer: str) -> None:
    """The last tokens that were answered are good, whether or not the refresh token was used and the answer lost."""
    access, refresh = answered.tokens[customer]
    await story.ok("GET", "/v1/devices", access)
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    found = await story.ok("POST", "/oauth/token", data=form, auth=product.client)
    answered.tokens[customer] = (found["access_token"], found["refresh_token"])


async def check(story: Story, product: Product, answered: Answered) -> None:
    listed: dict[str, dict] = {}
    page = 1
    while page:
        path = f"/v1/products/{product.id}/devices?perPage=100&page={page}"
        found = await story.ok("GET", path, product.token)
        listed |= {device["id"]: device for device in found["devices"]}
        page = page + 1 if page < found["meta"]["total_pages"] else 0
    assert answered.imported <= listed.keys()
    # An import that nobody was told of is there as a whole, or not at all.
    assert len(listed) % BATCH == 0
    owned: dict[str, str] = {}
    for customer in CUSTOMERS:
        await sign_in_again(story, product, answered, customer)
        access, _ = answered.tokens[customer]
        for device in await story.ok("GET", "/v1/devices", access):
            assert device["id"] not in owned
            owned[device["id"]] = customer
            assert listed[device["id"]]["owner"] == customer
            assert device["name"] == answered.renamed.get(device["id"], device["name"])
    assert answered.claims.items() <= owned.items()
    assert {device["id"]: device["owner"] for device in listed.values() if device.get("owner")} == owned
    # A claim whose answer got lost is an answered one from here on.
    answered.claims.update(owned)


@pytest.mark.parametrize("rounds", [3, pytest.param(1_000, marks=pytest.mark.soak)])
async def test_56_what_was_answered_outlives_kill_9(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(56)
    answered = Answered()
    product: Product | None = None
    for _ in range(rounds):
        with cloudchamber.serve(tmp_path, *SETTINGS) as cloud:
            async with Story(cloud.url) as story:
                if product is None:
                    product = await story.product(await story.user())
                    for email in CUSTOMERS:
                        form = {"email": email, "no_password": "true"}
                        path = f"/v1/products/{product.id}/customers"
                        made = await story.ok("POST", path, data=form, auth=product.client)
                        answered.tokens[email] = (made["access_token"], made["refresh_token"])
                else:
                    await check(story, product, answered)
                work = Work(story, product, answered, chance)
                each = [work.import_devices, *map(work.claim, CUSTOMERS), *map(work.refresh, CUSTOMERS)]
                running = [asyncio.create_task(until_killed(one, cloud.process)) for one in each]
                await asyncio.sleep(chance.uniform(0.05, 0.6))
                cloud.process.kill()
                await asyncio.gather(*running)
                await asyncio.to_thread(cloud.process.wait)
    assert product is not None
    with cloudchamber.serve(tmp_path, *SETTINGS) as cloud:
        async with Story(cloud.url) as story:
            await check(story, product, answered)
    assert len(answered.imported) > rounds
    assert len(answered.claims) > rounds
    assert answered.refreshes > rounds
