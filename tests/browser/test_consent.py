"""Pages on which a person lets apps and devices in, and takes that back, in a real browser."""

from urllib.parse import urlsplit

from playwright.async_api import Page, expect

from tests.api.conftest import bearer
from tests.browser.conftest import check
from tests.pages.conftest import PASSWORD, Scene, scene, settings
from tests.pages.test_authorize import asking, redeem

__all__ = ["scene", "settings"]


async def test_an_app_and_a_device_are_let_in_and_shut_out(scene: Scene, page: Page) -> None:
    await page.route("https://app.example/**", lambda route: route.fulfill(content_type="text/html", body="back"))
    await page.goto(f"{scene.cloud.url}/setup?client_id={scene.web[0]}&screen=sign_up")
    await page.get_by_label("E-mail").fill("kim@example.com")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Make the account").click()
    await expect(page.get_by_role("heading", name="Devices", exact=True)).to_be_visible()

    await page.goto(scene.cloud.url + asking(scene.web[0]))
    await expect(page.get_by_role("heading", name="Allow Lamp Web?")).to_be_visible()
    await check(page, "consent")
    await page.get_by_role("button", name="Allow", exact=True).click()
    await page.wait_for_url("https://app.example/**")
    code = dict(pair.split("=", 1) for pair in urlsplit(page.url).query.split("&"))["code"]
    status, token = await redeem(scene, code)
    assert (status, token["token_type"]) == (200, "bearer")

    begun = await scene.http.post("/oauth/device_authorization", data={"client_id": scene.native[0]})
    await page.goto(f"{scene.cloud.url}/device")
    await check(page, "device-code")
    await page.get_by_role("textbox").fill("BCDF-GHJK")
    await page.get_by_role("button").first.click()
    await expect(page.get_by_role("alert")).to_be_visible()
    page.complaints.clear()  # type: ignore[attr-defined]
    await page.get_by_role("textbox").fill(begun.json()["user_code"])
    await page.get_by_role("button").first.click()
    await expect(page.get_by_role("heading", name="Allow Lamp Tool?")).to_be_visible()
    await check(page, "device-consent")
    await page.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.get_by_role("heading", name="Done")).to_be_visible()
    await check(page, "device-done")

    await page.goto(f"{scene.cloud.url}/oauth/applications?client_id={scene.web[0]}")
    await check(page, "applications")
    await page.get_by_role("button", name="Take it back from Lamp Web").click()
    await expect(page.get_by_role("button", name="Take it back from Lamp Web")).to_have_count(0)
    await expect(page.get_by_text("Lamp Tool", exact=True)).to_be_visible()
    gone = await scene.http.get("/v1/devices", headers=bearer(token["access_token"]))
    assert gone.status_code == 401
