"""Organizations, teams and API users over HTTP, in both profiles; the matrix asks who may do what."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cloudchamber.access.requester import User
from cloudchamber.ids import ClientId
from cloudchamber.oauth.model import Principal, PrincipalKind
from tests.api.conftest import Api, bearer, log_in
from tests.world import device_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse"
NOT_FOR_API_USERS = {
    "error": "unauthorized",
    "error_description": "API users are not allowed to call this endpoint",
}
DENIED = {"ok": False, "error": "Permission denied"}
_numbers = itertools.count(1)


def told(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json() if answer.content else None


@dataclass(frozen=True, slots=True)
class Person:
    http: Api
    name: str
    token: str

    async def ask(self, method: str, path: str, **sent: Any) -> httpx.Response:
        return await self.http.request(method, path, headers=bearer(self.token), **sent)

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()


async def person(http: Api, name: str) -> Person:
    full = f"{name}.{next(_numbers)}@example.com"
    account = await http.cloud.users.create(full, PASSWORD)
    # Past the log-in, which takes its time over the password once more.
    own, _ = await http.cloud.clients.create(
        User(account.id, ClientId("")), None, name="own", type_="installed", redirect_uri=None, scope=None
    )
    principal = Principal(PrincipalKind.USER, account.id)
    return Person(http, full, (await http.cloud.tokens.issue(own, principal, None, 3_600)).access_token)


@dataclass(frozen=True, slots=True)
class Corp:
    """Ann's organization with a product; Bob is nobody there yet."""

    ann: Person
    bob: Person
    id: str
    slug: str
    product: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/v1/orgs/{self.slug}"

    @property
    def product_path(self) -> str:
        return f"/v1/products/{self.product['id']}"

    async def client(self, **more: str) -> tuple[str, str]:
        sent = {"name": "MyApp", "type": "installed", "organization": self.slug, **more}
        made = (await self.ann.ask("POST", "/v1/clients", data=sent)).json()["client"]
        return made["id"], made["secret"]


@pytest_asyncio.fixture(loop_scope="module")
async def corp(http: Api) -> Corp:
    ann, bob = await person(http, "ann"), await person(http, "bob")
    made = (await ann.ask("POST", "/v1/orgs", json={"name": f"Example Corp {next(_numbers)}"})).json()["organization"]
    fields = {"name": f"Lamp {next(_numbers)}", "platform_id": 6}
    product = (await ann.ask("POST", f"/v1/orgs/{made['slug']}/products", json={"product": fields})).json()["product"]
    return Corp(ann, bob, made["id"], made["slug"], product)


# -- organizations and products ------------------------------------------------------------


async def test_an_organization(http: Api, corp: Corp) -> None:
    shown = {"id": corp.id, "name": corp.slug.replace("-", " ").title(), "slug": corp.slug}
    assert await corp.ann.get("/v1/orgs") == {"organizations": [shown]}
    for reference in (corp.id, corp.slug):
        assert await corp.ann.get(f"/v1/orgs/{reference}") == {"organization": shown}
    renamed = await corp.ann.ask("PUT", corp.path, json={"name": "Other", "slug": "x", "owner": "eve", "id": "0" * 24})
    assert told(renamed) == (200, {"organization": shown | {"name": "Other"}})
    assert told(await corp.bob.ask("GET", corp.path)) == (404, DENIED)
    assert told(await corp.bob.ask("GET", "/v1/orgs/no-such")) == (
        404,
        {"ok": False, "error": "Organization not found."},
    )
    assert told(await corp.ann.ask("DELETE", corp.path)) == (
        400,
        {"ok": False, "error": "The organization has products: remove them first"},
    )
    assert told(await corp.ann.ask("DELETE", corp.product_path)) == (204, None)
    assert told(await corp.ann.ask("DELETE", corp.path)) == (204, None)
    assert told(await corp.ann.ask("GET", corp.path))[0] == 404


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({}, "name is required"),
        ({"name": "x", "slug": "Not A Slug"}, "A slug has at most 40 characters"),
        ({"name": "x", "slug": "0" * 24}, "A slug has at most 40 characters"),
        ({"name": "x" * 101}, "at most 100 characters"),
    ],
)
async def test_organizations_that_cannot_be(corp: Corp, sent: dict[str, str], text: str) -> None:
    status, body = told(await corp.ann.ask("POST", "/v1/orgs", json=sent))
    assert (status, body["ok"], text in body["error"]) == (400, False, True)


