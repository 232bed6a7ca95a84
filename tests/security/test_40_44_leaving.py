"""Statements 40 and 44: what members and customers lose when they lose their place, at once and altogether."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloudchamber.testing import Cloud
from tests.whole.story import Story

DEVICE = "0123456789abcdef01234567"
WITHIN_S = 1.0


@contextlib.asynccontextmanager
async def stream(story: Story, path: str, token: str) -> AsyncIterator["asyncio.Task[None]"]:
    """An open stream of events: a task that ends when the server ends it."""
    is_open = asyncio.Event()

    async def read() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with story.http.stream("GET", path, headers=headers, timeout=None) as answer:
            assert answer.status_code == 200
            async for _ in answer.aiter_raw():
                is_open.set()

    task = asyncio.create_task(read())
    try:
        async with asyncio.timeout(10):
            await is_open.wait()
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ends(task: "asyncio.Task[None]") -> bool:
    done, _ = await asyncio.wait([task], timeout=WITHIN_S)
    return bool(done)


async def test_40_a_member_who_is_removed_or_has_a_lower_role_feels_it_at_once() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        await story.import_devices(product, [DEVICE])
        mate = await story.user("mate@example.com")
        base, team = f"/v1/products/{product.id}", f"/v1/products/{product.id}/team"
        await story.ok("POST", team, product.owner_token, json={"username": "mate@example.com", "role": "Developer"})
        note = {"notes": "mine"}
        assert (await story.ask("PUT", f"{base}/devices/{DEVICE}", mate, json=note)).status_code == 200
        async with stream(story, f"{base}/events", mate) as events:
            lower = {"role": "View-only"}
            await story.ok("POST", f"{team}/mate@example.com", product.owner_token, json=lower)
            refused = await story.ask("PUT", f"{base}/devices/{DEVICE}", mate, json=note)
            assert refused.status_code == 403
            assert (await story.ask("GET", f"{base}/devices/{DEVICE}", mate)).status_code == 200
            # Whoever still may hear opens it anew: what a stream was opened with does not outlive the role.
            assert await ends(events)
        async with stream(story, f"{base}/events", mate) as events:
            await story.ask("DELETE", f"{team}/mate@example.com", product.owner_token)
            assert await ends(events)
        assert (await story.ask("GET", f"{base}/devices/{DEVICE}", mate)).status_code in {403, 404}
        assert (await story.ask("GET", f"{base}/events", mate)).status_code in {403, 404}


@pytest.mark.parametrize("how", ["by its product", "with its product"])
async def test_44_a_customer_who_is_deleted_leaves_nothing_but_an_opaque_id(how: str) -> None:
    email = "kim.personal@example.com"
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        await story.import_devices(product, [DEVICE])
        kim = await story.customer(product, email)
        claimed = await story.ok("POST", "/v1/devices", kim, json={"id": DEVICE})
        await story.ok("PUT", f"/v1/devices/{DEVICE}", kim, json={"name": "kims-own", "notes": "under kims bed"})
        async with stream(story, "/v1/devices/events", kim) as events:
            if how == "by its product":
                await story.ok("DELETE", f"/v1/products/{product.id}/customers/{email}", product.owner_token)
            else:
                await story.ok("DELETE", f"/v1/products/{product.id}/devices/{DEVICE}", product.owner_token)
                await story.ok("DELETE", f"/v1/products/{product.id}", product.owner_token)
            assert await ends(events)
        assert (await story.ask("GET", "/v1/devices", kim)).status_code == 401
        if how == "by its product":
            device = await story.ok("GET", f"/v1/products/{product.id}/devices/{DEVICE}", product.owner_token)
            assert (device["owner"], device["name"], device["notes"]) == (None, None, None)
        rows = everything_in(cloud.data / "cloudchamber.db")
    assert not [row for row in rows if email in row or "kims-own" in row or "under kims bed" in row or kim in row]
    assert [row for row in rows if row.startswith("custody") and claimed["customer_id"] in row]


def everything_in(database: Path) -> list[str]:
    """Each row of each table, as text."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return [f"{name} {row!r}" for name in names for row in rows_of(connection, name)]


def rows_of(connection: sqlite3.Connection, table: str) -> list[object]:
    return connection.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608 - a table's own name
