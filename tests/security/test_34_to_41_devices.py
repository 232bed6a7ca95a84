"""Statements 34 to 41 of the security checklist, on whose a device is, over real sockets.

34: nobody touches a device that is not theirs. 35: of a thousand who claim one device at once, one gets it. 36: a
claim code works once, for whom it was made. 37: an id alone is no claim, and ids cannot be tried out. 38: a transfer
leaves no gap, whatever happens in the middle. 39: what one owner left behind the next cannot read. 41: fields that a
request has no business with change nothing.
"""

import asyncio
import contextlib
import itertools
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.access.model import OwnedByCustomer
from cloudchamber.fleet.model import Change
from cloudchamber.ownership.errors import BelongsToAnother
from cloudchamber.testing import Cloud as Devices
from tests.api.conftest import Maker, bearer, make_maker
from tests.processes import cloudchamber
from tests.whole.story import Story
from tests.world import World, device_id

CLAIMANTS = 1_000
NOT_YOURS = 403


@contextlib.asynccontextmanager
async def served(migrated_cloud, **settings) -> AsyncIterator[tuple[httpx.AsyncClient, Maker]]:
    async with migrated_cloud(**settings) as cloud:
        async with httpx.AsyncClient(base_url=f"http://{cloud.listening.http}", timeout=20) as http:
            yield http, await make_maker(http, "maker@example.com")


@pytest.fixture
async def place(migrated_cloud) -> AsyncIterator[tuple[httpx.AsyncClient, Maker]]:
    async with served(migrated_cloud) as made:
        yield made


async def imported(maker: Maker, *numbers: int) -> list[str]:
    ids = [device_id(number) for number in numbers]
    path = f"/v1/products/{maker.product}/devices"
    done = await maker.http.post(path, json={"ids": ids}, headers=bearer(maker.token))
    assert done.json()["updated"] == len(ids)
    return list(ids)


# --- 34 --------------------------------------------------------------------------------------------------------------


async def test_34_a_customer_touches_no_device_of_another(place) -> None:
    http, maker = place
    theirs, mine = await imported(maker, 1, 2)
    kim, lee = bearer(await maker.customer("kim")), bearer(await maker.customer("lee"))
    for who, device in ((kim, theirs), (lee, mine)):
        await http.post("/v1/devices", json={"id": device}, headers=who)
    product = f"/v1/products/{maker.product}/devices"
    before = (await http.get(f"{product}/{theirs}", headers=bearer(maker.token))).json()
    for method, path, body in (
        ("DELETE", f"/v1/devices/{theirs}", None),
        ("PUT", f"/v1/devices/{theirs}", {"name": "mine now"}),
        ("PUT", f"/v1/devices/{theirs}", {"product_id": 1}),
        ("POST", "/v1/devices", {"id": theirs}),
        ("PUT", f"{product}/{theirs}", {"name": "mine now"}),
        ("DELETE", f"{product}/{theirs}", {}),
        ("DELETE", f"{product}/{theirs}/owner", None),
        ("POST", product, {"id": theirs}),
    ):
        answer = await http.request(method, path, json=body, headers=lee)
        assert answer.status_code in {403, 404}, (method, path, answer.text)
    asked = await http.post("/v1/devices", json={"id": theirs, "request_transfer": True}, headers=lee)
    transfer = f"/v1/transfers/{asked.json()['transfer_id']}"
    for action in ("approve", "deny"):
        assert (await http.post(transfer, json={"action": action}, headers=lee)).status_code == 404
    after = (await http.get(f"{product}/{theirs}", headers=bearer(maker.token))).json()
    assert after == before


# --- 35 --------------------------------------------------------------------------------------------------------------


async def test_35_of_a_thousand_who_claim_one_device_one_gets_it(world: World) -> None:
    ann = await world.user("ann")
    thing = await world.product(ann)
    await world.import_(ann, thing, 1)
    claimants = [await world.customer(ann, thing, f"customer {number}") for number in range(CLAIMANTS)]
    world.changes.clear()
    outcomes = await asyncio.gather(
        *(world.ownership.claim(who, device_id(1)) for who in claimants), return_exceptions=True
    )
    won = [who for who, outcome in zip(claimants, outcomes, strict=True) if not isinstance(outcome, BaseException)]
    assert len(won) == 1
    assert sum(isinstance(outcome, BelongsToAnother) for outcome in outcomes) == CLAIMANTS - 1
    owner = OwnedByCustomer(won[0].id)
    assert (await world.record(1)).owner == owner
    assert [record.owner for record in world.changes] == [owner]
    claims = [e for e in await world.custody.of_device(world.db, device_id(1)) if e.change is Change.CLAIMED]
    assert [entry.after.owner_id for entry in claims] == [won[0].id]
    rows = await world.db.fetch_all("SELECT count(*) FROM devices WHERE owner_id IS NOT NULL")
    assert rows == [(1,)]


