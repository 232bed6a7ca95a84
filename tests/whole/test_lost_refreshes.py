"""A refresh whose answer is lost, with the process that made it or by a network between two processes of one database
(decision 15)."""

import asyncio
import shutil
from pathlib import Path

import httpx
import pytest

from tests.processes import cloudchamber
from tests.whole.story import Story

LOG_IN = {"grant_type": "client_credentials", "scope": "customer=kim@example.com"}
DYING = ("-m", "tests.whole.dying_refresh")
# A machine may be busy enough for a start to take longer than the grace.
LONG_GRACE = ("--refresh-grace-s", "600")


def form(refresh_token: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": refresh_token}


async def test_56_a_refresh_whose_answer_died_with_the_server_is_given_again(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path, *LONG_GRACE, program=DYING) as cloud:
        async with Story(cloud.url) as story:
            product = await story.product(await story.user())
            await story.customer(product, "kim@example.com")
            first = await story.ok("POST", "/oauth/token", data=LOG_IN, auth=product.client)
            with pytest.raises(httpx.TransportError):
                await story.ask("POST", "/oauth/token", data=form(first["refresh_token"]), auth=product.client)
            assert await asyncio.to_thread(cloud.process.wait) == -9
    with cloudchamber.serve(tmp_path, *LONG_GRACE) as cloud:
        async with Story(cloud.url) as story:
            await story.ok("GET", "/v1/devices", first["access_token"])
            second = await story.ok("POST", "/oauth/token", data=form(first["refresh_token"]), auth=product.client)
            assert (
                await story.ok("POST", "/oauth/token", data=form(first["refresh_token"]), auth=product.client) == second
            )
            assert await story.ok("GET", "/v1/devices", second["access_token"]) == []
            cloud.process.kill()  # a use that was answered is remembered
            await asyncio.to_thread(cloud.process.wait)
    with cloudchamber.serve(tmp_path, *LONG_GRACE) as cloud:
        async with Story(cloud.url) as story:
            answer = await story.ask("POST", "/oauth/token", data=form(first["refresh_token"]), auth=product.client)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
            for token in (first["access_token"], second["access_token"]):
                assert (await story.ask("GET", "/v1/devices", token)).status_code == 401


async def test_two_processes_of_one_database_give_one_pair(tmp_path: Path, empty_database_url: str) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    (folders[1] / "data").mkdir(mode=0o700, parents=True)
    folders[0].mkdir()
    with cloudchamber.serve(folders[0], "--database", empty_database_url, *LONG_GRACE) as one:
        shutil.copy(folders[0] / "data/sealing.key", folders[1] / "data/sealing.key")
        with cloudchamber.serve(folders[1], "--database", empty_database_url, *LONG_GRACE) as two:
            async with Story(one.url) as story, Story(two.url) as other:
                product = await story.product(await story.user())
                await story.customer(product, "kim@example.com")
                first = await story.ok("POST", "/oauth/token", data=LOG_IN, auth=product.client)

                async def ask(each: Story, pair: dict[str, str]) -> httpx.Response:
                    return await each.ask("POST", "/oauth/token", data=form(pair["refresh_token"]), auth=product.client)

                answers = await asyncio.gather(*(ask(each, first) for each in (story, other) for _ in range(5)))
                assert {answer.status_code for answer in answers} == {200}
                second = answers[0].json()
                assert all(answer.json() == second for answer in answers)
                assert await other.ok("GET", "/v1/devices", second["access_token"]) == []
                assert (await ask(story, first)).status_code == 400
                # The use at the other process was known here, so the log-in has ended.
                assert (await ask(other, second)).status_code == 400
