"""The world in which everybody tries everything: two products of strangers, each with customers, devices and clients,
and one requester of each kind. It is made once, over the API, and copied for whoever is going to change it.

A new kind of requester is a line in `KINDS` and its token in `_tokens`; a new kind of thing in paths is a value in
`Place.values`. What is not there is filled with a name that nothing has, so that a new route is asked in any case.
"""

import dataclasses
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner, Role
from cloudchamber.access.requester import Bearer, Customer, ProductClient, User
from cloudchamber.app import Cloud
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import SystemClock
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.oauth.store import ClientStore, TokenStore
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.settings import Address, Settings

ANY_PORT: Final = Address("127.0.0.1", 0)
PASSWORD: Final = "correct horse"
NO_SUCH: Final = "no-such"
FIELD: Final = re.compile(r"{(\w+)(?::path)?}")


@dataclass(frozen=True, slots=True)
class Kind:
    """Who asks. `role` is what they are in the home product's team, `elsewhere` in the foreign one's."""

    name: str
    of: type | None
    role: Role | None = None
    elsewhere: Role | None = None


KINDS: Final = (
    Kind("nobody", None),
    Kind("a token that is not there", None),
    Kind("the owner of the product", User, Role.OWNER),
    Kind("an administrator", User, Role.ADMINISTRATOR),
    Kind("a developer", User, Role.DEVELOPER),
    Kind("support", User, Role.SUPPORT),
    Kind("a viewer", User, Role.VIEW_ONLY),
    Kind("a user with a device", User),
    Kind("the owner of another product", User, None, Role.OWNER),
    Kind("a customer", Customer),
    Kind("another customer of the product", Customer),
    Kind("a customer of another product", Customer),
    Kind("the product's client", ProductClient),
    Kind("the client of another product", ProductClient),
    Kind("a client limited to lists", ProductClient),
    Kind("a client that makes customers", ProductClient),
    Kind("a user's client", User, Role.OWNER),
)
# Whose the things are that `Universe.values[None]` names.
ACCOUNT_OF: Final = ("the owner of the product", "a user's client")


@dataclass(frozen=True, slots=True)
class Thing:
    """A device, and whose it is."""

    id: DeviceId
    product: ProductId | None
    owner: Owner | None
    exists: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """What a path is filled with. `product` and `device` None: the path has none, or one that does not exist."""

    label: str
    values: Mapping[str, str]
    product: ProductId | None = None
    device: Thing | None = None

    def path(self, template: str) -> str:
        return FIELD.sub(lambda match: self.values.get(match[1], NO_SUCH), template)


@dataclass(slots=True)
class Universe:
    folder: Path
    home: ProductId
    foreign: ProductId
    tokens: dict[str, str] = field(default_factory=dict)
    requesters: dict[str, Bearer] = field(default_factory=dict)
    devices: dict[str, Thing] = field(default_factory=dict)
    values: dict[ProductId | None, dict[str, str]] = field(default_factory=dict)
    """Names of things in each product, and (None) of the account of the product's owner."""

    def places(self, template: str) -> Iterator[Place]:
        """Everything that a path can speak of: what is the home product's, what is a stranger's, what is not there."""
        names = set(FIELD.findall(template))
        unknown = {"product": "60000", "device": "f" * 24}
        products = {"home": self.home, "foreign": self.foreign, "unknown": None} if "product" in names else {"": None}
        devices = self.devices if "device" in names else {"": None}
        for label, product in products.items():
            for device_label, device in devices.items():
                values = {**unknown, **self.values.get(product, {})}
                if product is not None:
                    values["product"] = str(product)
                if device is not None:
                    values["device"] = device.id
                yield Place(f"{label} {device_label}".strip(), values, product, device)


def settings_in(folder: Path) -> Settings:
    return Settings(
        data=folder, http=ANY_PORT, tcp=ANY_PORT, udp=ANY_PORT, metrics=ANY_PORT, rate_limits="off", ping_timeout_s=0.05
    )


async def make(folder: Path, migrated_file: Path) -> Universe:
    folder.mkdir()
    shutil.copy(migrated_file, folder / "cloudchamber.db")
    async with Cloud(settings_in(folder)) as cloud:
        async with httpx.AsyncClient(base_url=f"http://{cloud.listening.http}", timeout=20) as http:
            return await _Maker(http, cloud, folder).make()


