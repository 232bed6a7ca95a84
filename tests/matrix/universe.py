"""The world in which everybody tries everything: two products of strangers, each with customers, devices and clients,
and one requester of each kind. It is made once, over the API, and copied for whoever is going to change it.

A new kind of requester is a line in `KINDS` and its token in `_tokens`; a new kind of thing in paths is a value in
`Place.values`. What is not there is filled with a name that nothing has, so that a new route is asked in any case.
"""

import asyncio
import base64
import dataclasses
import itertools
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner, Role
from cloudchamber.access.requester import ApiUser, Bearer, Customer, OrganizationClient, ProductClient, User
from cloudchamber.access.rules import MINIMUM_ROLE, ORGANIZATION_ROLE
from cloudchamber.app import Cloud
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import SystemClock
from cloudchamber.identity.totp import STEP_S, hotp
from cloudchamber.ids import DeviceId, OrganizationId, ProductId
from cloudchamber.oauth.store import ClientStore, TokenStore
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.organizations.model import TEAM_CHANGED, TeamChanged
from cloudchamber.settings import Address, Settings
from cloudchamber.wire.update.module import build_module
from tests.matrix.living import NAME, living

ANY_PORT: Final = Address("127.0.0.1", 0)
PASSWORD: Final = "correct horse"
NO_SUCH: Final = "no-such"
SERIAL: Final = "MATRIX00000001"
# Whoever has the hardware in their hands may send its key before anybody else has heard of it.
HARDWARE: Final = "c" * 24
# What everybody can name: it is nobody's, or found whoever's it is.
COMMON: Final = {"serial": SERIAL, "hardware": HARDWARE, "name": NAME, "algorithm": "rsa"}
HOOK: Final = {"event": "e", "url": "http://127.0.0.1:1/"}
PUBLIC_KEY: Final = (
    generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
)
# What the least of a request would not do, by handler.
BODIES: Final[dict[str, dict[str, Any]]] = {
    "customers.create": {"email": "new@example.com", "no_password": True},
    "devices.update_own": {"name": "renamed"},
    "firmware.release": {"version": 1, "product_default": True},
    "keys.provision": {"deviceID": HARDWARE, "publicKey": PUBLIC_KEY.decode(), "algorithm": "ecc"},
    "product_devices.update": {"name": "renamed"},
    "users.delete": {"password": PASSWORD},
    "users.disable_mfa": {"current_password": PASSWORD},
    "users.new_recovery_codes": {"current_password": PASSWORD},
    "users.remove_mfa": {"current_password": PASSWORD},
    "users.update": {"account_info": {"first_name": "Ann"}},
    "webhooks.create": HOOK,
    "webhooks.replace_integration": HOOK,
    "webhooks.replace_webhook": HOOK,
}
FIELD: Final = re.compile(r"{(\w+)(?::path)?}")


@dataclass(frozen=True, slots=True)
class Kind:
    """Who asks. `role` is what they are in the home product, by its team or its organization's, and `elsewhere` in the
    foreign one; `by_organization`: they are it in the organization itself, and not only in its product."""

    name: str
    of: type | None
    role: Role | None = None
    elsewhere: Role | None = None
    by_organization: bool = False

    def role_in(self, place: ProductId | OrganizationId, home: ProductId | OrganizationId) -> Role | None:
        """`home` is the home product, or its organization, as `place` is one or the other."""
        if isinstance(place, str) and not self.by_organization:
            return None
        return self.role if place == home else self.elsewhere