async def test_35_over_http_too(place) -> None:
    http, maker = place
    (device,) = await imported(maker, 1)
    tokens = [await maker.customer(f"customer {number}") for number in range(50)]
    answers = await asyncio.gather(
        *(http.post("/v1/devices", json={"id": device}, headers=bearer(token)) for token in tokens)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * 49
    refused = {"ok": False, "errors": ["That belongs to someone else."]}
    assert all(answer.json() == refused for answer in answers if answer.status_code == 403)
    lists = [(await http.get("/v1/devices", headers=bearer(token))).json() for token in tokens]
    holders = [number for number, found in enumerate(lists) if found]
    assert [answers[number].status_code for number in holders] == [200]


# --- 36 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["gone", "late"])
async def test_36_a_code_is_void_when_its_customer_is_gone(why: str) -> None:
    """Its device connects with it all the same, and stays unclaimed. Beside a customer's who is gone, the code of one
    who is not claims."""
    lifetime = {"claim_code_lifetime_s": 0} if why == "late" else {}
    async with Devices(**lifetime) as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        ids = ["0" * 23 + "1", "0" * 23 + "2"]
        await story.import_devices(product, ids)
        codes = [
            (await story.ok("POST", f"/v1/products/{product.id}/device_claims", token))["claim_code"]
            for token in (await story.customer(product, "one"), await story.customer(product, "other"))
        ]
        if why == "gone":
            await story.ok("DELETE", f"/v1/products/{product.id}/customers/one", product.owner_token)
        for id_, code in zip(ids, codes, strict=True):
            await cloud.start_device(id_, product_id=product.id, claim_code=code)
        await asyncio.sleep(0.3)
        seen = [await story.ok("GET", f"/v1/products/{product.id}/devices/{id_}", product.owner_token) for id_ in ids]
        assert [each["online"] for each in seen] == [True, True]
        assert [bool(each["owner"]) for each in seen] == [False, why == "gone"]


# --- 37 --------------------------------------------------------------------------------------------------------------


async def test_37_an_id_alone_is_no_claim(place) -> None:
    http, maker = place
    (device,) = await imported(maker, 1)
    other = await make_maker(http, "other@example.com")
    for stranger in (other.token, await other.customer("stranger")):
        answer = await http.post("/v1/devices", json={"id": device}, headers=bearer(stranger))
        assert (answer.status_code, answer.json()) == (404, {"ok": False, "errors": ["device does not exist"]})
    await http.request("DELETE", f"/v1/products/{maker.product}/devices/{device}", headers=bearer(maker.token))
    # In no product it has to be connected, and here it is not.
    answer = await http.post("/v1/devices", json={"id": device}, headers=bearer(other.token))
    assert (answer.status_code, answer.json()) == (404, {"ok": False, "errors": [["Core isn't online", 404]]})


async def test_37_ids_cannot_be_tried_out(migrated_cloud) -> None:
    """After thirty that were not there an account waits, from every address; and an address, with every account."""
    async with served(migrated_cloud, rate_limits="on", trusted_proxies="127.0.0.1") as (http, maker):
        kim, lee = await maker.customer("kim"), await maker.customer("lee")
        (device,) = await imported(maker, 1)

        async def claim(id_: str, token: str, address: str) -> httpx.Response:
            headers = {**bearer(token), "X-Forwarded-For": address}
            return await http.post("/v1/devices", json={"id": id_}, headers=headers)

        for number in range(30):
            assert (await claim(device_id(1_000 + number), kim, "203.0.113.1")).status_code == 404
        for address in ("203.0.113.1", "203.0.113.2"):
            refused = await claim(device, kim, address)
            assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        assert (await claim(device, lee, "203.0.113.1")).status_code == 429
        assert (await claim(device, lee, "203.0.113.3")).status_code == 200  # neither has anything to answer for
        # Everything else goes on.
        headers = {**bearer(kim), "X-Forwarded-For": "203.0.113.1"}
        assert (await http.get("/v1/devices", headers=headers)).status_code == 200


# --- 38 --------------------------------------------------------------------------------------------------------------


async def test_38_at_no_instant_is_a_device_nobodys(place) -> None:
    """Whoever reads as fast as they can sees one owner, then the other; the tokens of both follow at once."""
    http, maker = place
    (device,) = await imported(maker, 1)
    kim, lee = bearer(await maker.customer("kim")), bearer(await maker.customer("lee"))
    await http.post("/v1/devices", json={"id": device}, headers=kim)
    seen: list[str | None] = []
    over = False
    path = f"/v1/products/{maker.product}/devices/{device}"

    async def poll() -> None:
        # A client of its own: in one pool those who never rest can keep the others from ever getting a connection.
        async with httpx.AsyncClient(base_url=http.base_url, headers=bearer(maker.token)) as own:
            while not over:
                seen.append((await own.get(path)).json()["owner"])

    readers = [asyncio.create_task(poll()) for _ in range(4)]
    giver, taker = (kim, "kim"), (lee, "lee")
    for _ in range(10):
        wish = {"id": device, "request_transfer": True}
        id_ = (await http.post("/v1/devices", json=wish, headers=taker[0])).json()["transfer_id"]
        asked = await http.post(f"/v1/transfers/{id_}", json={"action": "approve"}, headers=giver[0])
        assert asked.status_code == 200
        assert (await http.get(f"/v1/devices/{device}", headers=giver[0])).status_code == NOT_YOURS
        assert (await http.get(f"/v1/devices/{device}", headers=taker[0])).status_code == 200
        giver, taker = taker, giver
    over = True
    await asyncio.gather(*readers)
    assert set(seen) == {"kim", "lee"}
    changes = sum(one != other for one, other in itertools.pairwise(seen))
    assert changes <= 4 * 10, "it went back and forth by itself"


async def test_38_streams_follow_their_device() -> None:
    async with Devices() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        devices = await cloud.start_device("0" * 23 + "1", product_id=product.id)
        device = devices.all[0].id
        await story.import_devices(product, [device])
        kim, lee = await story.customer(product, "kim"), await story.customer(product, "lee")
        await story.ok("POST", "/v1/devices", kim, json={"id": device})
        heard: dict[str, list[str]] = {"kim": [], "lee": []}

        async def listen(name: str, token: str) -> None:
            headers = {"Authorization": f"Bearer {token}"}
            async with story.http.stream("GET", "/v1/devices/events", headers=headers) as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("event: "):
                        heard[name].append(line.removeprefix("event: "))

        listeners = [asyncio.create_task(listen("kim", kim)), asyncio.create_task(listen("lee", lee))]
        await asyncio.sleep(0.3)

        async def publish(event: str) -> None:
            assert devices.all[0].publish(event, "x")
            await asyncio.sleep(0.3)

        await publish("before")
        id_ = (await story.ok("POST", "/v1/devices", lee, json={"id": device, "request_transfer": True}))["transfer_id"]
        await story.ok("POST", f"/v1/transfers/{id_}", kim, json={"action": "approve"})
        await publish("after")
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)
        assert [event for event in heard["kim"] if event in {"before", "after"}] == ["before"]
        assert [event for event in heard["lee"] if event in {"before", "after"}] == ["after"]


