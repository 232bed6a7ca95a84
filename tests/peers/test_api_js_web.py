"""An app on the vendor's SDK and set-up client that knows only its client id: from sign-up to a device that obeys."""

from cloudchamber.testing import Cloud
from tests.peers.test_api_js import DEVICE, HEX40, walk
from tests.whole.story import Story


async def test_a_web_client_sets_a_device_up() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        await story.import_devices(product, [DEVICE])
        wanted = {"name": "Lamp Web", "type": "web", "redirect_uri": "https://lamp.example/setup"}
        path = f"/v1/products/{product.id}/clients"
        client = (await story.ok("POST", path, product.owner_token, json=wanted))["client"]
        device = await cloud.start_device(DEVICE, product_id=product.id, softap=True, networks=["Home=long enough"])
        host, port = device.softap_address
        said = await walk(
            cloud.url,
            "api_js_web.cjs",
            clientId=client["id"],
            product=product.slug,
            softap={"protocol": "tcp", "host": host, "port": port},
            network={"ssid": "Home", "security": "wpa2", "password": "long enough", "channel": 6},
        )
    status = {
        name: answer["statusCode"] for name, answer in said.items() if isinstance(answer, dict) and "body" in answer
    }
    assert status == {"created": 201, "again": 400, "noTeam": 403, "noList": 403, "login": 400}
    created = said["created"]["body"]
    assert HEX40.fullmatch(created["access_token"])
    assert created["scope"] == "customer=kim@example.com"
    assert said["again"]["body"]["error"] == "Customer already exists"
    assert (len(said["claim"]["claim_code"]), said["claim"]["device_ids"]) == (63, [])
    assert said["setUp"] == DEVICE
    found = said["found"]
    assert (found["id"], found["owner"], found["online"]) == (DEVICE, "kim@example.com", True)
    assert (found["product_id"], said["polls"] > 1) == (product.id, True)
    assert said["called"]["return_value"] == 5
    # Whoever comes again signs in on the hosted pages: the password grant wants a secret, which no web page can keep.
    assert said["login"]["body"]["error_description"] == "Missing client_secret parameter"
