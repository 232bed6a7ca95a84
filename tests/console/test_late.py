"""The console is made when somebody comes, once, and away from the loop."""

import asyncio
from pathlib import Path

import pytest

import cloudchamber.console.part
from cloudchamber import testing
from cloudchamber.api.app import Part
from cloudchamber.api.services import Services
from tests.api.conftest import Api


async def test_whoever_comes_first_waits_for_it_with_everybody_who_comes_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Part] = []
    real = cloudchamber.console.part.console_part

    def console_part(services: Services) -> Part:
        if not made:
            made.append(real(services))
            raise ZeroDivisionError("the first time")
        made.append(real(services))
        return made[-1]

    monkeypatch.setattr(cloudchamber.console.part, "console_part", console_part)
    async with testing.Cloud() as running, Api(running.cloud) as http:
        assert (await http.get("/v1/devices")).status_code == 400
        assert not made
        assert (await http.get("/console")).status_code == 500
        gone = asyncio.create_task(http.get("/console"))
        await asyncio.sleep(0)
        gone.cancel()
        answers = await asyncio.gather(*(http.get("/console/sign-in") for _ in range(5)), http.get("/console/nowhere"))
        assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 200, 404]
        assert {answer.headers["content-type"] for answer in answers} == {"text/html; charset=utf-8"}
        assert all("access-control-allow-origin" not in answer.headers for answer in answers)
        assert len(made) == 2
        assert (await http.options("/console")).status_code == 204
