"""Event streams over a kill of the server, with real processes.

The vendor's streams number no events and repeat none, and so do these: what a stream hears is what is published while
it is open, and nothing is kept for who was away (webhooks are for that). Statement 58 then says: who comes back hears
everything from there on, once, and nothing again, whatever `Last-Event-ID` it brings.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from tests.processes import cloudchamber
from tests.whole.story import Story

PATH = "/v1/devices/events"
EACH = 30


async def publish(story: Story, token: str, numbers: range) -> None:
    """Answered one by one: each of them is acknowledged."""
    for number in numbers:
        await story.ok("POST", PATH, token, json={"name": "count", "data": str(number), "private": True})


async def lines_of(story: Story, token: str, *, last: str | None = None) -> AsyncIterator[str]:
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last is not None else {})
    async with story.http.stream("GET", PATH, headers=headers) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            yield line


async def heard(lines: AsyncIterator[str], count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(10):
        async for line in lines:
            assert not line.startswith("id"), "who is given ids is promised that they count"
            if line.startswith("data: "):
                found.append(int(json.loads(line.removeprefix("data: "))["data"]))
                if len(found) == count:
                    return found
    raise AssertionError(f"the stream ended after {found}")


async def test_58_who_comes_back_after_a_kill_hears_each_event_since_once(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path) as cloud:
        async with Story(cloud.url) as story:
            token = await story.user()
            lines = lines_of(story, token)
            assert await anext(lines) == ":ok"
            await publish(story, token, range(EACH))
            assert await heard(lines, EACH) == list(range(EACH))
            cloud.process.kill()
            await asyncio.to_thread(cloud.process.wait, 10)
            await lines.aclose()
    with cloudchamber.serve(tmp_path) as cloud:
        async with Story(cloud.url) as story:
            streams = [lines_of(story, token, last=last) for last in ("3", "-1 OR 1=1", None)]
            for lines in streams:
                assert await anext(lines) == ":ok"
            await publish(story, token, range(EACH, 2 * EACH))
            for lines in streams:
                assert await heard(lines, EACH) == list(range(EACH, 2 * EACH))
                await lines.aclose()