def owner_in_file(data: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(data / "cloudchamber.db")) as connection:
        return connection.execute("SELECT owner_kind, owner_id FROM devices").fetchall()


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.soak)])
def test_38_a_transfer_survives_a_kill_at_any_moment(tmp_path: Path, rounds: int) -> None:
    """Two hand a device back and forth while the process is killed: it has an owner, and the one that was answered."""
    dice = random.Random(38)
    people: dict[str, Any] = {}
    for number in range(rounds):
        with cloudchamber.serve(tmp_path) as cloud:
            with httpx.Client(base_url=cloud.url, timeout=5) as http:
                if not people:
                    people = found_a_pair(http)
                hand_on_until_killed(http, people, cloud.process, dice.uniform(0.05, 0.6))
            cloud.process.wait(10)
        ((kind, id_),) = owner_in_file(tmp_path / "data")
        assert kind == "customer", number
        assert id_ in people["ids"], number
        assert id_ in people["possible"], (number, "an answer was lost")


def found_a_pair(http: httpx.Client) -> dict[str, Any]:
    maker = {"username": "maker@example.com", "password": "correct horse battery"}
    assert http.post("/v1/users", json=maker).status_code == 200
    form = {"grant_type": "password", **maker}
    token = http.post("/oauth/token", data=form, auth=("particle", "particle")).json()["access_token"]
    product = {"product": {"name": "P", "platform_id": 6}}
    path = f"/v1/products/{http.post('/v1/user/products', json=product, headers=bearer(token)).json()['product']['id']}"
    client = http.post(f"{path}/clients", data={"name": "c", "type": "installed"}, headers=bearer(token)).json()[
        "client"
    ]
    tokens = [
        http.post(
            f"{path}/customers",
            data={"email": name, "no_password": "true"},
            auth=(client["id"], client["secret"]),
        ).json()["access_token"]
        for name in ("kim", "lee")
    ]
    device = device_id(1)
    http.post(f"{path}/devices", json={"id": device}, headers=bearer(token))
    ids = []
    for each in tokens:
        ids.append(http.post("/v1/devices", json={"id": device}, headers=bearer(each)).json()["customer_id"])
        if each is not tokens[-1]:
            http.delete(f"/v1/devices/{device}", headers=bearer(each))
    return {"device": device, "tokens": dict(zip(ids, tokens, strict=True)), "ids": ids, "possible": {ids[-1]}}


