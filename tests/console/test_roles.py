"""Whatever a page offers to somebody, they may do: every link, every form and every stream of every page that a member
of a team gets to, by each role. And what it offers to others only, the server refuses (the rest is in test_guard)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest
import pytest_asyncio

from cloudchamber.access.model import Role
from cloudchamber.console.frame import SIGN_IN
from cloudchamber.simulator.firmware import as_module
from cloudchamber.testing import Cloud
from tests.console.pages import Offered, Sending
from tests.pages.browser import Browser
from tests.whole.story import PASSWORD, Story

pytestmark = pytest.mark.asyncio(loop_scope="module")
MAKER = "maker@example.com"
TEAM = [("product", "View-only"), *(("organization", role.title) for role in Role)]
# What takes the ground from under what comes after it, in this order.
ENDS = ("/edit", "/revoke", "/release", "/unclaim", "/deny", "/remove", "/owner", "/end", "/end-all", "/sign-out")
PLAUSIBLE = {
    "username": "new@example.com",
    "password": "another good password",
    "ids": "ab" * 12,
    "event": "soil",
    "url": "https://example.com/soil",
    "redirect_uri": "https://example.com/back",
    "version": "2",
    "groups": "field",
    "page": "1",
}


@dataclass
class Place:
    """A product of an organization with something of everything in it, its own for each member who is tried."""

    product: str
    organization: str
    binary: bytes


class World:
    def __init__(self, cloud: Cloud, story: Story, maker: str) -> None:
        self.cloud = cloud
        self.story = story
        self.maker = maker
        self._made = 0

    async def place(self, invited: str, where: str, role: str) -> Place:
        self._made += 1
        story, maker, number = self.story, self.maker, self._made
        wanted = {"name": f"Makers {number}"}
        slug = (await story.ok("POST", "/v1/orgs", maker, json=wanted))["organization"]["slug"]
        described = {"product": {"name": f"Lamp {number}", "description": "", "platform_id": 6}}
        product = (await story.ok("POST", f"/v1/orgs/{slug}/products", maker, json=described))["product"]["id"]
        base = f"/v1/products/{product}"
        online, denied, waiting = (f"{number:02x}{each:022x}" for each in (1, 2, 3))
        await story.ok("POST", f"{base}/devices", maker, json={"ids": [online, denied]})
        await self.cloud.start_device(online, product_id=product)
        await self.cloud.start_device(waiting, product_id=product)
        await story.ok("DELETE", f"{base}/devices/{denied}", maker, json={"deny": True})
        binary = as_module("counter", platform_id=6, product_id=product, product_version=1)
        upload = {"data": {"version": "1", "title": "First"}, "files": {"binary": ("lamp.bin", binary)}}
        await story.ok("POST", f"{base}/firmware", maker, **upload)
        for owner in (base, f"/v1/orgs/{slug}"):
            form = {"name": "server", "type": "installed"}
            client = (await story.ok("POST", f"{owner}/clients", maker, data=form))["client"]
            pair = (client["id"], client["secret"])
            person = {"email": f"jane{number}@{owner.count('products')}.example.com", "password": PASSWORD}
            made = await story.ok("POST", f"{owner}/customers", data=person, auth=pair)
            hook = {"event": "soil", "url": f"{self.cloud.url}/v1/nothing"}
            await story.ok("POST", f"{owner}/integrations", maker, json={"integration_type": "Webhook", **hook})
            await story.ok("POST", f"{owner}/team", maker, json={"username": "waits@example.com", "role": "Support"})
            robot = {"friendly_name": "robot", "scopes": ["devices:list"]}
            await story.ok("POST", f"{owner}/team", maker, json=robot)
            if owner == base:
                await story.ok("POST", "/v1/devices", made["access_token"], data={"id": online})
        if role == Role.OWNER.title:
            team = f"/v1/orgs/{slug}/team"
            await story.ok("POST", team, maker, json={"username": invited, "role": "Developer"})
            await story.ok("PUT", f"{team}/{invited}", maker, json={"role": role})
        else:
            team = f"/v1/orgs/{slug}/team" if where == "organization" else f"{base}/team"
            await story.ok("POST", team, maker, json={"username": invited, "role": role})
        return Place(str(product), slug, binary)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    settings = {"webhook_private_targets": True, "ping_timeout_s": 0.2, "function_timeout_s": 0.2}
    async with Cloud(rate_limits="off", **settings) as cloud, Story(cloud) as story:
        yield World(cloud, story, await story.user(MAKER))


@dataclass
class Member:
    """Somebody at the console, and what was offered to them."""

    http: httpx.AsyncClient
    place: Place
    pages: dict[str, str] = field(default_factory=dict)
    forms: dict[Sending, str] = field(default_factory=dict)
    """By what is sent: the page on which it stands."""
    streams: set[str] = field(default_factory=set)

    @classmethod
    async def signed_in(cls, url: str, name: str, place: Place) -> "Member":
        async with Browser(url) as browser:
            page = await browser.submit(await browser.get(SIGN_IN), username=name, password=PASSWORD)
            assert page.heading == "Products", page.text
            return cls(httpx.AsyncClient(base_url=url, cookies=browser.http.cookies, timeout=20), place)

    async def look_around(self) -> None:
        """Follows every link, from the first page on."""
        waiting = ["/console"]
        while waiting:
            path = waiting.pop()
            answer = await self.http.get(path)
            assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
            offered = Offered(answer.text, PLAUSIBLE | {"firmware": "2"})
            self.pages[path] = answer.text
            for sending in offered.forms:
                # The frame's are on every page.
                if path == "/console" or sending.action not in {"/console/theme", "/console/sign-out"}:
                    self.forms.setdefault(sending, path)
            self.streams |= set(offered.streams)
            for link in offered.links:
                target = urlsplit(urldefrag(urljoin(str(answer.url), link)).url)
                # A list sorted otherwise is the same page.
                if self._is_here(target.path) and target.path not in {*self.pages, *waiting}:
                    waiting.append(target.path)

    def _is_here(self, path: str) -> bool:
        """The console; of its products and organizations this place's alone."""
        console, kind, which = (*path.split("/")[1:], "", "")[:3]
        mine = {"products": self.place.product, "orgs": self.place.organization}
        return console == "console" and which in {"", mine.get(kind, which)}

    async def send(self, sending: Sending) -> httpx.Response:
        if sending.method == "GET":
            return await self.http.get(sending.action, params=list(sending.fields))
        data: dict[str, list[str]] = {}
        for name, value in sending.fields:
            data.setdefault(name, []).append(value)
        files = dict.fromkeys(sending.files, ("lamp.bin", self.place.binary)) or None
        return await self.http.post(sending.action, data=data, files=files)

    @property
    def csrf(self) -> str:
        return self.http.cookies["cc_form"]


