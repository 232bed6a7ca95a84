"""Statements 52 and 53: who exists is not told, not by the clock either; and passwords are checked beside the loop."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping

import pytest

from cloudchamber.identity.passwords import Passwords
from tests.api.conftest import Api, Maker, bearer
from tests.world import PASSWORD, World


async def test_52_a_log_in_takes_the_same_time_whether_or_not_the_account_exists(world: World) -> None:
    """The password's hash is most of the time, so a path without it would be twenty times as fast."""
    ann = await world.user("ann")
    shop = await world.product(ann)
    await world.customer(ann, shop, "kim")
    ways = {
        "wrong password": lambda: world.users.with_password("ann", "wrong"),
        "unknown user": lambda: world.users.with_password("nobody", "wrong"),
        "customer without a password": lambda: world.customers.with_password(shop.id, "kim", "wrong"),
        "unknown customer": lambda: world.customers.with_password(shop.id, "nobody", "wrong"),
    }
    taken = await least_ms(ways, 7)
    assert max(taken.values()) < 3 * min(taken.values()), taken


async def test_52_a_registration_hashes_before_it_looks(world: World) -> None:
    await world.user("ann")

    async def register(name: str) -> None:
        await asyncio.gather(world.users.create(name, PASSWORD), return_exceptions=True)

    names = iter(f"new-{number}" for number in range(10))
    taken = await least_ms({"taken": lambda: register("ann"), "free": lambda: register(next(names))}, 5)
    assert max(taken.values()) < 3 * min(taken.values()), taken


async def least_ms(ways: Mapping[str, Callable[[], Awaitable[object]]], times: int) -> dict[str, float]:
    """In turns, and the least of each: whatever else the machine does meanwhile makes each of them longer."""
    least = dict.fromkeys(ways, math.inf)
    for _ in range(times):
        for name, ask in ways.items():
            began = time.perf_counter()
            await ask()
            least[name] = min(least[name], (time.perf_counter() - began) * 1000)
    return least


async def test_53_a_flood_of_log_ins_does_not_stop_the_loop() -> None:
    """A hash takes 20 ms and more; the loop must not miss them one after the other."""
    passwords = Passwords(1)
    stored = await passwords.hash(PASSWORD)
    longest = 0.0
    began = time.perf_counter()
    checks = [asyncio.create_task(passwords.verify(stored, "wrong")) for _ in range(20)]
    while not all(check.done() for check in checks):
        before = time.perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, time.perf_counter() - before)
        await asyncio.sleep(0.001)
    hashing = time.perf_counter() - began
    passwords.close()
    assert not any(check.result() for check in checks)
    assert longest < hashing / 3, "the hashes ran on the loop, one after the other"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.soak
async def test_53_token_checks_keep_their_pace_during_a_flood_of_log_ins(http: Api, maker: Maker) -> None:
    """p99 of a token-checked request: at most twice a quiet server's, and a floor for what a busy machine adds."""

    async def p99_ms(count: int) -> float:
        taken = []
        for _ in range(count):
            before = time.perf_counter()
            assert (await http.get("/v1/devices", headers=bearer(maker.token))).status_code == 200
            taken.append((time.perf_counter() - before) * 1000)
        return sorted(taken)[int(count * 0.99)]

    async def flood() -> None:
        while True:
            await http.get("/v1/access_tokens", auth=(maker.username, "wrong"))

    quiet = await p99_ms(2_000)
    flooding = [asyncio.create_task(flood()) for _ in range(4)]
    busy = await p99_ms(2_000)
    for each in flooding:
        each.cancel()
    await asyncio.gather(*flooding, return_exceptions=True)
    assert busy < 2 * quiet + 10, (quiet, busy)
