"""Bad input gets its clear answer or a closed connection, and the server keeps serving others."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from cloudchamber.testing import Cloud
from tests.whole.story import Story

DEVICE = "0123456789abcdef01234567"


@contextlib.asynccontextmanager
async def undisturbed() -> AsyncIterator[tuple[Cloud, Story]]:
    """A cloud with one user and their device, which have to work as well after the test as before."""
    async with Cloud() as cloud, Story(cloud.url) as story:
        await cloud.start_device(DEVICE)
        token = await story.user()
        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
        yield cloud, story
        assert isinstance((await story.ok("GET", f"/v1/devices/{DEVICE}/counter", token))["result"], int)
        assert (await story.ask("GET", "/readyz")).status_code == 200


async def send_raw(cloud: Cloud, data: bytes) -> bytes:
    """Sends bytes to the device listener as they are, and gives all that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection(cloud.listening.tcp.host, cloud.listening.tcp.port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        received = b""
        with contextlib.suppress(ConnectionError):
            received = await asyncio.wait_for(reader.read(-1), 10)
        return received
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_strangers_at_the_device_listener_learn_nothing() -> None:
    async with undisturbed() as (cloud, _):
        answers = await asyncio.gather(*(send_raw(cloud, os.urandom(256)) for _ in range(20)))
        # The nonce, and not one byte more.
        assert {len(answer) for answer in answers} == {40}
        assert len(set(answers)) == len(answers)
        assert len(await send_raw(cloud, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)) == 40


async def test_a_body_of_ten_megabytes_is_refused_unread() -> None:
    async with undisturbed() as (cloud, story):
        address = cloud.listening.http
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = (
            "POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10485760\r\n\r\n"
        )
        # The beginning is enough: nobody waits for the rest.
        writer.write(head.encode() + bytes(1000))
        answer = await asyncio.wait_for(reader.read(-1), 5)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"ok":false' in answer
        sent = await story.ask("POST", "/v1/users", content=bytes(10_485_760), headers={"Content-Type": "text/plain"})
        assert sent.status_code == 413


@pytest.mark.parametrize(
    ("form", "status", "error", "description"),
    [
        (
            {"grant_type": "magic"},
            400,
            "invalid_request",
            "Invalid or missing grant_type parameter",
        ),
        (
            {"grant_type": "password", "username": "x", "password": "y" * 100_000},
            400,
            "invalid_grant",
            "User credentials are invalid",
        ),
    ],
)
async def test_bad_grants(form: dict[str, str], status: int, error: str, description: str) -> None:
    async with undisturbed() as (_, story):
        answer = await story.ask("POST", "/oauth/token", data=form, auth=("particle", "particle"))
        assert answer.status_code == status
        assert answer.json() == {"error": error, "error_description": description}
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "body", [b"{", b"[" * 100_000, b'{"name":' + b"9" * 400_000 + b"}", b"\xff\xfe", b'"x"', b"null"]
)
async def test_malformed_json_is_an_error_of_the_sender(body: bytes) -> None:
    async with undisturbed() as (_, story):
        token = await story.log_in("maker@example.com")
        answer = await story.ask(
            "POST", "/v1/devices/events", token, content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in {400, 413}
        assert answer.json()["error"] or answer.json()["errors"]


async def test_a_login_flood_is_refused_and_token_checks_go_on() -> None:
    async with undisturbed() as (_, story):
        token = await story.log_in("maker@example.com")
        form = {"grant_type": "password", "username": "maker@example.com", "password": "wrong"}
        flood = [
            asyncio.create_task(story.ask("POST", "/oauth/token", data=form, auth=("particle", "particle")))
            for _ in range(60)
        ]
        await asyncio.sleep(0.05)
        for _ in range(20):
            assert (await story.ask("GET", "/v1/devices", token)).status_code == 200
        for answer in await asyncio.gather(*flood):
            assert answer.status_code in {400, 503}
