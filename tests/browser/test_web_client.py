"""A maker's own web app: another origin, the vendor's SDK, nothing but a client id, in a real browser."""

import asyncio
import contextlib

import pytest
from playwright.async_api import Page

from cloudchamber.testing import Cloud
from tests.browser.conftest import ROOT
from tests.pages.conftest import PASSWORD
from tests.whole.story import Story

DEVICE = "0123456789abcdef01234567"
SDK = (ROOT / "tests/peers/node_modules/particle-api-js/dist/particle.min.js").read_text()

SIGN_UP = """async ({ url, clientId, product, password }) => {
    window.app = new Particle({ baseUrl: url, clientId, clientSecret: undefined });
    const made = await app.createCustomer({ email: 'kim@example.com', password, product });
    window.auth = made.body.access_token;
    window.heard = [];
    window.stream = await app.getEventStream({ deviceId: 'mine', auth });
    stream.on('event', (event) => heard.push(event.name));
    const claim = await app.getClaimCode({ product, auth });
    return [made.statusCode, claim.body.claim_code];
}"""
# The device's access point takes requests of any page (CORS), as a real Photon does.
SET_UP = """async ({ device, code }) => {
    const ask = async (command, body) => {
        const answer = await fetch(`http://${device}/${command}`, { method: 'POST', body: JSON.stringify(body) });
        return (await answer.json()).r;
    };
    return [
        await ask('set', { k: 'cc', v: code }),
        await ask('configure-ap', { idx: 0, ssid: 'Guests', sec: 0, ch: 1 }),
        await ask('connect-ap', { idx: 0 }),
    ];
}"""
UNTIL_THERE = """async () => {
    const until = async (there) => {
        for (let polls = 0; polls < 200; polls++) {
            const found = await there();
            if (found) return found;
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
        throw new Error('nothing came');
    };
    const device = await until(async () => (await app.listDevices({ auth })).body.find((each) => each.connected));
    const called = await app.callFunction({ deviceId: device.id, name: 'publish', argument: 'lit=7', auth });
    return [device.id, called.statusCode, await until(async () => heard.includes('lit'))];
}"""


@pytest.fixture
def screen() -> str:
    return "desktop"


async def serve_app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<title>Lamp</title>")
        await writer.drain()
    writer.close()


async def test_an_app_of_another_origin_sets_a_device_up(page: Page) -> None:
    server = await asyncio.start_server(serve_app, "127.0.0.1", 0)
    async with server, Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        await story.import_devices(product, [DEVICE])
        wanted = {"name": "Lamp Web", "type": "web", "redirect_uri": "https://lamp.example/setup"}
        path = f"/v1/products/{product.id}/clients"
        client = (await story.ok("POST", path, product.owner_token, json=wanted))["client"]
        device = await cloud.start_device(DEVICE, product_id=product.id, softap=True, networks=["Guests"])
        host, port = device.softap_address

        await page.goto(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/app")
        await page.evaluate(SDK)
        given = {"url": cloud.url, "clientId": client["id"], "product": product.slug, "password": PASSWORD}
        status, code = await page.evaluate(SIGN_UP, given)
        assert (status, len(code)) == (201, 63)
        assert await page.evaluate(SET_UP, {"device": f"{host}:{port}", "code": code}) == [0, 0, 0]
        assert await page.evaluate(UNTIL_THERE) == [DEVICE, 200, True]
        await page.evaluate("stream.abort()")
