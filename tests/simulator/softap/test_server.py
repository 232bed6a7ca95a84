"""The sockets of a device in listening mode: both forms on one port, and what cannot be read."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from cloudchamber.simulator.softap.air import DEFAULT_NETWORKS
from cloudchamber.simulator.softap.listening import ListeningMode
from cloudchamber.simulator.softap.server import SoftApServer

ID = "0123456789abcdef01234567"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 1024)


@pytest.fixture
async def server(key: rsa.RSAPrivateKey) -> AsyncIterator[SoftApServer]:
    async with SoftApServer(ListeningMode(ID, key, DEFAULT_NETWORKS), "127.0.0.1", 0) as running:
        yield running


async def tcp(server: SoftApServer, *pieces: bytes) -> bytes:
    """What the device says until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.005)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def test_tcp(server: SoftApServer) -> None:
    assert await tcp(server, b"version\n0\n\n") == b'\n\n{"v":2}'
    assert await tcp(server, b"ver", b"sion", b"\n0", b"\n\n") == b'\n\n{"v":2}'
    assert await tcp(server, b'set\n18\n\n{"k":"cc"', b',"v":"x"}') == b'\n\n{"r":0}'
    assert await tcp(server, b"unknown\n0\n\n") == b""
    assert await tcp(server, b"ant-internal\n0\n\n") == b""
    for wrong in (b"set\n2\n\n[]", b"set\nx\n\n", b"set\n99999\n\n", b'set\n5\n\n{"k":"cc","v":"x"}', b"x" * 100):
        assert await tcp(server, wrong) == b"\n\n"
    assert await tcp(server, b"version\n0\n\n") == b'\n\n{"v":2}'


async def test_http(server: SoftApServer) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        answer = await http.get("/device-id")
        assert answer.json() == {"id": ID.upper(), "c": "0"}
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.headers["content-type"] == "application/json"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        done = await http.post("/set", content=b'{"k":"cc","v":"code"}', headers=form)
        assert done.json() == {"r": 0}
        wrong = await http.post("/set", content=b"k=cc", headers=form)
        assert (wrong.status_code, wrong.content) == (200, b"")
        assert (await http.get("/nothing")).status_code == 404
        index = await http.get("/index")
        assert (index.status_code, index.headers["location"]) == (301, "/hello")
        preflight = await http.options("/set", headers={"Origin": "http://a.example"})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-private-network"] == "true"
        assert (await http.put("/set", content=b"{}")).status_code == 405
        assert (await http.post("/set", content=b"x" * 40_000)).status_code == 413


async def test_a_password_that_does_not_decrypt_loses_nothing(key: rsa.RSAPrivateKey) -> None:
    mode = ListeningMode(ID, key, DEFAULT_NETWORKS)
    wrong = json.dumps({"idx": 0, "ssid": "Chamber", "sec": 0x00400006, "ch": 6, "pwd": "5a" * 128})
    open_one = json.dumps({"idx": 0, "ssid": "Guests", "sec": 0})
    async with SoftApServer(mode, "127.0.0.1", 0) as server:
        assert await tcp(server, b'set\n18\n\n{"k":"cc","v":"x"}') == b'\n\n{"r":0}'
        assert await tcp(server, f"configure-ap\n{len(open_one)}\n\n{open_one}".encode()) == b'\n\n{"r":0}'
        assert await tcp(server, f"configure-ap\n{len(wrong)}\n\n{wrong}".encode()) == b'\n\n{"r":-1}'
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
            assert (await http.post("/configure-ap", content=wrong)).json() == {"r": -1}
            assert (await http.get("/device-id")).json()["id"] == ID.upper()
    assert (mode.claim_code, [known.ssid for known in mode.stored]) == ("x", ["Guests"])


async def test_nonsense_that_begins_like_http(server: SoftApServer) -> None:
    wrong_length = b"POST /set HTTP/1.1\r\nContent-Length: x\r\n\r\n"
    for bad in (b"GET / HTTP/9\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", wrong_length):
        answer = await tcp(server, bad)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert await tcp(server, b"version\n0\n\n") == b'\n\n{"v":2}'


async def test_connecting_finishes_the_stay_after_the_answer(server: SoftApServer) -> None:
    assert not server.finished.is_set()
    answer = await tcp(server, b'connect-ap\n9\n\n{"idx":0}')
    assert json.loads(answer) == {"r": 0}
    await asyncio.wait_for(server.finished.wait(), 5)