KINDS: Final = (
    Kind("nobody", None),
    Kind("a token that is not there", None),
    Kind("the owner of the product", User, Role.OWNER, by_organization=True),
    Kind("an administrator", User, Role.ADMINISTRATOR),
    Kind("a developer", User, Role.DEVELOPER),
    Kind("support", User, Role.SUPPORT),
    Kind("a viewer", User, Role.VIEW_ONLY),
    Kind("an organization's administrator", User, Role.ADMINISTRATOR, by_organization=True),
    Kind("an organization's developer", User, Role.DEVELOPER, by_organization=True),
    Kind("an organization's viewer", User, Role.VIEW_ONLY, by_organization=True),
    Kind("a user with a device", User),
    Kind("the owner of another product", User, None, Role.OWNER, by_organization=True),
    Kind("a customer", Customer),
    Kind("another customer of the product", Customer),
    Kind("a customer of another product", Customer),
    Kind("a customer of the organization", Customer),
    Kind("a customer of another organization", Customer),
    Kind("the product's client", ProductClient),
    Kind("the client of another product", ProductClient),
    Kind("a client limited to lists", ProductClient),
    Kind("a client that makes customers", ProductClient),
    Kind("the organization's client", OrganizationClient),
    Kind("the client of another organization", OrganizationClient),
    Kind("a user's client", User, Role.OWNER, by_organization=True),
    Kind("an API user of the product", ApiUser),
    Kind("an API user of the organization", ApiUser),
    Kind("an API user of another organization", ApiUser),
    Kind("an API user limited to lists", ApiUser),
)
# All that an API user can be given.
EVERY_SCOPE: Final = sorted(
    action.value
    for table in (MINIMUM_ROLE, ORGANIZATION_ROLE)
    for action, minimum in table.items()
    if minimum <= Role.ADMINISTRATOR
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
    organization: OrganizationId | None = None

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
    organizations: dict[ProductId, OrganizationId] = field(default_factory=dict)
    """Of the home product and of the foreign one."""
    values: dict[ProductId | OrganizationId | None, dict[str, str]] = field(default_factory=dict)
    """Names of things in each product, in each organization, and (None) of the account of the product's owner."""

    def body(self, handler: str) -> dict[str, Any] | None:
        """A request that does something, where the least that can be sent would not."""
        if handler == "product_devices.update_many":
            return {"action": "groups", "devices": [self.living.id], "metadata": {"add": ["spare"]}}
        if handler == "devices.claim":
            return {"id": self.devices["nobody's device"].id}
        return BODIES.get(handler)

    @property
    def living(self) -> Thing:
        """The one device that is connected, and answers (living.py)."""
        return self.devices["a customer's device"]

    def places(self, template: str) -> Iterator[Place]:
        """Everything that a path can speak of: what is the home product's, what is a stranger's, what is not there."""
        names = set(FIELD.findall(template))
        unknown = {"product": "60000", "device": "f" * 24}
        products = {"home": self.home, "foreign": self.foreign, "unknown": None} if "product" in names else {"": None}
        devices = self.devices if "device" in names else {"": None}
        organizations: dict[str, OrganizationId | None] = {"": None}
        if "organization" in names:
            home, foreign = self.organizations[self.home], self.organizations[self.foreign]
            organizations = {"below home": home, "below foreign": foreign, "below unknown": None}
        for (above, organization), (label, product), (device_label, device) in itertools.product(
            organizations.items(), products.items(), devices.items()
        ):
            is_elsewhere = product is not None and organization not in (None, self.organizations[product])
            if (is_elsewhere or above == "below unknown") and device_label not in ("", "a customer's device"):
                continue  # where not even the product is found, one device is as good as all
            values = {**unknown, **COMMON, **self.values.get(product or organization, {})}
            if organization is not None:
                values["organization"] = organization
            if product is not None:
                values["product"] = str(product)
            if device is not None:
                values["device"] = device.id
            where = " ".join(filter(None, (above, label, device_label)))
            yield Place(where, values, product, device, organization)


def device_keys(folder: Path) -> Path:
    """Beside every copy, where `cloudchamber.testing` has them as well: the device's key is on record."""
    return folder.parent / "device-keys"


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
        at_home, elsewhere = await self._organization(ann, "Home Corp"), await self._organization(eve, "Foreign Corp")
        home = await self._product(ann, "Home", at_home)
        foreign = await self._product(eve, "Foreign", elsewhere)
        found = Universe(self._folder, home, foreign, organizations={home: at_home, foreign: elsewhere})
        shop, spare = await self._client(ann, home, "shop"), await self._client(ann, home, "spare")
        other = await self._client(eve, foreign, "other")
        lists = await self._client(ann, home, "lists", scope="devices:list clients:list products:list")
        makes = await self._client(ann, home, "makes", scope="customers:create")
        own = await self._client(ann, None, "own")
        corporate, other_corporate = (
            await self._client(ann, at_home, "corp"),
            await self._client(eve, elsewhere, "corp"),
        )
        spare_corporate = await self._client(ann, at_home, "spare corp")
        guest = await self._member(home, "guest", Role.VIEW_ONLY)
        await self._join(at_home, "guest", Role.VIEW_ONLY)
        found.tokens = {
            "a token that is not there": "0" * 40,
            "the owner of the product": ann,
            "an administrator": await self._member(home, "ed", Role.ADMINISTRATOR),
            "a developer": await self._member(home, "dora", Role.DEVELOPER),
            "support": await self._member(home, "sue", Role.SUPPORT),
            "a viewer": await self._member(home, "vic", Role.VIEW_ONLY),
            "an organization's administrator": await self._member(at_home, "oda", Role.ADMINISTRATOR),
            "an organization's developer": await self._member(at_home, "odd", Role.DEVELOPER),
            "an organization's viewer": await self._member(at_home, "ovi", Role.VIEW_ONLY),
            "a user with a device": await self._user("bob"),
            "the owner of another product": eve,
            "a customer": await self._customer(home, shop, "kim"),
            "another customer of the product": await self._customer(home, shop, "lee"),
            "a customer of another product": await self._customer(foreign, other, "max"),
            "a customer of the organization": await self._customer(at_home, corporate, "pam"),
            "a customer of another organization": await self._customer(elsewhere, other_corporate, "pat"),
            "the product's client": await self._acting(shop),
            "the client of another product": await self._acting(other),
            "a client limited to lists": await self._acting(lists),
            "a client that makes customers": await self._acting(makes),
            "the organization's client": await self._acting(corporate),
            "the client of another organization": await self._acting(other_corporate),
            "a user's client": await self._acting(own),
            "an API user of the product": await self._api_user(ann, home, EVERY_SCOPE),
            "an API user of the organization": await self._api_user(ann, at_home, EVERY_SCOPE),
            "an API user of another organization": await self._api_user(eve, elsewhere, EVERY_SCOPE),
            "an API user limited to lists": await self._api_user(ann, home, ["devices:list", "teams.users:list"]),
        }
        found.requesters = await self._requesters(found.tokens)
        tokens = found.tokens
        found.devices = {
            "a customer's device": await self._device(found, ann, home, "a customer"),
            "an organization's customer's device": await self._device(
                found, ann, home, "a customer of the organization"
            ),
            "another customer's device": await self._device(found, ann, home, "another customer of the product"),
            "a member's device": await self._device(found, ann, home, "the owner of the product"),
            "nobody's device": await self._device(found, ann, home, None),
            "a foreign device": await self._device(found, eve, foreign, "a customer of another product"),
            "a user's device": await self._free_device(found, tokens["a user with a device"], "a user with a device"),
            "an unknown device": Thing(DeviceId("f" * 24), None, None, exists=False),
        }
        await self._live(ann, home, found.living.id)
        found.values = {
            at_home: {
                "client": spare_corporate[0],
                "username": "guest@example.com",
                "customer": await self._spare_customer(at_home, spare_corporate),
                "hook": await self._hook(f"/v1/orgs/{at_home}/integrations", ann),
            },
            elsewhere: {
                "client": other_corporate[0],
                "username": "eve@example.com",
                "customer": await self._spare_customer(elsewhere, other_corporate),
                "hook": await self._hook(f"/v1/orgs/{elsewhere}/integrations", eve),
            },
            home: {"client": spare[0], "username": "guest@example.com", **await self._things(home, ann, spare)},
            foreign: {"client": other[0], "username": "eve@example.com", **await self._things(foreign, eve, other)},
            None: {
                "client": own[0],
                "hook": await self._hook("/v1/integrations", ann),
                "factor": await self._factor(ann),
                "transfer": await self._transfer(guest, found.devices["a member's device"].id),
            },
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

    async def _member(self, place: ProductId | OrganizationId, name: str, role: Role) -> str:
        token = await self._user(name)
        await self._join(place, name, role)
        return token

    async def _join(self, place: ProductId | OrganizationId, name: str, role: Role) -> None:
        user = await self._cloud.users.find(f"{name}@example.com")
        assert user is not None
        table, column = (
            ("memberships", "product_id")
            if isinstance(place, int)
            else (
                "organization_memberships",
                "organization_id",
            )
        )

        async def insert(tx: Any) -> None:
            await tx.execute(
                f"INSERT INTO {table} ({column}, user_id, role, created_at) VALUES ($1, $2, $3, 1)",  # noqa: S608
                *(place, user.id, role.name),
            )

        await self._cloud.db.transaction(insert)
        changed = TeamChanged(product=place) if isinstance(place, int) else TeamChanged(organization=place)
        self._cloud._bus.publish(TEAM_CHANGED, changed)

    async def _organization(self, token: str, name: str) -> OrganizationId:
        made = await self._ask("POST", "/v1/orgs", token, json={"name": name})
        return OrganizationId(made["organization"]["id"])

    async def _product(self, token: str, name: str, organization: OrganizationId | None = None) -> ProductId:
        sent = {"product": {"name": name, "platform_id": 6}}
        path = "/v1/products" if organization is None else f"/v1/orgs/{organization}/products"
        return ProductId((await self._ask("POST", path, token, json=sent))["product"]["id"])

    async def _client(
        self, token: str, place: ProductId | OrganizationId | None, name: str, **more: str
    ) -> tuple[str, str]:
        path = "/v1/clients" if place is None else f"{_path(place)}/clients"
        made = await self._ask("POST", path, token, json={"name": name, "type": "installed", **more})
        return made["client"]["id"], made["client"]["secret"]

    async def _api_user(self, token: str, place: ProductId | OrganizationId, scopes: list[str]) -> str:
        made = await self._ask("POST", f"{_path(place)}/team", token, json={"friendly_name": "robot", "scopes": scopes})
        return str(made["created"]["tokens"][0]["token"])

    async def _acting(self, client: tuple[str, str]) -> str:
        form = {"grant_type": "client_credentials"}
        return str((await self._ask("POST", "/oauth/token", None, data=form, auth=client))["access_token"])

    async def _customer(self, place: ProductId | OrganizationId, client: tuple[str, str], name: str) -> str:
        sent = {"email": f"{name}@example.com", "no_password": "true"}
        made = await self._ask("POST", f"{_path(place)}/customers", None, data=sent, auth=client)
        return str(made["access_token"])

    async def _requesters(self, tokens: Mapping[str, str]) -> dict[str, Bearer]:
        service = Tokens(self._cloud.db, TokenStore(), ClientStore(), InProcessBus(), SystemClock(), None, 30, b"")
        found = {}
        for kind in KINDS:
            if kind.of is not None:
                requester = await service.check(tokens[kind.name])
                assert isinstance(requester, kind.of)
                found[kind.name] = requester
        return found

    # -- things -----------------------------------------------------------------------------------------------------

    async def _things(self, product: ProductId, token: str, client: tuple[str, str]) -> dict[str, str]:
        """One of each kind that a product has, for whoever wants to change it or take it away."""
        await self._ask("POST", f"/v1/products/{product}/groups", token, json={"name": "spare"})
        binary = build_module(b"a program", platform_id=6, product_id=product, product_version=1)
        files = {"binary": ("one.bin", binary)}
        await self._ask("POST", f"/v1/products/{product}/firmware", token, data={"version": "1"}, files=files)
        return {
            "group": "spare",
            "version": "1",
            "hook": await self._hook(f"/v1/products/{product}/integrations", token),
            "customer": await self._spare_customer(product, client),
            "token": await self._listed_token(product, token, client),
        }

    async def _listed_token(self, product: ProductId, token: str, client: tuple[str, str]) -> str:
        """What the product's list calls a token that nobody of the universe uses."""
        path = f"/v1/products/{product}/access_tokens"
        before = {each["token"] for each in (await self._ask("GET", path, token))["access_tokens"]}
        await self._acting(client)
        after = {each["token"] for each in (await self._ask("GET", path, token))["access_tokens"]}
        (made,) = after - before
        return str(made)

    async def _live(self, token: str, product: ProductId, device: DeviceId) -> None:
        """It was printed on, connected, told how it is and where, and ran the product's firmware."""
        path = f"/v1/products/{product}/devices/{device}"
        await self._ask("PUT", path, token, json={"serial_number": SERIAL})
        about = f"/v1/products/{product}/diagnostics/{device}"
        async with living(self._cloud, self._folder, device, product, device_keys(self._folder)) as alive:
            await self._ask("POST", f"{about}/update", token)
            assert alive.publish("loc", '{"cmd":"loc","loc":{"lck":1,"lat":48.1,"lon":11.5}}')
            async with asyncio.timeout(10):
                for asked in (f"{about}/last", f"/v1/products/{product}/locations/{device}"):
                    while not (await self._http.get(asked, headers={"Authorization": f"Bearer {token}"})).is_success:
                        await asyncio.sleep(0.02)

    async def _spare_customer(self, place: ProductId | OrganizationId, client: tuple[str, str]) -> str:
        self._count += 1
        await self._customer(place, client, f"spare{self._count}")
        return f"spare{self._count}@example.com"

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

    async def _factor(self, token: str) -> str:
        begun = await self._ask("GET", "/v1/user/mfa-enable", token)
        code = hotp(base64.b32decode(begun["secret"]), int(time.time()) // STEP_S)
        await self._ask("POST", "/v1/user/mfa-enable", token, json={"mfa_token": begun["mfa_token"], "otp": code})
        return str((await self._ask("GET", "/v1/user/mfa", token))["factors"][0]["id"])

    async def _transfer(self, token: str, device: DeviceId) -> str:
        """Somebody who is no kind of requester asks for the device."""
        await self._ask("POST", "/v1/devices", token, json={"id": device, "request_transfer": True})
        return str((await self._ask("GET", "/v1/transfers", token))["transfers"][0]["id"])

    async def _hook(self, path: str, token: str) -> str:
        return str((await self._ask("POST", path, token, json={"event": "e", "url": "http://127.0.0.1:1/"}))["id"])

    async def _ask(self, method: str, path: str, token: str | None, **more: Any) -> Any:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = await self._http.request(method, path, headers=headers, **more)
        assert answer.is_success, (method, path, answer.text)
        return answer.json() if answer.content else None


def _path(place: ProductId | OrganizationId) -> str:
    return f"/v1/products/{place}" if isinstance(place, int) else f"/v1/orgs/{place}"


def _owner(requester: Bearer) -> Owner:
    match requester:
        case User(id=user):
            return OwnedByUser(user)
        case Customer(id=customer):
            return OwnedByCustomer(customer)
        case _:
            raise AssertionError("only users and customers own devices")
