"""The whole way: HTTP in, a device's own protocol out, and back."""

import asyncio
import json
from typing import get_args

import pytest

from cloudchamber.settings import Profile
from cloudchamber.testing import Cloud
from tests.whole.story import Story

DEVICE = "0123456789abcdef01234567"
BOTH = pytest.mark.parametrize("profile", get_args(Profile))


@BOTH
async def test_a_customers_token_reaches_their_device(profile: Profile) -> None:
    async with Cloud(profile=profile) as cloud, Story(cloud) as story:
        device = await cloud.start_device(DEVICE)
        product = await story.product(await story.user())
        await story.import_devices(product, [DEVICE])
        customer = await story.customer(product, "jane@example.com")
        claimed = await story.ok("POST", "/v1/devices", customer, data={"id": DEVICE})
        assert claimed["ok"] is True
        assert claimed["connected"] is True
        assert claimed["product_id"] == product.id
        values = {
            name: (await story.ok("GET", f"/v1/devices/{DEVICE}/{name}", customer))["result"]
            for name in ("counter", "temperature", "motd", "flag")
        }
        assert isinstance(values["counter"], int)
        assert isinstance(values["temperature"], float)
        assert values["motd"] == "hello from a virtual device"
        assert values["flag"] is False
        called = await story.ok("POST", f"/v1/devices/{DEVICE}/lightsOn", customer, data={"arg": "kitchen"})
        assert called["return_value"] == 1
        assert (await story.ok("GET", f"/v1/devices/{DEVICE}/flag", customer))["result"] is True
        failed = await story.ok("POST", f"/v1/devices/{DEVICE}/fail", customer, json={"args": ""})
        assert failed["return_value"] == -42
        await story.ok(
            "POST", "/v1/devices/events", customer, data={"name": "testEvent", "data": "testing!", "private": "true"}
        )
        assert await device.recorder.serial_line("testEventHandler called testing!")


@BOTH
async def test_a_device_set_up_with_a_claim_code_is_its_customers(profile: Profile) -> None:
    async with Cloud(profile=profile) as cloud, Story(cloud) as story:
        product = await story.product(await story.user())
        await story.import_devices(product, [DEVICE])
        customer = await story.customer(product, "jane@example.com")
        code = await story.ok("POST", f"/v1/products/{product.id}/device_claims", customer)
        assert code["device_ids"] == []
        device = await cloud.start_device(DEVICE, claim_code=code["claim_code"])
        async with asyncio.timeout(10):
            while not (mine := await story.ok("GET", "/v1/devices", customer)):
                await asyncio.sleep(0.02)
        assert [found["id"] for found in mine] == [DEVICE]
        assert mine[0]["connected"] is True
        async with asyncio.timeout(10):
            while device.all[0].setup.claim_code is not None:
                await asyncio.sleep(0.02)


@BOTH
async def test_a_token_of_another_products_customer_gets_nothing(profile: Profile) -> None:
    async with Cloud(profile=profile) as cloud, Story(cloud) as story:
        await cloud.start_device(DEVICE)
        owner = await story.user()
        lamp, heater = await story.product(owner, "Lamp"), await story.product(owner, "Heater")
        await story.import_devices(lamp, [DEVICE])
        jane = await story.customer(lamp, "jane@example.com")
        # The same address in another product is another customer.
        other_jane = await story.customer(heater, "jane@example.com")
        await story.ok("POST", "/v1/devices", jane, data={"id": DEVICE})
        for method, path in (
            ("GET", f"/v1/devices/{DEVICE}"),
            ("GET", f"/v1/devices/{DEVICE}/counter"),
            ("POST", f"/v1/devices/{DEVICE}/lightsOn"),
            ("PUT", f"/v1/devices/{DEVICE}/ping"),
            ("DELETE", f"/v1/devices/{DEVICE}"),
        ):
            answer = await story.ask(method, path, other_jane)
            assert answer.status_code == 403
            assert answer.json()["error"] == "Permission Denied"
        refused = await story.ask("POST", "/v1/devices", other_jane, data={"id": DEVICE})
        assert refused.status_code == 404
        assert refused.json() == {"ok": False, "errors": ["device does not exist"]}
        crossing = {"grant_type": "client_credentials", "scope": "customer=nobody@example.com"}
        assert (await story.ask("POST", "/oauth/token", data=crossing, auth=heater.client)).status_code == 400
        assert await story.ok("GET", "/v1/devices", other_jane) == []


