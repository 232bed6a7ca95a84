"""What goes wrong below the console is a page in its look, whoever asks; nobody learns from it what there is."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from cloudchamber.console import home
from cloudchamber.console.frame import SIGN_IN
from cloudchamber.testing import Cloud
from tests.pages.browser import Browser
from tests.whole.story import PASSWORD, Story

pytestmark = pytest.mark.asyncio(loop_scope="module")
MAKER, STRANGER = "maker@example.com", "stranger@example.com"


@dataclass
class Scene:
    url: str
    product: int
    personal: str
    """The slug of the maker's personal organization."""
    http: dict[str, httpx.AsyncClient]
    csrf: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with Cloud(rate_limits="off") as cloud, Story(cloud) as story:
        maker = await story.user(MAKER)
        product = await story.product(maker, "Lamp")
        personal = (await story.ok("GET", f"/v1/products/{product.id}", maker))["product"]["organization"]
        await story.user(STRANGER)
        made = Scene(cloud.url, product.id, personal, {}, {})
        for who in (MAKER, STRANGER):
            async with Browser(cloud.url) as browser:
                await browser.submit(await browser.get(SIGN_IN), username=who, password=PASSWORD)
                made.http[who] = httpx.AsyncClient(base_url=cloud.url, cookies=browser.http.cookies, timeout=20)
                made.csrf[who] = browser.http.cookies["cc_form"]
        made.http["nobody"] = httpx.AsyncClient(base_url=cloud.url, timeout=20)
        yield made
        for client in made.http.values():
            await client.aclose()


def check_page(answer: httpx.Response, status: int, heading: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    assert f"<h1>{heading}</h1>" in answer.text
    assert "console.css" in answer.text
    assert 'href="/console"' in answer.text


@pytest.mark.parametrize("who", [MAKER, "nobody"])
@pytest.mark.parametrize("path", ["/console/nothing", "/console/products/1/nothing/here", "/console/static/no.css"])
async def test_what_is_not_there_is_a_page(scene: Scene, who: str, path: str) -> None:
    answer = await scene.http[who].get(path)
    check_page(answer, 404, "Nothing is here")
    assert ("Sign out" in answer.text) is (who == MAKER)
    assert (MAKER in answer.text) is (who == MAKER)


async def test_only_the_console_answers_with_pages(scene: Scene) -> None:
    for path in ("/consoles", "/v1/nothing", "/nothing"):
        answer = await scene.http[MAKER].get(path)
        assert answer.json() == {"ok": False, "error": "Not found"}, path


async def test_a_product_of_others_is_as_one_that_is_not_there(scene: Scene) -> None:
    """Byte by byte, but for the address in it."""
    found = {}
    for path in (f"/console/products/{scene.product}", "/console/products/54321", "/console/products/nothing"):
        answer = await scene.http[STRANGER].get(path)
        check_page(answer, 404, "Nothing is here")
        found[path] = answer.text.replace(path, "")
    assert len(set(found.values())) == 1
    for path in found:
        answer = await scene.http["nobody"].get(path)
        assert answer.status_code == 303


async def test_a_personal_organization_is_no_page(scene: Scene) -> None:
    assert len(scene.personal) > 10, "it has one"
    for which in (scene.personal, "nothing"):
        for path in ("", "/team", "/settings"):
            check_page(await scene.http[MAKER].get(f"/console/orgs/{which}{path}"), 404, "Nothing is here")


@pytest.mark.parametrize("who", [MAKER, "nobody"])
async def test_the_wrong_method(scene: Scene, who: str) -> None:
    form = f"/console/products/{scene.product}/team/invite"
    answer = await scene.http[who].get(form)
    check_page(answer, 405, "This is no page to look at")
    assert "POST" in answer.headers["allow"]
    # From a form's address one gets to the page on which it stands.
    assert (f'href="/console/products/{scene.product}/team">Load' in answer.text) is (who == MAKER)
    check_page(await scene.http[who].delete("/console"), 405, "This is no page to look at")


async def test_a_form_that_expired_leads_back_to_its_page(scene: Scene) -> None:
    for form, page in (
        (f"/console/products/{scene.product}/settings", f"/console/products/{scene.product}/settings"),
        (f"/console/products/{scene.product}/team/invite", f"/console/products/{scene.product}/team"),
    ):
        answer = await scene.http[MAKER].post(form, data={"csrf": "old"})
        check_page(answer, 403, "That form is too old")
        assert f'<a href="{page}">Load the page again</a>' in answer.text
    answer = await scene.http["nobody"].post(SIGN_IN, data={"csrf": "old"})
    check_page(answer, 403, "That form is too old")


async def test_the_forms_of_a_page_after_a_lost_cookie_count(scene: Scene) -> None:
    cookies = {name: value for name, value in scene.http[MAKER].cookies.items() if name != "cc_form"}
    async with httpx.AsyncClient(base_url=scene.url, cookies=cookies) as http:
        answer = await http.post("/console/theme", data={"csrf": scene.csrf[MAKER], "theme": "dark"})
        check_page(answer, 403, "That form is too old")
        csrf = re.search(r'name="csrf" value="([^"]+)"', answer.text)
        assert csrf is not None
        answer = await http.post("/console/theme", data={"csrf": csrf[1], "theme": "dark"})
        assert answer.status_code == 303


@pytest.mark.parametrize("who", [MAKER, "nobody"])
async def test_what_is_too_large(scene: Scene, who: str) -> None:
    path = "/console/theme" if who == MAKER else SIGN_IN
    answer = await scene.http[who].post(path, content=b"x" * 1_100_000)
    check_page(answer, 413, "That is too large")


@pytest.mark.parametrize("who", [MAKER, "nobody"])
async def test_what_cannot_be_read(scene: Scene, who: str) -> None:
    path = "/console" if who == MAKER else SIGN_IN
    check_page(await scene.http[who].get(f"{path}?q=%ff"), 400, "That did not work")


async def test_our_own_bug_is_a_page_with_a_number(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(home, "row", broken)
    answer = await scene.http[MAKER].get("/console")
    check_page(answer, 500, "That went wrong on our side")
    assert answer.headers["x-request-id"] in answer.text
    assert "a bug" not in answer.text
    # And where even the frame of the page fails.
    monkeypatch.setattr("cloudchamber.console.frame.Frame._switcher", broken)
    answer = await scene.http[MAKER].get("/console")
    check_page(answer, 500, "That went wrong on our side")
    assert MAKER not in answer.text


async def test_too_often_is_a_page() -> None:
    async with Cloud(rate_limits="on") as cloud, httpx.AsyncClient(base_url=cloud.url) as http:
        for _ in range(101):
            answer = await http.post(SIGN_IN, data={"username": "a", "password": "b"})
        check_page(answer, 429, "That was too often")
        assert int(answer.headers["retry-after"]) > 0