def order(sending: Sending) -> tuple[int, str]:
    ends = next((number for number, end in enumerate(ENDS, 1) if sending.action.endswith(end)), 0)
    return ends, sending.action


@pytest.mark.parametrize(("where", "role"), TEAM)
async def test_what_is_offered_is_not_refused(world: World, where: str, role: str) -> None:
    name = f"{role}-{where}@example.com".lower()
    await world.story.user(name)
    place = await world.place(name, where, role)
    member = await Member.signed_in(world.cloud.url, name, place)
    async with member.http:
        await member.look_around()
        # It was there to be tried at all.
        product = f"/console/products/{place.product}"
        assert {product, f"{product}/devices", f"{product}/customers", f"{product}/team"} <= set(member.pages)
        assert (f"/console/orgs/{place.organization}/team" in member.pages) is (where == "organization")
        for stream in member.streams:
            async with member.http.stream("GET", stream) as answer:
                assert answer.status_code == 200, stream
        for sending in sorted(member.forms, key=order):
            answer = await member.send(sending)
            what = f"{sending} on {member.forms[sending]}: {answer.status_code} {answer.text}"
            assert answer.status_code in {200, 303, 400, 404, 408, 409}, what
            if order(sending)[0] == 0:
                assert answer.status_code != 404, what
    if role in {"Owner", "Administrator"}:
        actions = {sending.action.rpartition("/")[2] for sending in member.forms}
        assert {"invite", "remove", "edit", "call", "read", "deny", "approve", "release", "upload"} <= actions


async def test_what_is_offered_to_others_alone_is_refused(world: World) -> None:
    """Every form that an owner has and somebody who only looks on has not."""
    await world.story.user("looks-on@example.com")
    place = await world.place("looks-on@example.com", "organization", "View-only")
    owner = await Member.signed_in(world.cloud.url, MAKER, place)
    other = await Member.signed_in(world.cloud.url, "looks-on@example.com", place)
    async with owner.http, other.http:
        await owner.look_around()
        await other.look_around()
        theirs = {(sending.method, sending.action) for sending in other.forms}
        here = (f"/console/products/{place.product}", f"/console/orgs/{place.organization}")
        refused = 0
        for sending in owner.forms:
            if (sending.method, sending.action) in theirs or not sending.action.startswith(here):
                continue
            fields = tuple((name, other.csrf if name == "csrf" else value) for name, value in sending.fields)
            answer = await other.send(Sending(sending.method, sending.action, fields, sending.files))
            assert answer.status_code == 403, f"{sending}: {answer.status_code}"
            refused += 1
        assert refused > 30