class _Maker:
    def __init__(self, http: httpx.AsyncClient, cloud: Cloud, folder: Path) -> None:
        self._http = http
        self._cloud = cloud
        self._folder = folder
        self._count = 0

    async def make(self) -> Universe:
        ann, eve = await self._user("ann"), await self._user("eve")
        home, foreign = await self._product(ann, "Home"), await self._product(eve, "Foreign")
        found = Universe(self._folder, home, foreign)
        shop, spare = await self._client(ann, home, "shop"), await self._client(ann, home, "spare")
        other = await self._client(eve, foreign, "other")
        lists = await self._client(ann, home, "lists", scope="devices:list clients:list products:list")
        makes = await self._client(ann, home, "makes", scope="customers:create")
        own = await self._client(ann, None, "own")
        found.tokens = {
            "a token that is not there": "0" * 40,
            "the owner of the product": ann,
            "an administrator": await self._member(home, "ed", Role.ADMINISTRATOR),
            "a developer": await self._member(home, "dora", Role.DEVELOPER),
            "support": await self._member(home, "sue", Role.SUPPORT),
            "a viewer": await self._member(home, "vic", Role.VIEW_ONLY),
            "a user with a device": await self._user("bob"),
            "the owner of another product": eve,
            "a customer": await self._customer(home, shop, "kim"),
            "another customer of the product": await self._customer(home, shop, "lee"),
            "a customer of another product": await self._customer(foreign, other, "max"),
            "the product's client": await self._acting(shop),
            "the client of another product": await self._acting(other),
            "a client limited to lists": await self._acting(lists),
            "a client that makes customers": await self._acting(makes),
            "a user's client": await self._acting(own),
        }
        found.requesters = await self._requesters(found.tokens)
        tokens = found.tokens
        found.devices = {
            "a customer's device": await self._device(found, ann, home, "a customer"),
            "another customer's device": await self._device(found, ann, home, "another customer of the product"),
            "a member's device": await self._device(found, ann, home, "the owner of the product"),
            "nobody's device": await self._device(found, ann, home, None),
            "a foreign device": await self._device(found, eve, foreign, "a customer of another product"),
            "a user's device": await self._free_device(found, tokens["a user with a device"], "a user with a device"),
            "an unknown device": Thing(DeviceId("f" * 24), None, None, exists=False),
        }
        found.values = {
            home: {"client": spare[0], "hook": await self._hook(f"/v1/products/{home}/integrations", ann)},
            foreign: {"client": other[0], "hook": await self._hook(f"/v1/products/{foreign}/integrations", eve)},
            None: {"client": own[0], "hook": await self._hook("/v1/integrations", ann)},
        }
        return found

    # -- people and programs --------------------------------------------------------------------------------------

    async def _user(self, name: str) -> str:
        sent = {"username": f"{name}@example.com", "password": PASSWORD}
        await self._ask("POST", "/v1/users", None, json=sent)
        form = {"grant_type": "password", **sent}
        return str(
            (await self._ask("POST", "/oauth/token", None, data=form, auth=("particle", "particle")))["access_token"]
        )

    async def _member(self, product: ProductId, name: str, role: Role) -> str:
        token = await self._user(name)
        user = await self._cloud.users.find(f"{name}@example.com")
        assert user is not None

        async def insert(tx: Any) -> None:
            await tx.execute(
                "INSERT INTO memberships (product_id, user_id, role, created_at) VALUES ($1, $2, $3, 1)",
                *(product, user.id, role.name),
            )

        await self._cloud.db.transaction(insert)
        return token

    async def _product(self, token: str, name: str) -> ProductId:
        sent = {"product": {"name": name, "platform_id": 6}}
        return ProductId((await self._ask("POST", "/v1/products", token, json=sent))["product"]["id"])

    async def _client(self, token: str, product: ProductId | None, name: str, **more: str) -> tuple[str, str]:
        path = "/v1/clients" if product is None else f"/v1/products/{product}/clients"
        made = await self._ask("POST", path, token, json={"name": name, "type": "installed", **more})
        return made["client"]["id"], made["client"]["secret"]

    async def _acting(self, client: tuple[str, str]) -> str:
        form = {"grant_type": "client_credentials"}
        return str((await self._ask("POST", "/oauth/token", None, data=form, auth=client))["access_token"])

    async def _customer(self, product: ProductId, client: tuple[str, str], name: str) -> str:
        sent = {"email": f"{name}@example.com", "no_password": "true"}
        made = await self._ask("POST", f"/v1/products/{product}/customers", None, data=sent, auth=client)
        return str(made["access_token"])

    async def _requesters(self, tokens: Mapping[str, str]) -> dict[str, Bearer]:
        service = Tokens(self._cloud.db, TokenStore(), ClientStore(), InProcessBus(), SystemClock(), None, 30)
        found = {}
        for kind in KINDS:
            if kind.of is not None:
                requester = await service.check(tokens[kind.name])
                assert isinstance(requester, kind.of)
                found[kind.name] = requester
        return found

    # -- things -----------------------------------------------------------------------------------------------------

    async def _device(self, found: Universe, token: str, product: ProductId, owner: str | None) -> Thing:
        self._count += 1
        device = DeviceId(f"{self._count:024x}")
        await self._ask("POST", f"/v1/products/{product}/devices", token, json={"id": device})
        if owner is None:
            return Thing(device, product, None)
        await self._ask("POST", "/v1/devices", found.tokens[owner], json={"id": device})
        return Thing(device, product, _owner(found.requesters[owner]))

    async def _free_device(self, found: Universe, token: str, owner: str) -> Thing:
        """In no product: whoever takes their own device out of a product keeps it."""
        product = await self._product(token, "Passing")
        made = await self._device(found, token, product, owner)
        await self._ask("DELETE", f"/v1/products/{product}/devices/{made.id}", token)
        return dataclasses.replace(made, product=None)

    async def _hook(self, path: str, token: str) -> str:
        return str((await self._ask("POST", path, token, json={"event": "e", "url": "http://127.0.0.1:1/"}))["id"])

    async def _ask(self, method: str, path: str, token: str | None, **more: Any) -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = await self._http.request(method, path, headers=headers, **more)
        assert answer.is_success, (method, path, answer.text)
        return answer.json() if answer.content else None


def _owner(requester: Bearer) -> Owner:
    match requester:
        case User(id=user):
            return OwnedByUser(user)
        case Customer(id=customer):
            return OwnedByCustomer(customer)
        case _:
            raise AssertionError("only users and customers own devices")
