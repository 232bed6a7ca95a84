"""Every row of the console: nobody in without a session, no form from elsewhere, no role beyond its rights."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from msgspec.structs import replace

from cloudchamber.access.model import Role
from cloudchamber.access.rules import MINIMUM_ROLE, ORGANIZATION_ROLE
from cloudchamber.api.auth import FORM
from cloudchamber.api.routes import Console, Route, Stream
from cloudchamber.console.frame import SIGN_IN
from cloudchamber.console.section import ORGANIZATION, PRODUCT
from cloudchamber.console.sections import ROUTES
from cloudchamber.testing import Cloud
from tests.pages.browser import Browser
from tests.whole.story import PASSWORD, Product, Story

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEVICE = "e00fce68c0ffee0123456789"
SINGLE = [replace(row, paths=(path,)) for row in ROUTES for path in row.paths]
GUARDED = [row for row in SINGLE if isinstance(row.access, Console)]
FORMS = [row for row in GUARDED if row.method == "POST"]
IN_A_TEAM = [row for row in GUARDED if row.paths[0].startswith((PRODUCT, ORGANIZATION))]


def name(row: Route) -> str:
    return f"{row.method} {row.paths[0]}"


def minimum(row: Route) -> Role:
    """The role that the row takes."""
    assert isinstance(row.access, Console)
    roles = ORGANIZATION_ROLE if row.paths[0].startswith(ORGANIZATION) else MINIMUM_ROLE
    return roles[row.access.action]


# Queries and forms that nobody can make sense of, and forms of another page.
BAD = (("page=x&name[x]=1", b"csrf=x&role[x]=1"), ("name=%FF", b"%FF"), ("a[b=1&a=1", b""))


@dataclass
class Scene:
    story: Story
    product: Product
    organization: str
    http: dict[str, httpx.AsyncClient]
    csrf: dict[str, str]

    def path(self, row: Route) -> str:
        values = {"product": str(self.product.id), "device": DEVICE, "organization": self.organization}
        return re.sub(r"{(\w+)}", lambda found: values.get(found[1], "nothing"), row.paths[0])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with Cloud(rate_limits="off", ping_timeout_s=0.1, function_timeout_s=0.1) as cloud, Story(cloud) as story:
        maker = await story.user("maker@example.com")
        product = await story.product(maker)
        await story.import_devices(product, [DEVICE])
        await story.user("viewer@example.com")
        await story.user("stranger@example.com")
        wanted = {"username": "viewer@example.com", "role": "View-only"}
        await story.ok("POST", f"/v1/products/{product.id}/team", maker, json=wanted)
        organization = (await story.ok("POST", "/v1/orgs", maker, json={"name": "Lamp makers"}))["organization"]["slug"]
        await story.ok("POST", f"/v1/orgs/{organization}/team", maker, json=wanted)
        made = Scene(story, product, organization, {}, {})
        for who in ("maker", "viewer", "stranger"):
            async with Browser(cloud.url) as browser:
                page = await browser.get(SIGN_IN)
                page = await browser.submit(page, username=f"{who}@example.com", password=PASSWORD)
                assert page.heading == "Products", page.text
                made.http[who] = httpx.AsyncClient(base_url=cloud.url, cookies=browser.http.cookies, timeout=20)
                made.csrf[who] = browser.http.cookies["cc_form"]
        made.http["nobody"] = httpx.AsyncClient(base_url=cloud.url, timeout=20)
        yield made
        for client in made.http.values():
            await client.aclose()


async def badly(scene: Scene, who: str, row: Route) -> list[tuple[int, str]]:
    """What somebody is answered who asks with what is wrong."""
    found = []
    for query, form in BAD:
        sent = {"content": form, "headers": {"content-type": FORM}} if row.method == "POST" else {}
        answer = await scene.http[who].request(row.method, f"{scene.path(row)}?{query}", **sent)
        found.append((answer.status_code, answer.text))
    return found


@pytest.mark.parametrize("row", GUARDED, ids=name)
async def test_nobody_is_sent_to_sign_in(row: Route, scene: Scene) -> None:
    answer = await scene.http["nobody"].request(row.method, scene.path(row))
    if isinstance((row.answer or {}).get(200), Stream):
        assert answer.status_code == 204
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(f"{SIGN_IN}?to=%2Fconsole")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("row", FORMS, ids=name)
async def test_a_form_from_elsewhere_does_nothing(row: Route, scene: Scene) -> None:
    for data, headers in (
        ({}, {}),
        ({"csrf": "wrong"}, {}),
        ({"csrf": scene.csrf["maker"]}, {"Origin": "https://elsewhere.example"}),
        ({"csrf": scene.csrf["maker"]}, {"Sec-Fetch-Site": "cross-site"}),
    ):
        answer = await scene.http["maker"].post(scene.path(row), data=data, headers=headers)
        assert answer.status_code == 403, (data, headers)
        assert "open too long" in answer.text


@pytest.mark.parametrize("row", IN_A_TEAM, ids=name)
async def test_whoever_is_not_in_the_team_finds_nothing(row: Route, scene: Scene) -> None:
    data = {"csrf": scene.csrf["stranger"]} if row.method == "POST" else None
    answer = await scene.http["stranger"].request(row.method, scene.path(row), data=data)
    is_stream = isinstance((row.answer or {}).get(200), Stream)
    assert answer.status_code == (204 if is_stream else 404)
    assert "Lamp" not in answer.text
    assert await badly(scene, "stranger", row) == [(answer.status_code, answer.text)] * len(BAD)


@pytest.mark.parametrize("row", [row for row in IN_A_TEAM if minimum(row) is not Role.VIEW_ONLY], ids=name)
async def test_a_role_goes_as_far_as_it_does_in_the_api(row: Route, scene: Scene) -> None:
    data = {"csrf": scene.csrf["viewer"]} if row.method == "POST" else None
    answer = await scene.http["viewer"].request(row.method, scene.path(row), data=data)
    assert answer.status_code == 403
    assert "role" in answer.text
    assert await badly(scene, "viewer", row) == [(403, answer.text)] * len(BAD)


async def test_every_page_has_the_policy_of_hosted_pages(scene: Scene) -> None:
    answer = await scene.http["viewer"].get("/console")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script>|<script [^s]|\son\w+=|\sstyle=|<style", answer.text)
    for cookie in scene.http["viewer"].cookies.jar:
        assert cookie.has_nonstandard_attr("HttpOnly")


async def test_the_sign_in_leads_to_no_other_place(scene: Scene) -> None:
    for to in (
        "https://evil.example/",
        "//evil.example",
        "/console/../oauth",
        "/console/%2e%2E/oauth",
        "/\\evil",
        "/consolevil",
        "/v1/user",
        "",
    ):
        answer = await scene.http["viewer"].get(SIGN_IN, params={"to": to})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/console", to
    deep = "/console/products/1?x=1"
    answer = await scene.http["viewer"].get(SIGN_IN, params={"to": deep})
    assert answer.headers["location"] == deep


async def test_a_customer_does_not_get_in(scene: Scene) -> None:
    """Customers' sessions are those of their product's realm, in cookies of other names."""
    cookies = dict(scene.http["viewer"].cookies.items())
    secret = cookies.pop("cc_session_users")
    cookies[f"cc_session_p{scene.product.id}"] = secret
    async with httpx.AsyncClient(base_url=str(scene.http["nobody"].base_url), cookies=cookies) as http:
        answer = await http.get("/console")
    assert answer.status_code == 303
