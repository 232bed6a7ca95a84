"""Into the console with a second factor, and what a changed password does to who is in."""

from urllib.parse import quote

from cloudchamber.testing import Cloud
from tests.pages.browser import Browser
from tests.people import code_of
from tests.whole.story import PASSWORD, Story

NAME = "maker@example.com"


async def test_a_second_factor_is_asked_for_and_the_page_is_kept() -> None:
    async with Cloud(rate_limits="off") as cloud, Story(cloud) as story:
        token = await story.user(NAME)
        begun = await story.ok("GET", "/v1/user/mfa-enable", token)
        wanted = {"mfa_token": begun["mfa_token"], "otp": code_of(begun["secret"], -1), "invalidate_tokens": False}
        enrolled = await story.ok("POST", "/v1/user/mfa-enable", token, json=wanted)
        deep = f"{cloud.url}/console?organization=nowhere"
        async with Browser(cloud.url) as browser, Browser(cloud.url) as other:
            page = await browser.submit(await browser.get(deep), username=NAME, password=PASSWORD)
            assert page.heading == "One more step"
            assert "cc_session_users" not in browser.http.cookies
            page = await browser.submit(page, otp="000000")
            assert page.status == 403
            page = await browser.submit(page, otp=code_of(begun["secret"], 1))
            assert (page.heading, page.url) == ("Products", deep)
            page = await other.submit(await other.get("/console"), username=NAME, password=PASSWORD)
            page = await other.submit(page, otp=enrolled["recovery_codes"][0])
            assert page.heading == "Products"
            # Whoever changes the password throws everybody else out.
            sent = {"current_password": PASSWORD, "password": "another good password", "invalidate_tokens": True}
            answer = await story.ask("PUT", "/v1/user", token, json=sent)
            assert answer.is_success, answer.text
            for each in (browser, other):
                assert (await each.get("/console")).heading == "Sign in"


async def test_no_account_is_made_where_registration_is_closed() -> None:
    async with Cloud(rate_limits="off", registration="closed") as cloud, Browser(cloud.url) as browser:
        page = await browser.get(f"/console/sign-in?to={quote('/console')}&screen=sign_up")
        assert page.heading == "Sign in"
        assert "Make an account" not in page.text
        page = await browser.submit(page, step="sign_up", username="new@example.com", password=PASSWORD)
        assert "Accounts are not made here." in page.text