async def test_products_of_an_organization_and_of_ones_own(corp: Corp) -> None:
    own = (await corp.ann.ask("POST", "/v1/user/products", json={"name": "Own", "platform_id": 6})).json()["product"]
    assert (corp.product["org"], corp.product["organization"]) == (corp.slug, corp.id)
    assert "user" not in corp.product
    assert (own["user"], "org" in own, own["organization"] != corp.id) == (corp.ann.name, False, True)

    async def listed(path: str) -> list[int]:
        return [product["id"] for product in (await corp.ann.get(path))["products"]]

    assert await listed(f"{corp.path}/products") == [corp.product["id"]]
    assert await listed("/v1/user/products") == [own["id"]]
    assert sorted(await listed("/v1/products")) == sorted([own["id"], corp.product["id"]])
    # A personal organization is none in its user's eyes, and answers all the same.
    assert len((await corp.ann.get("/v1/orgs"))["organizations"]) == 1
    personal = (await corp.ann.get(f"/v1/orgs/{own['organization']}"))["organization"]["slug"]
    assert await listed(f"/v1/orgs/{personal}/products") == [own["id"]]
    assert (await corp.ann.get(f"/v1/orgs/{personal}/products/{own['slug']}/devices"))["devices"] == []
    status, body = told(await corp.ann.ask("GET", f"{corp.path}/products/{own['slug']}/devices"))
    assert (status, body) == (404, {"ok": False, "error": "Product not found."})


async def test_a_product_is_changed_and_nothing_that_is_not_its_teams_to_change(corp: Corp) -> None:
    before = corp.product
    sent = {
        "name": "New name",
        "settings": {"quarantine": "false", "location": {"opt_in": True}, "billing": "free", "owner": "eve"},
        "id": 1,
        "slug": "stolen",
        "platform_id": 13,
        "user": "eve",
        "org": "x",
        "organization": "0" * 24,
        "owner": "eve",
        "team": ["eve"],
        "user_id": "0" * 24,
    }
    changed = await corp.ann.ask("PUT", corp.product_path, json={"product": sent})
    expected = before | {
        "name": "New name",
        "settings": {"location": {"opt_in": True}, "known_application": {"opt_in": False}, "quarantine": False},
    }
    assert told(changed) == (200, {"product": expected})
    flat = await corp.ann.ask("PUT", corp.product_path, data={"description": "d", "settings[quarantine]": "1"})
    assert told(flat) == (
        200,
        {"product": expected | {"description": "d", "settings": expected["settings"] | {"quarantine": True}}},
    )
    for bad in ({"name": " "}, {"settings": {"quarantine": "maybe"}}, {"settings": "x"}, {"name": "x" * 101}):
        assert (await corp.ann.ask("PUT", corp.product_path, json={"product": bad})).status_code == 400
    assert told(await corp.bob.ask("PUT", corp.product_path, json={"name": "Bob's"})) == (404, DENIED)
    branded = await corp.ann.ask("PUT", corp.product_path, json={"settings": {"branding": {"name": "Lamps & Co"}}})
    assert branded.json()["product"]["settings"]["branding"] == {"name": "Lamps & Co"}
    for bad in ({"name": "x" * 101}, {"name": 1}, "Lamps & Co"):
        refused = await corp.ann.ask("PUT", corp.product_path, json={"settings": {"branding": bad}})
        assert (refused.status_code, "branding" in refused.text) == (400, True)


