"""Events become requests to hosts, in a whole cloud: real sockets, real devices, a real database."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from cloudchamber.testing import Cloud
from cloudchamber.webhooks import deliveries, rules, worker
from tests.api.conftest import Maker, bearer, make_maker
from tests.processes import cloudchamber
from tests.webhooks.host import Received, hosting, ok, say

ONE, TWO = "0" * 23 + "1", "0" * 23 + "2"


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with Cloud(webhook_private_targets=True) as running:
        yield running


@pytest.fixture
async def http(cloud: Cloud) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=cloud.url, timeout=20) as client:
        yield client


@pytest.fixture
async def maker(http: httpx.AsyncClient) -> Maker:
    return await make_maker(http, "maker@example.com")


async def make_hook(maker: Maker, path: str = "/v1/integrations", **fields: Any) -> str:
    answer = await maker.http.post(path, json={"event": "temp"} | fields, headers=bearer(maker.token))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def publish(maker: Maker, name: str = "temp", data: str = "25", token: str | None = None) -> None:
    answer = await maker.http.post(
        "/v1/devices/events", json={"name": name, "data": data}, headers=bearer(token or maker.token)
    )
    assert answer.json() == {"ok": True}, answer.text


async def shown(maker: Maker, hook: str, path: str = "/v1/integrations") -> dict[str, Any]:
    answer = await maker.http.get(f"{path}/{hook}", headers=bearer(maker.token))
    return answer.json()["integration"]


async def until(maker: Maker, hook: str, count: int, path: str = "/v1/integrations") -> dict[str, Any]:
    """The hook, once so many deliveries ended."""
    async with asyncio.timeout(10):
        while True:
            seen = await shown(maker, hook, path)
            if sum(day["success"] + day["error"] for day in seen["counters"]) >= count:
                return seen
            await asyncio.sleep(0.02)


class Listener:
    """A stream of events, read in the background."""

    def __init__(self, maker: Maker, path: str, token: str | None = None) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._maker, self._path, self._token = maker, path, token or maker.token

    async def __aenter__(self) -> "Listener":
        self._opened = asyncio.Event()
        self._task = asyncio.create_task(self._read())
        await self._opened.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        name = ""
        async with self._maker.http.stream("GET", self._path, headers=bearer(self._token)) as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                self._opened.set()
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self.events.append((name, json.loads(line.removeprefix("data: "))))

    async def wait_for(self, name: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                for seen, data in self.events:
                    if seen == name:
                        return data
                await asyncio.sleep(0.02)


async def test_a_users_event_is_delivered_answered_and_logged(maker: Maker) -> None:
    async with hosting() as host, Listener(maker, "/v1/devices/events") as stream:
        hook = await make_hook(maker, url=f"{host.url}/in", auth={"username": "u", "password": "SECRETPW"})
        await publish(maker, "temperature")
        (seen,) = await host.wait_for(1)
        assert (seen.method, seen.target) == ("POST", "/in")
        fields = dict(parse_qsl(seen.body.decode()))
        assert (fields["event"], fields["data"], fields["coreid"]) == ("temperature", "25", "001")
        assert (await stream.wait_for("hook-sent/temperature"))["coreid"] == "particle-internal"
        assert (await stream.wait_for("hook-sent/temperature"))["data"] == "undefined"
        assert (await stream.wait_for("hook-response/temperature/0"))["data"] == "thanks"
        log = await until(maker, hook, 1)
        (entry,) = log["logs"]
        assert (entry["event"], entry["type"], entry["attempts"]) == ("temperature", "success", 1)
        assert entry["request"].startswith(f"POST {host.url}/in\n")
        assert "SECRETPW" not in entry["request"] + entry["response"]
        assert "dTpTRUNSRVRQVw" not in entry["request"]
        assert entry["response"].endswith("\n\nthanks")
        (day,) = log["counters"]
        assert (day["success"], day["error"], day["sleep"]) == (1, 0, 0)
        await publish(maker, "other")
        await publish(maker, "temp")
        assert [dict(parse_qsl(r.body.decode()))["event"] for r in await host.wait_for(2)] == ["temperature", "temp"]


async def test_a_products_hook_hears_customers_devices_and_a_users_does_not(maker: Maker, cloud: Cloud) -> None:
    """http-api.md 3.2: user-level hooks do not fire for customer-owned devices, product hooks do."""
    devices = f"/v1/products/{maker.product}/devices"
    imported = await maker.http.post(devices, json={"ids": [ONE, TWO]}, headers=bearer(maker.token))
    assert imported.json()["updated"] == 2
    customer = await maker.customer("kim@example.com")
    device = await cloud.start_device(ONE, product_id=maker.product, firmware="asking")
    claimed = await maker.http.post("/v1/devices", json={"id": ONE}, headers=bearer(customer))
    assert claimed.status_code == 200, claimed.text
    async with hosting() as users, hosting() as products:
        await make_hook(maker, url=users.url, event="ask")
        path = f"/v1/products/{maker.product}/integrations"
        await make_hook(
            maker,
            path,
            url=products.url,
            event="ask",
            json={"owner": "{{PRODUCT_USER_ID}}", "from": "{{SPARK_CORE_ID}}"},
        )
        called = await maker.http.post(f"/v1/devices/{ONE}/ask", json={"arg": "weather"}, headers=bearer(customer))
        assert called.status_code == 200, called.text
        (seen,) = await products.wait_for(1)
        body = json.loads(seen.body)
        assert (body["from"], body["data"], body["coreid"]) == (ONE, "weather", ONE)
        # The answer comes back to the device that asked.
        assert await device.recorder.serial_line("thanks") == f"{ONE}/hook-response/ask/0 thanks"
        assert users.received == []


async def test_an_organizations_hook_hears_all_of_its_products(maker: Maker) -> None:
    headers = bearer(maker.token)
    made = (await maker.http.post("/v1/orgs", json={"name": "Lamps and Co"}, headers=headers)).json()["organization"]
    path = f"/v1/orgs/{made['slug']}"
    products = []
    for name in ("Lamp", "Kettle"):
        wanted = {"product": {"name": name, "platform_id": 6}}
        answer = await maker.http.post(f"{path}/products", json=wanted, headers=headers)
        products.append(answer.json()["product"]["id"])
    async with hosting() as host:
        hook = await make_hook(maker, f"{path}/integrations", url=host.url, json={"p": "{{PRODUCT_ID}}"})
        for product in (*products, maker.product):
            sent = await maker.http.post(f"/v1/products/{product}/events", json={"name": "temp"}, headers=headers)
            assert sent.json() == {"ok": True}
        await until(maker, hook, 2, f"{path}/integrations")
        assert sorted(json.loads(seen.body)["p"] for seen in host.received) == sorted(map(str, products))
        stranger = await make_maker(maker.http, "stranger@example.com")
        for answer in (
            await maker.http.get(f"{path}/integrations", headers=bearer(stranger.token)),
            await maker.http.delete(f"{path}/integrations/{hook}", headers=bearer(stranger.token)),
        ):
            assert answer.status_code == 404
        # With its product or organization a hook goes.
        for product in products:
            gone = await maker.http.delete(f"/v1/products/{product}", headers=headers)
            assert gone.status_code == 204
        assert (await maker.http.delete(path, headers=headers)).status_code == 204


async def test_what_is_said_to_a_whole_organization_fires_its_hook_and_is_answered_to_it(maker: Maker) -> None:
    headers = bearer(maker.token)
    made = (await maker.http.post("/v1/orgs", json={"name": "Lamps"}, headers=headers)).json()["organization"]
    path = f"/v1/orgs/{made['slug']}"
    async with hosting() as host, Listener(maker, f"{path}/events") as stream:
        await make_hook(maker, f"{path}/integrations", url=host.url)
        sent = await maker.http.post(f"{path}/events", json={"name": "temp", "data": "all"}, headers=headers)
        assert sent.json() == {"ok": True}
        (seen,) = await host.wait_for(1)
        assert dict(parse_qsl(seen.body.decode()))["data"] == "all"
        assert (await stream.wait_for("001/hook-response/temp/0"))["data"] == "thanks"


async def test_50_what_a_hook_says_fires_no_hook(maker: Maker) -> None:
    async with hosting() as host, Listener(maker, "/v1/devices/events") as stream:
        hook = await make_hook(maker, url=host.url, responseTopic="temp")
        await publish(maker)
        await stream.wait_for("temp/0")
        await publish(maker, "hook-response/temp/0")
        await make_hook(maker, url=host.url, event="hook")
        await publish(maker, "hook-response/temp/0")
        await until(maker, hook, 1)
        await asyncio.sleep(0.2)
        assert len(host.received) == 1


async def test_what_fails_is_tried_three_times_and_told(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "RETRY_AFTER_MS", (50, 100))
    statuses = iter([500, 503, 200, 500, 500, 500, 404])

    async def answer(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, next(statuses), b"body")

    async with hosting(answer) as host, Listener(maker, "/v1/devices/events") as stream:
        hook = await make_hook(maker, url=host.url)
        await publish(maker)
        log = await until(maker, hook, 1)
        assert [(entry["type"], entry["attempts"]) for entry in log["logs"]] == [("success", 3)]
        await publish(maker, "temp-5xx")
        await stream.wait_for("hook-error/temp-5xx/0")
        await publish(maker, "temp-404")
        told = await stream.wait_for("hook-error/temp-404/0")
        assert told["data"] == "error status 404 from host"
        log = await until(maker, hook, 3)
        assert [(entry["type"], entry["attempts"]) for entry in log["logs"]] == [
            ("error", 1),
            ("error", 3),
            ("success", 3),
        ]
        assert len(host.received) == 7
        webhook = (await maker.http.get(f"/v1/webhooks/{hook}", headers=bearer(maker.token))).json()["webhook"]
        assert [entry["event"] for entry in webhook["errors"]] == ["temp-404", "temp-5xx"]


async def test_a_hook_whose_host_keeps_failing_sleeps(maker: Maker) -> None:
    async def answer(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 400)

    async with hosting(answer) as host:
        hook = await make_hook(maker, url=host.url)
        for count in range(1, rules.FAILURES_BEFORE_SLEEP + 1):
            await publish(maker)
            await until(maker, hook, count)
        for _ in range(5):
            await publish(maker)
        async with asyncio.timeout(5):
            while (day := (await shown(maker, hook))["counters"][0])["sleep"] < 5:
                await asyncio.sleep(0.05)
        assert (day["error"], day["sleep"]) == (rules.FAILURES_BEFORE_SLEEP, 5)
        assert len(host.received) == rules.FAILURES_BEFORE_SLEEP


async def test_49_a_host_that_never_answers_holds_up_nobody_else(maker: Maker) -> None:
    async def never(_: Received, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async with hosting(never) as stuck, hosting() as quick:
        await make_hook(maker, url=stuck.url)
        hook = await make_hook(maker, url=quick.url)
        began = time.monotonic()
        await asyncio.gather(*(publish(maker) for _ in range(100)))
        await quick.wait_for(100)
        await until(maker, hook, 100)
        assert time.monotonic() - began < 15
        assert 1 <= stuck.most_open <= 8
        assert quick.most_open <= 8


async def test_replace_disable_and_delete(maker: Maker) -> None:
    async with hosting() as old, hosting() as new:
        hook = await make_hook(maker, url=old.url)
        changed = await maker.http.put(
            f"/v1/integrations/{hook}",
            json={"event": "hum", "url": new.url, "deviceid": ""},
            headers=bearer(maker.token),
        )
        assert changed.status_code == 200
        assert changed.json()["integration"]["event"] == "hum"
        await publish(maker, "temp")
        await publish(maker, "hum")
        await new.wait_for(1)
        await maker.http.put(
            f"/v1/webhooks/{hook}",
            json={"event": "hum", "url": new.url, "disabled": "true"},
            headers=bearer(maker.token),
        )
        await publish(maker, "hum")
        deleted = await maker.http.delete(f"/v1/integrations/{hook}", headers=bearer(maker.token))
        assert deleted.status_code == 204
        await publish(maker, "hum")
        await asyncio.sleep(0.2)
        assert (len(old.received), len(new.received)) == (0, 1)
        for gone in (
            await maker.http.get(f"/v1/integrations/{hook}", headers=bearer(maker.token)),
            await maker.http.put(
                f"/v1/webhooks/{hook}", json={"event": "a", "url": new.url}, headers=bearer(maker.token)
            ),
            await maker.http.post(f"/v1/webhooks/{hook}/test", headers=bearer(maker.token)),
        ):
            assert (gone.status_code, gone.json()["error"]) == (404, "Webhook not found")


async def test_a_test_says_what_would_happen(maker: Maker) -> None:
    async with hosting() as host:
        hook = await make_hook(maker, url=host.url, responseTemplate="({{PARTICLE_EVENT_NAME}})")
        passed = await maker.http.post(f"/v1/integrations/{hook}/test", headers=bearer(maker.token))
        assert passed.json() == {"pass": True, "data": "(temp)"}
        assert len(host.received) == 1
    failed = await maker.http.post(f"/v1/integrations/{hook}/test", headers=bearer(maker.token))
    assert failed.json()["pass"] is False
    assert failed.json()["error"].startswith("cannot reach host")


async def test_48_without_the_switch_private_addresses_are_refused() -> None:
    async with Cloud() as cloud, httpx.AsyncClient(base_url=cloud.url) as http, hosting() as host:
        maker = await make_maker(http, "maker@example.com")
        hook = await make_hook(maker, url=host.url)
        await publish(maker)
        log = await until(maker, hook, 1)
        assert "not on the public internet" in log["logs"][0]["response"]
        assert "webhook_private_targets" in log["logs"][0]["response"]
        assert host.received == []


async def test_02_events_that_wait_and_requests_in_the_log_are_sealed(maker: Maker, cloud: Cloud) -> None:
    async def later(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 503)

    async with hosting(later) as host:
        await make_hook(maker, url=f"{host.url}/?key=URLSECRET", headers={"X-Token": "HEADERSECRET"})
        await publish(maker, data="DATASECRET")
        await host.wait_for(1)
        await asyncio.sleep(0.1)
    async with hosting() as host:
        hook = await make_hook(maker, url=f"{host.url}/?key=URLSECRET", headers={"X-Token": "HEADERSECRET"})
        await publish(maker, data="DATASECRET")
        assert "DATASECRET" in str((await until(maker, hook, 1))["logs"])
    files = [
        path.read_bytes() for path in cloud.data.iterdir() if path.is_file() and path.name.startswith("cloudchamber.db")
    ]
    assert files
    for word in (b"URLSECRET", b"HEADERSECRET", b"DATASECRET"):
        assert not any(word in content for content in files), word


async def test_no_event_that_was_taken_is_lost_when_the_process_dies(tmp_path: Path) -> None:
    """kill -9 while the host does not answer; after the restart it gets every event whose publisher had a 200."""
    answering = asyncio.Event()

    async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
        await answering.wait()
        await ok(received, writer)

    async with hosting(answer) as host:
        switch = ("--webhook-private-targets", "true")
        taken = []
        with cloudchamber.serve(tmp_path, *switch) as serving:
            async with httpx.AsyncClient(base_url=serving.url) as http:
                maker = await make_maker(http, "maker@example.com")
                await make_hook(maker, url=host.url)
                for number in range(40):
                    await publish(maker, data=str(number))
                    taken.append(str(number))
            await host.wait_for(1)
            serving.process.kill()
        answering.set()
        host.received.clear()
        with cloudchamber.serve(tmp_path, *switch):
            async with asyncio.timeout(20):
                while set(taken) - {dict(parse_qsl(r.body.decode()))["data"] for r in host.received}:
                    await asyncio.sleep(0.05)


async def test_what_a_host_is_too_slow_for_is_refused_and_not_lost(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_PENDING_PER_HOOK", 3)
    takes = asyncio.Event()

    async def slowly(request: Received, writer: asyncio.StreamWriter) -> None:
        await takes.wait()
        await ok(request, writer)

    async with hosting(slowly) as host, Listener(maker, "/v1/devices/events/temp") as stream:
        hook = await make_hook(maker, url=host.url)
        for number in range(3):
            await publish(maker, data=str(number))
        refused = await maker.http.post(
            "/v1/devices/events", json={"name": "temp", "data": "3"}, headers=bearer(maker.token)
        )
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert "publish more slowly" in refused.text
        await publish(maker, name="other")
        takes.set()
        await until(maker, hook, 3)
        await publish(maker, data="4")
        (day,) = (await until(maker, hook, 4))["counters"]
        assert (day["success"], day["error"], day["sleep"]) == (4, 0, 0)
        taken = ["0", "1", "2", "4"]
        assert sorted(dict(parse_qsl(request.body.decode()))["data"] for request in host.received) == taken
        assert [data["data"] for _, data in stream.events] == taken


async def test_what_memory_has_no_room_for_waits_in_the_table_and_comes_in_order(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_HELD_PER_HOOK", 4)
    monkeypatch.setattr(worker, "MAX_RUNNING_PER_HOST", 1)
    async with hosting() as host:
        await make_hook(maker, url=host.url)
        await asyncio.gather(*(publish(maker, data=str(number)) for number in range(40)))
        await publish(maker, data="40")
        got = [int(dict(parse_qsl(request.body.decode()))["data"]) for request in await host.wait_for(41)]
        assert sorted(got) == list(range(41))
        assert got[-1] == 40


async def test_nobody_waits_for_a_host_that_fails(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MAX_PENDING_PER_HOOK", 2)

    async def fails(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 500)

    async with hosting(fails) as broken, hosting() as works:
        hook = await make_hook(maker, url=broken.url)
        await make_hook(maker, url=works.url)
        for number in range(2):
            await publish(maker, data=str(number))
        await broken.wait_for(2)
        await asyncio.sleep(0.1)
        for number in range(2, 5):
            await publish(maker, data=str(number))
        assert len(await works.wait_for(5)) == 5
        (day,) = (await shown(maker, hook))["counters"]
        assert day["sleep"] == 3