def hand_on_until_killed(http: httpx.Client, people: dict[str, Any], process: Any, after_s: float) -> None:
    """`possible` is who may be the owner: whoever the last answer said, and whom an open request would make it."""
    deadline = time.monotonic() + after_s
    device, tokens = people["device"], people["tokens"]
    with contextlib.suppress(httpx.HTTPError):
        holds = {id_: bool(http.get("/v1/devices", headers=bearer(token)).json()) for id_, token in tokens.items()}
        (owner,) = [id_ for id_, held in holds.items() if held]
        assert owner in people["possible"]
        people["possible"] = {owner}
        while True:
            (other,) = [id_ for id_ in tokens if id_ != owner]
            wish = {"id": device, "request_transfer": True}
            asked = http.post("/v1/devices", json=wish, headers=bearer(tokens[other]))
            assert asked.status_code == 200, asked.text
            people["possible"] = {owner, other}
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGKILL)
            path = f"/v1/transfers/{asked.json()['transfer_id']}"
            answered = http.post(path, json={"action": "approve"}, headers=bearer(tokens[owner]))
            assert answered.status_code == 200, answered.text
            owner = other
            people["possible"] = {owner}


# --- 39 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["transfer", "unclaim and claim"])
async def test_39_the_next_owner_reads_nothing_of_the_last(place, way: str) -> None:
    http, maker = place
    (device,) = await imported(maker, 1)
    kim, lee = bearer(await maker.customer("kim")), bearer(await maker.customer("lee"))
    await http.post("/v1/devices", json={"id": device}, headers=kim)
    secret = {"name": "Kim's bedroom", "notes": "the key is under the mat"}
    await http.put(f"/v1/devices/{device}", json=secret, headers=kim)
    if way == "transfer":
        wish = {"id": device, "request_transfer": True}
        id_ = (await http.post("/v1/devices", json=wish, headers=lee)).json()["transfer_id"]
        await http.post(f"/v1/transfers/{id_}", json={"action": "approve"}, headers=kim)
    else:
        await http.delete(f"/v1/devices/{device}", headers=kim)
        await http.post("/v1/devices", json={"id": device}, headers=lee)
    for path in ("/v1/devices", f"/v1/devices/{device}", "/v1/transfers"):
        text = (await http.get(path, headers=lee)).text
        assert not any(word in text for word in ("bedroom", "mat", "kim")), path
    assert (await http.get(f"/v1/devices/{device}", headers=kim)).status_code == NOT_YOURS
    assert (await http.get("/v1/devices/Kim's bedroom", headers=lee)).status_code == NOT_YOURS
    await http.put(f"/v1/devices/{device}", json={"notes": "Lee's own"}, headers=lee)
    assert "Lee" not in (await http.get("/v1/devices", headers=kim)).text


# --- 41 --------------------------------------------------------------------------------------------------------------

EXTRA = {
    "user_id": "0" * 24,
    "customer_id": "0" * 24,
    "product_id": 1,
    "owner": "somebody",
    "owner_id": "0" * 24,
    "owner_kind": "user",
    "role": "Administrator",
    "is_quarantined": True,
    "is_denied": True,
    "is_admin": True,
    "platform_id": 99,
    "id": "f" * 24,
    "last_ip_address": "203.0.113.9",
    "created_at": "2000-01-01T00:00:00.000Z",
    "functions": ["x"],
    "online": True,
}