async def test_a_product_with_devices_stays(corp: Corp) -> None:
    await corp.ann.ask("POST", f"{corp.product_path}/devices", data={"id": device_id(7_000_000 + next(_numbers))})
    status, body = told(await corp.ann.ask("DELETE", corp.product_path))
    assert (status, body) == (400, {"ok": False, "error": "The product has devices: remove them first"})


# -- teams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["path", "product_path"])
async def test_a_team(corp: Corp, where: str) -> None:
    team, bob = f"{getattr(corp, where)}/team", corp.bob.name
    (owner,) = (await corp.ann.get(team))["team"]
    assert owner | {"_id": ""} == {
        "_id": "",
        "username": corp.ann.name,
        "role": {"id": "000000000000000000000001", "name": "Owner"},
    }
    invited = await corp.ann.ask("POST", team, json={"username": bob.upper()})
    assert told(invited) == (200, {"ok": True, "invited": {"username": bob}})
    listed = await corp.ann.get(team)
    assert listed["ok"] is True
    assert [(each["username"], each["role"]["name"]) for each in listed["team"]] == [
        (corp.ann.name, "Owner"),
        (bob, "Developer"),
    ]
    assert told(await corp.ann.ask("POST", team, data={"username": bob}))[0] == 400
    roles = {
        "Administrator": "Administrator",
        "support": "Support",
        "000000000000000000000003": "Developer",
    }
    for method, (role, name) in itertools.product(("PUT", "POST"), roles.items()):
        changed = await corp.ann.ask(method, f"{team}/{bob}", json={"role": role})
        assert told(changed)[1]["updated"]["role"]["name"] == name
    as_listed = {"role": {"id": "000000000000000000000005", "name": "View-only"}}
    changed = await corp.ann.ask("PUT", f"{team}/{bob}", json=as_listed)
    assert told(changed) == (200, {"ok": True, "updated": {"username": bob, **as_listed}})
    assert len((await corp.bob.get(team))["team"]) == 2
    assert told(await corp.bob.ask("DELETE", f"{team}/{bob}")) == (403, DENIED)
    assert told(await corp.ann.ask("DELETE", f"{team}/{bob}")) == (200, {"ok": True})
    assert told(await corp.bob.ask("GET", team)) == (404, DENIED)
    assert told(await corp.ann.ask("DELETE", f"{team}/{bob}")) == (
        404,
        {"ok": False, "error": f"{bob} is not in this team"},
    )
    assert told(await corp.ann.ask("DELETE", f"{team}/{corp.ann.name}"))[0] == 400


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        ("POST", {}),
        ("POST", {"username": "x", "role": "Boss"}),
        ("POST", {"username": "x", "role": "Owner"}),
        ("POST", {"username": "x", "role": {"colour": "red"}}),
        ("POST", {"friendly_name": "robot"}),
        ("POST", {"scopes": ["devices:list"]}),
        ("POST", {"friendly_name": "robot", "scopes": ["*:*"]}),
        ("POST", {"friendly_name": "robot", "scopes": ["products:remove"]}),
        ("POST", {"friendly_name": "robot", "scopes": [{"devices": "list"}]}),
        ("PUT", {}),
        ("PUT", {"role": "Owner"}),
    ],
)
async def test_changes_of_a_team_that_make_no_sense(corp: Corp, method: str, sent: dict[str, Any]) -> None:
    await corp.ann.ask("POST", f"{corp.product_path}/team", json={"username": corp.bob.name})
    path = f"{corp.product_path}/team" + (f"/{corp.bob.name}" if method == "PUT" else "")
    status, body = told(await corp.ann.ask(method, path, json=sent))
    assert (status, body["ok"]) == (400, False)
    assert len((await corp.ann.get(f"{corp.product_path}/team"))["team"]) == 2