@BOTH
async def test_a_web_clients_id_alone_makes_no_account_without_a_password(profile: Profile) -> None:
    async with Cloud(profile=profile) as cloud, Story(cloud) as story:
        product = await story.product(await story.user())
        wanted = {"name": "web", "type": "web", "redirect_uri": "https://app.example.com/", "scope": "customers:create"}
        client = await story.ok("POST", f"/v1/products/{product.id}/clients", product.owner_token, data=wanted)
        form = {"client_id": client["client"]["id"], "response_type": "token", "email": "jane@example.com"}
        path = f"/v1/products/{product.id}/customers"
        refused = await story.ask("POST", path, data={**form, "no_password": "true"})
        assert "#token=" not in refused.headers.get("location", "")
        assert not refused.is_success
        made = await story.ask("POST", path, data={**form, "password": "open sesame"})
        if story.is_strict:
            assert "no implicit flow" in made.json()["error_description"]
            return
        assert made.status_code == 302
        assert made.headers["location"].startswith("https://app.example.com/#token=")


@BOTH
async def test_events_of_a_customers_device_reach_the_product_and_the_customer_alone(profile: Profile) -> None:
    async with Cloud(profile=profile) as cloud, Story(cloud) as story:
        await cloud.start_device(DEVICE)
        product = await story.product(await story.user())
        await story.import_devices(product, [DEVICE])
        customer = await story.customer(product, "jane@example.com")
        await story.ok("POST", "/v1/devices", customer, data={"id": DEVICE})
        heard: dict[str, list[dict[str, object]]] = {"product": [], "customer": [], "owner": []}

        async def listen(name: str, path: str, token: str, opened: asyncio.Event) -> None:
            headers = {"Authorization": f"Bearer {token}"}
            async with story.http.stream("GET", path, headers=headers) as stream:
                assert stream.status_code == 200
                async for line in stream.aiter_lines():
                    if line == ":ok":
                        opened.set()
                    elif line.startswith("data: "):
                        heard[name].append(json.loads(line.removeprefix("data: ")))

        listeners = []
        for name, path, token in (
            ("product", f"/v1/products/{product.slug}/events/e13", product.owner_token),
            ("customer", "/v1/devices/events/e13", customer),
            ("owner", "/v1/devices/events/e13", product.owner_token),
        ):
            opened = asyncio.Event()
            listeners.append(asyncio.create_task(listen(name, path, token, opened)))
            await asyncio.wait_for(opened.wait(), 5)
        await story.ok("POST", f"/v1/devices/{DEVICE}/publish", customer, data={"arg": "e13=hot"})
        async with asyncio.timeout(5):
            while not (heard["product"] and heard["customer"]):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert heard["owner"] == []
        for name in ("product", "customer"):
            assert [(event["data"], event["coreid"]) for event in heard[name]] == [("hot", DEVICE)]
        # Revoking the customer's token ends the stream, and only that one.
        await story.ok("DELETE", f"/v1/access_tokens/{customer}", customer if story.is_strict else None)
        await asyncio.wait_for(listeners[1], 1.0)
        assert not listeners[0].done()
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)


@BOTH
@pytest.mark.parametrize("device_os", ["core", "0.7.0", "1.5.2", "2.3.1", "3.3.1", "4.0.2", "6.2.0"])
async def test_devices_of_every_age_describe_themselves(device_os: str, profile: Profile) -> None:
    async with Cloud(profile=profile) as cloud, Story(cloud) as story:
        await cloud.start_device(DEVICE, device_os=device_os)
        token = await story.user()
        if story.is_strict:
            # An id alone, which is printed on the box, claims nothing; membership in its product does.
            refused = await story.ask("POST", "/v1/devices", token, data={"id": DEVICE})
            assert (refused.status_code, refused.json()["errors"]) == (404, ["device does not exist"])
            await story.import_devices(await story.product(token), [DEVICE])
        await story.ok("POST", "/v1/devices", token, data={"id": DEVICE})
        assert isinstance((await story.ok("GET", f"/v1/devices/{DEVICE}/counter", token))["result"], int)
        described = await story.ok("GET", f"/v1/devices/{DEVICE}", token)
        assert "lightsOn" in described["functions"]
        assert described["variables"]["temperature"] == "double"
        unknown = await story.ask("POST", f"/v1/devices/{DEVICE}/nosuch", token)
        assert (unknown.status_code, unknown.json()) == (404, {"ok": False, "error": "Function nosuch not found"})