async def test_41_fields_that_are_not_the_requests_change_nothing(place) -> None:
    http, maker = place
    (device,) = await imported(maker, 1)
    kim, mine = bearer(await maker.customer("kim")), bearer(maker.token)
    await http.post("/v1/devices", json={"id": device}, headers=kim)
    product = f"/v1/products/{maker.product}"

    async def everything() -> list[Any]:
        paths = (f"{product}/devices/{device}", product, f"{product}/groups/g", "/v1/user", f"{product}/clients")
        found = [(await http.get(path, headers=mine)).json() for path in paths]
        for each in found:
            each.pop("updated_at", None)
        return found

    await http.post(f"{product}/groups", json={"name": "g", "description": "d"}, headers=mine)
    await http.put(f"{product}/devices/{device}", json={"name": "same"}, headers=mine)
    before = await everything()
    theirs_to_say = {"development": True, "groups": ["g"], "denied": True, "quarantined": True}
    for method, path, real, who in (
        ("PUT", f"/v1/devices/{device}", {"notes": None, **theirs_to_say, "desired_firmware_version": 3}, kim),
        ("PUT", f"{product}/devices/{device}", {"name": "same"}, mine),
        ("PUT", f"{product}/groups/g", {"description": "d", "fw_version": 3, "device_count": 9}, mine),
        ("POST", "/v1/devices", {"id": device}, kim),
        ("POST", f"{product}/devices", {"ids": [device]}, mine),
    ):
        sent = {**EXTRA, **real} if "id" in real else {**{k: v for k, v in EXTRA.items() if k != "id"}, **real}
        if path.endswith("/devices") and method == "POST" and "ids" in real:
            sent.pop("id", None)
        answer = await http.request(method, path, json=sent, headers=who)
        assert answer.status_code == 200, (path, answer.text)
    assert await everything() == before


async def test_41_what_is_made_and_changed_beside_devices_takes_no_more_either(place) -> None:
    """Accounts, products, clients, customers, keys: what each shows afterwards is as without the extra fields."""
    http, maker = place
    (device,) = await imported(maker, 1)
    mine, product = bearer(maker.token), f"/v1/products/{maker.product}"
    extra = {**EXTRA, "org_id": "0" * 24, "organization": "acme", "is_service": True, "scopes": ["*:*"], "mfa": True}
    extra |= {"created_by": "0" * 24, "secret": "0" * 40, "username_verified": True}
    own = (await http.get("/v1/user", headers=mine)).json()
    thing = (await http.get(product, headers=mine)).json()
    team = (await http.get(f"{product}/team", headers=mine)).json()

    async def client() -> dict[str, Any]:
        found = (await http.get(f"{product}/clients", headers=mine)).json()["clients"]
        return next(each for each in found if each["id"] == maker.client[0])

    was = await client()
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    sold = {k: v for k, v in extra.items() if k != "product_id"}
    for method, path, body in (
        ("PUT", "/v1/user", {**extra, "account_info": {}}),
        ("PUT", product, {"product": {**extra, "name": f"Product of {maker.username}"}}),
        ("PUT", f"{product}/clients/{maker.client[0]}", {**extra, "name": was["name"], "type": "web"}),
        ("POST", f"{product}/customers", {**extra, "email": "kim", "password": "correct horse"}),
        ("POST", f"/v1/provisioning/{device}", {**sold, "deviceID": device, "publicKey": pem}),
    ):
        auth = maker.client if path.endswith("customers") else None
        answer = await http.request(method, path, json=body, headers={} if auth else mine, auth=auth)
        assert answer.status_code in {200, 201}, (path, answer.text)
    assert (await http.get("/v1/user", headers=mine)).json() == own
    now = (await http.get(product, headers=mine)).json()
    for each in (thing, now):
        each["product"].pop("updated_at", None)
    assert now == thing
    assert await client() == was
    assert (await http.get(f"{product}/team", headers=mine)).json() == team
    (kim,) = (await http.get(f"{product}/customers?all=true", headers=mine)).json()["customers"]
    assert kim["username"] == "kim"
    assert kim["id"] not in {EXTRA["id"], EXTRA["customer_id"]}
    seen = (await http.get(f"{product}/devices/{device}", headers=mine)).json()
    assert (seen["owner"], seen["quarantined"], seen["product_id"]) == (None, False, maker.product)