async def test_somebody_who_registers_is_in_the_team_that_waited_for_them(http: Api, corp: Corp) -> None:
    name = f"joe.{next(_numbers)}@example.com"
    await corp.ann.ask("POST", f"{corp.path}/team", json={"username": name, "role": "Support"})
    waiting = (await corp.ann.get(f"{corp.path}/team"))["team"][1]
    assert waiting | {"_id": ""} == {
        "_id": "",
        "username": name,
        "role": {"id": "000000000000000000000004", "name": "Support"},
        "pending": True,
    }
    if http.is_strict:
        await http.cloud.users.create(name, PASSWORD)
    else:
        assert (await http.post("/v1/users", json={"username": name, "password": PASSWORD})).json() == {"ok": True}
    joe = Person(http, name, await log_in(http, name, PASSWORD))
    assert (await joe.get(corp.product_path))["product"]["id"] == corp.product["id"]
    assert [each.get("pending") for each in (await joe.get(f"{corp.path}/team"))["team"]] == [None, None]
    assert (await joe.get("/v1/orgs"))["organizations"][0]["slug"] == corp.slug


async def test_an_organization_is_handed_over(corp: Corp) -> None:
    await corp.ann.ask("POST", f"{corp.path}/team", json={"username": corp.bob.name, "role": "Administrator"})
    assert told(await corp.bob.ask("PUT", f"{corp.path}/team/{corp.bob.name}", json={"role": "Owner"}))[0] == 400
    given = await corp.ann.ask("PUT", f"{corp.path}/team/{corp.bob.name}", json={"role": "Owner"})
    assert told(given)[1]["updated"]["role"]["name"] == "Owner"
    names = [(each["username"], each["role"]["name"]) for each in (await corp.ann.get(f"{corp.path}/team"))["team"]]
    assert names == [(corp.bob.name, "Owner"), (corp.ann.name, "Administrator")]
    assert told(await corp.ann.ask("DELETE", corp.product_path)) == (403, DENIED)
    assert told(await corp.bob.ask("DELETE", corp.product_path)) == (204, None)


# -- API users ------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["path", "product_path"])
async def test_an_api_user(http: Api, corp: Corp, where: str) -> None:
    team = f"{getattr(corp, where)}/team"
    sent = {"friendly_name": "Build Server", "scopes": ["devices:list", "products:list"]}
    answer = await corp.ann.ask("POST", team, json=sent)
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()["created"]
    name, (token,) = made["username"], (each["token"] for each in made["tokens"])
    assert answer.json() == {
        "ok": True,
        "created": {"username": name, "is_programmatic": True, "tokens": [{"token": token}]},
    }
    assert name.startswith("build-server+")
    assert name.endswith("@api.localhost")
    assert len(token) == 40
    (listed,) = (each for each in (await corp.ann.get(team))["team"] if each.get("is_programmatic"))
    assert (listed["username"], listed["scopes"]) == (name, sent["scopes"])
    assert token not in str(await corp.ann.get(team))

    robot = Person(http, name, token)
    assert [each["id"] for each in (await robot.get("/v1/products"))["products"]] == [corp.product["id"]]
    assert (await robot.get(f"{corp.product_path}/devices"))["devices"] == []
    for path in ("/v1/user", "/v1/devices", "/v1/clients", "/v1/access_tokens", "/v1/orgs", "/v1/devices/events"):
        assert told(await robot.ask("GET", path)) == (403 if http.is_strict else 400, NOT_FOR_API_USERS)
    assert (await robot.ask("POST", f"{corp.product_path}/customers", json={"email": "x"})).status_code in {400, 403}

    renamed = await corp.ann.ask("PUT", f"{team}/{name}", json={"friendly_name": "Builder"})
    assert told(renamed) == (200, {"ok": True, "updated": {"username": name, "is_programmatic": True}})
    assert (await robot.ask("GET", "/v1/products")).status_code == 200
    changed = await corp.ann.ask("POST", f"{team}/{name}", json={"scopes": ["devices:list"]})
    (fresh,) = (each["token"] for each in changed.json()["updated"]["tokens"])
    assert told(await robot.ask("GET", f"{corp.product_path}/devices"))[0] == 401
    robot = Person(http, name, fresh)
    assert (await robot.get(f"{corp.product_path}/devices"))["devices"] == []
    assert told(await robot.ask("GET", "/v1/products"))[0] in {400, 403}
    assert told(await corp.ann.ask("DELETE", f"{team}/{name}")) == (200, {"ok": True})
    assert told(await robot.ask("GET", f"{corp.product_path}/devices"))[0] == 401


