"""What happens in a product over real sockets, in its metrics: each thing once, and in no other product's."""

import asyncio
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.clock import HOUR, MINUTE, Millis, iso
from cloudchamber.ids import ProductId
from cloudchamber.tally import Figure
from cloudchamber.testing import Cloud
from tests.gateway.cloud import until
from tests.webhooks.host import Received, hosting, say
from tests.whole.story import Product, Story

LAMP, AWAY, FALSE = (f"0123456789abcdef0123456{digit}" for digit in "789")
METRICS = ("online", "connections", "events", "functions", "variables", "integration", "tokens")


async def metrics(story: Story, product: Product) -> dict[str, Any]:
    """The sums of the last day, by metric; devices online as they are in the last bucket."""
    found: dict[str, Any] = {}
    for metric in METRICS:
        answer = await story.ok("GET", f"/v1/products/{product.slug}/metrics/{metric}", product.owner_token)
        assert answer["bucket_size"] == 900
        buckets = [{name: n for name, n in bucket.items() if name != "time"} for bucket in answer["buckets"]]
        names = {name for bucket in buckets for name in bucket}
        found[metric] = {name: sum(bucket.get(name, 0) for bucket in buckets) for name in names}
        if metric == "online":
            found[metric] = buckets[-1]
    return found


async def test_each_thing_that_happens_is_counted_once() -> None:
    async def sometimes(request: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 400 if b"bad" in request.body else 200)

    changes = {"function_timeout_s": 0.2, "webhook_private_targets": True}
    async with Cloud(**changes) as cloud, Story(cloud.url) as story, hosting(sometimes) as server:
        maker = await story.user()
        product, other = await story.product(maker, "Lamp"), await story.product(maker, "Oven")
        await story.import_devices(product, [LAMP, AWAY, FALSE])
        (lamp,) = (await cloud.start_device(LAMP, product_id=product.id)).all
        key = rsa.generate_private_key(65537, 1024).public_key()
        sent = {
            "deviceID": FALSE,
            "publicKey": key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        }
        await story.ok("POST", f"/v1/provisioning/{FALSE}", maker, json=sent | {"product_id": product.id})
        statistics, clock = cloud.cloud.statistics, cloud.cloud._clock
        # What the story did so far belongs to another day.
        statistics.look(Millis(clock.now() - 26 * HOUR))
        hook = {"event": "note", "url": f"{server.url}/x", "body": "{{{PARTICLE_EVENT_VALUE}}}", "noDefaults": True}
        await story.ok("POST", f"/v1/products/{product.id}/webhooks", maker, json=hook)
        below = f"/v1/products/{product.id}/devices"
        for data in ("good", "good", "bad"):
            assert lamp.publish("note", data)
        for device, is_good in ((LAMP, True), (AWAY, False), (AWAY, False)):
            called = await story.ask("POST", f"{below}/{device}/lightsOn", maker, data={"arg": "on"})
            read = await story.ask("GET", f"{below}/{device}/counter", product.token)
            assert (called.is_success, read.is_success) == (is_good, is_good), (called.text, read.text)
        # A customer's requests are answered on two ways, and counted once on each.
        kim = await story.customer(product, "kim@example.com")
        await story.ok("POST", "/v1/devices", kim, data={"id": LAMP})
        for _ in range(3):
            await story.ok("GET", f"/v1/devices/{LAMP}", kim)
        assert (await story.ask("GET", f"/v1/devices/{AWAY}", kim)).status_code == 403
        # A device that is none of the product's functions is asked for nothing.
        assert (await story.ask("POST", f"{below}/{LAMP}/nothing", maker)).status_code == 404
        refused = cloud.cloud._tcp.closed
        before = sum(refused.values())
        false = asyncio.create_task(cloud.start_device(FALSE, product_id=product.id, timeout_s=1))
        await until(lambda: len(server.received) == 3 and sum(refused.values()) > before, 10)
        counted = statistics._tally._counts[ProductId(product.id)]
        await until(lambda: counted[Figure.HOOKS_OK] + counted[Figure.HOOKS_FAILED] == 3, 5)
        await asyncio.gather(false, return_exceptions=True)
        failures = sum(refused.values()) - before
        statistics.look(clock.now())
        found = await metrics(story, product)
        assert found == {
            "online": {"count": 1},
            "connections": {"failure": failures},
            "events": {"received": 3},
            "functions": {"success": 1, "offline": 2},
            "variables": {"success": 1, "offline": 2},
            "integration": {"success": 2, "failure": 1},
            "tokens": {"used": 3 + 5},
        }
        nothing = await metrics(story, other)
        assert nothing["tokens"] == {"used": 0}
        assert nothing["online"] == {"count": 0}
        assert nothing["connections"] == nothing["functions"] == nothing["integration"] == {}


async def test_metrics_are_asked_for_as_at_the_vendor() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        path, token = f"/v1/products/{product.id}/metrics/online", product.owner_token
        now = cloud.cloud._clock.now()
        for ago in (26 * HOUR, 30 * MINUTE, 0):
            cloud.cloud.statistics.look(Millis(now - ago))
        await cloud.cloud.statistics.write()
        whole = await story.ok("GET", path, token, params={"start_date": iso(now - 40 * HOUR), "bucket_size": 60})
        assert whole["bucket_size"] == 3600
        assert len(whole["buckets"]) in {2, 3}
        minutes = await story.ok("GET", path, token, params={"start_date": iso(now - HOUR), "bucket_size": "16"})
        assert minutes["bucket_size"] == 60
        assert [bucket["count"] for bucket in minutes["buckets"]] == [0, 0]
        for wrong in (
            {"start_date": "yesterday"},
            {"start_date": "2100-01-01"},
            {"end_date": "2000-01-02", "start_date": "2000-01-03"},
            {"bucket_size": "0"},
            {"bucket_size": "large"},
            {"product_fw": "3"},
            {"device_group": "pilot"},
        ):
            answer = await story.ask("GET", path, token, params=wrong)
            assert answer.status_code == 400, (wrong, answer.text)
            assert answer.json()["error"]