async def test_an_api_users_name_is_no_log_in(http: Api, corp: Corp) -> None:
    sent = {"friendly_name": "robot", "scopes": ["devices:list"]}
    made = (await corp.ann.ask("POST", f"{corp.path}/team", json=sent)).json()["created"]
    token = made["tokens"][0]["token"]
    for client in (("api-user", "api-user"), ("api-user", token), ("particle", "particle")):
        form = {"grant_type": "password", "username": made["username"], "password": token}
        assert (await http.post("/oauth/token", data=form, auth=client)).status_code in {400, 401}
    form = {"grant_type": "client_credentials"}
    assert (await http.post("/oauth/token", data=form, auth=("api-user", token))).status_code in {400, 401}


# -- clients and customers --------------------------------------------------------------------


async def test_clients_of_an_organization(http: Api, corp: Corp) -> None:
    sent = {"name": "MyApp", "type": "installed", "organization": corp.slug}
    answer = await corp.ann.ask("POST", "/v1/clients", data=sent)
    made = answer.json()["client"]
    assert (answer.status_code, made["org_id"], made["name"], len(made["secret"])) == (200, corp.id, "MyApp", 40)
    (listed,) = (await corp.ann.get(f"{corp.path}/clients"))["clients"]
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    assert made["id"] not in str(await corp.ann.get("/v1/clients"))

    # A stranger does not learn that it is there.
    unknown = (404, {"ok": False, "error": "Client not found"})
    for path in (f"/v1/clients/{made['id']}", "/v1/clients/no-such-1"):
        assert told(await corp.bob.ask("PUT", path, json={"name": "x"})) == unknown
        assert told(await corp.bob.ask("DELETE", path)) == unknown
    await corp.ann.ask("POST", f"{corp.path}/team", json={"username": corp.bob.name, "role": "Support"})
    assert told(await corp.bob.ask("DELETE", f"/v1/clients/{made['id']}")) == (403, DENIED)
    await corp.ann.ask("PUT", f"{corp.path}/team/{corp.bob.name}", json={"role": "Developer"})
    renamed = await corp.bob.ask("PUT", f"/v1/clients/{made['id']}", json={"name": "Ours"})
    assert told(renamed)[1]["client"]["name"] == "Ours"

    form = {"grant_type": "client_credentials"}
    issued = await http.post("/oauth/token", data=form, auth=(made["id"], made["secret"]))
    server = Person(http, "", issued.json()["access_token"])
    assert [each["id"] for each in (await server.get("/v1/products"))["products"]] == [corp.product["id"]]
    assert (await server.get(f"{corp.path}/products"))["products"][0]["id"] == corp.product["id"]
    assert (await server.get(f"{corp.product_path}/devices"))["devices"] == []
    assert await server.get("/v1/devices") == []
    assert told(await server.ask("POST", f"{corp.product_path}/team", json={"username": "mallory"})) == (403, DENIED)
    assert told(await corp.bob.ask("DELETE", f"{corp.path}/clients/{made['id']}")) == (204, None)
    assert told(await server.ask("GET", f"{corp.product_path}/devices"))[0] == 401


async def test_the_recipe_of_2016(http: Api, corp: Corp) -> None:
    """Customers of an organization, who set up devices of its product."""
    basic = await corp.client()
    email = f"user.{next(_numbers)}@example.com"
    sent = {"email": email, "password": PASSWORD}
    made = await http.post(f"{corp.path}/customers", data=sent, auth=basic)
    assert (made.status_code, made.json()["token_type"], made.json()["scope"]) == (201, "bearer", f"customer={email}")
    again = await http.post(f"{corp.path}/customers", data=sent, auth=basic)
    assert (again.status_code, again.json()["error"]) == (400, "Customer already exists")
    form = {"grant_type": "client_credentials", "scope": f"customer={email}"}
    jane = Person(http, email, (await http.post("/oauth/token", data=form, auth=basic)).json()["access_token"])

    codes = await jane.ask("POST", f"{corp.path}/products/{corp.product['slug']}/device_claims")
    assert (len(codes.json()["claim_code"]), codes.json()["device_ids"]) == (63, [])
    device = device_id(8_000_000 + next(_numbers))
    await corp.ann.ask("POST", f"{corp.product_path}/devices", data={"id": device})
    claimed = await jane.ask("POST", "/v1/devices", json={"id": device})
    assert (claimed.status_code, "customer_id" in claimed.json()) == (200, True)
    assert [each["id"] for each in await jane.get("/v1/devices")] == [device]
    customers = await corp.ann.get(f"{corp.product_path}/customers")
    assert [(each["username"], each["devices"]) for each in customers["customers"]] == [(email, [device])]
    assert (await corp.ann.get(f"{corp.path}/customers"))["customers"] == customers["customers"]

    # The older paths: for the team, and not there for customers and for what is bound to one product.
    legacy = (
        f"{corp.path}/devices/{device}",
        f"{corp.path}/products/{corp.product['slug']}/devices/{device}",
        f"{corp.path}/products/{corp.product['slug']}/devices",
    )
    for path in legacy:
        assert (await corp.ann.ask("GET", path)).status_code == 200
        for other in (jane, corp.bob):
            assert told(await other.ask("GET", path)) == (404, DENIED)
    assert (await corp.ann.get(legacy[0]))["id"] == device
    named = await corp.ann.ask("PUT", legacy[0], json={"name": "lamp-1"})
    assert (named.status_code, named.json()["name"]) == (200, "lamp-1")
    foreign = await http.post(f"{corp.product_path}/clients", data={"name": "s", "type": "installed"})
    assert foreign.status_code in {400, 401}
    of_product = await corp.ann.ask("POST", f"{corp.product_path}/clients", data={"name": "s", "type": "installed"})
    pair = (of_product.json()["client"]["id"], of_product.json()["client"]["secret"])
    issued = await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=pair)
    server = Person(http, "", issued.json()["access_token"])
    assert [(await server.ask("GET", path)).status_code for path in legacy] == [404, 200, 200]


async def test_a_device_of_another_organization_is_not_there(corp: Corp) -> None:
    fields = {"name": f"Own {next(_numbers)}", "platform_id": 6}
    own = (await corp.ann.ask("POST", "/v1/user/products", json=fields)).json()["product"]
    device = device_id(9_000_000 + next(_numbers))
    await corp.ann.ask("POST", f"/v1/products/{own['id']}/devices", data={"id": device})
    not_found = (404, {"ok": False, "error": "Device not found"})
    for reference in (device, device_id(1), "no-such-device"):
        assert told(await corp.ann.ask("GET", f"{corp.path}/devices/{reference}")) == not_found
        assert told(await corp.bob.ask("GET", f"{corp.path}/devices/{reference}")) == (404, DENIED)


async def test_a_web_clients_id_alone_makes_customers_of_an_organization(http: Api, corp: Corp) -> None:
    client, _ = await corp.client(type="web", redirect_uri="https://app.example.com/cb")
    email = f"web.{next(_numbers)}@example.com"
    sent = {"email": email, "password": PASSWORD, "client_id": client}
    made = await http.post(f"{corp.path}/customers", data=sent)
    if http.is_strict:
        assert made.status_code in {400, 401}
        return
    assert made.status_code == 201
    other = await http.post(f"{corp.product_path}/customers", data=sent | {"email": f"x{email}"})
    assert other.status_code == 201
    shadow = await http.post(
        f"{corp.path}/customers", data={"email": f"y{email}", "no_password": 1, "client_id": client}
    )
    assert shadow.status_code == 400
    implicit = sent | {"response_type": "token", "email": f"z{email}"}
    redirected = await http.post(f"{corp.path}/customers", data=implicit)
    assert (redirected.status_code, redirected.headers["location"].partition("#")[0]) == (
        302,
        "https://app.example.com/cb",
    )


# -- streams ----------------------------------------------------------------------------------


@asynccontextmanager
async def listening(person: Person, path: str) -> AsyncIterator[Any]:
    async with person.http.stream("GET", path, headers=bearer(person.token), timeout=10) as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert await anext(lines) == ":ok"
        yield lines


async def event_in(lines: Any) -> str:
    async with asyncio.timeout(5):
        async for line in lines:
            if line.startswith("event: "):
                return str(line.removeprefix("event: "))
    raise AssertionError("the stream ended")


async def test_streams_of_an_organization(corp: Corp) -> None:
    async with (
        listening(corp.ann, f"{corp.path}/events/x") as of_corp,
        listening(corp.ann, f"{corp.path}/products/{corp.product['slug']}/events") as of_product,
    ):
        sent = {"name": "x-product", "data": "1"}
        assert told(await corp.ann.ask("POST", f"{corp.product_path}/events", json=sent)) == (200, {"ok": True})
        sent = {"name": "x-corp", "data": "2"}
        assert told(await corp.ann.ask("POST", f"{corp.path}/events", json=sent)) == (200, {"ok": True})
        for lines in (of_corp, of_product):
            assert [await event_in(lines), await event_in(lines)] == ["x-product", "x-corp"]
    assert told(await corp.bob.ask("POST", f"{corp.path}/events", json=sent)) == (404, DENIED)


async def test_who_loses_the_role_loses_it_at_once_and_the_stream_within_a_second(corp: Corp) -> None:
    await corp.ann.ask("POST", f"{corp.path}/team", json={"username": corp.bob.name, "role": "Developer"})
    member = f"{corp.path}/team/{corp.bob.name}"
    device = device_id(6_000_000 + next(_numbers))
    import_one = {"method": "POST", "path": f"{corp.product_path}/devices", "data": {"id": device}}
    assert (await corp.bob.ask(**import_one)).status_code == 200
    for path in (f"{corp.product_path}/events", f"{corp.path}/events", f"{corp.path}/devices/{device}/events"):
        async with listening(corp.bob, path) as lines:
            await corp.ann.ask("PUT", member, json={"role": "View-only"})
            started = time.monotonic()
            async with asyncio.timeout(1):
                async for line in lines:
                    assert not line
            assert time.monotonic() - started < 1
            # Lowered, not removed: the stream opens again, and nothing else does.
        assert told(await corp.bob.ask(**import_one)) == (403, DENIED)
        async with listening(corp.bob, path) as lines:
            await corp.ann.ask("DELETE", member)
            async with asyncio.timeout(1):
                async for line in lines:
                    assert not line
        assert told(await corp.bob.ask("GET", path)) == (404, DENIED)
        await corp.ann.ask("POST", f"{corp.path}/team", json={"username": corp.bob.name, "role": "Developer"})


async def test_what_is_told_of_a_token(http: Api, corp: Corp) -> None:
    basic = await corp.client()
    issued = await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=basic)
    server = Person(http, "", issued.json()["access_token"])
    assert (await server.get("/v1/access_tokens/current"))["client"] == basic[0]
    assert told(await server.ask("DELETE", "/v1/access_tokens/current")) == (200, {"ok": True})
    assert told(await server.ask("GET", f"{corp.path}/products"))[0] == 401
