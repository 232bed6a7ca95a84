"""`/oauth/authorize` and what follows from it, over real sockets. Numbers are the security checklist's statements."""

import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from cloudchamber.oauth.web.rules import s256
from tests.api.conftest import bearer
from tests.pages.browser import Browser, Page
from tests.pages.conftest import PASSWORD, REDIRECT, Scene

VERIFIER = "v" * 64


def asking(client: str, **more: str) -> str:
    query = {"response_type": "code", "client_id": client, "redirect_uri": REDIRECT, "state": "the state"}
    query |= {"code_challenge": s256(VERIFIER), "code_challenge_method": "S256"}
    return "/oauth/authorize?" + urlencode({name: value for name, value in (query | more).items() if value})


async def sign_up_and_allow(browser: Browser, scene: Scene, email: str = "kim@example.com", **more: str) -> str:
    """Where the browser was sent in the end."""
    page = await browser.get(asking(scene.web[0], **more))
    assert page.heading == "Sign in"
    page = await browser.get(next(link for link in page.links() if "screen=sign_up" in link))
    page = await browser.submit(page, username=email, password=PASSWORD)
    assert page.heading == "Allow Lamp Web?"
    await browser.submit(page, "approve")
    assert browser.left is not None
    return browser.left


def fields(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def redeem(scene: Scene, code: str, **more: str) -> tuple[int, dict[str, str]]:
    form = {"grant_type": "authorization_code", "code": code, "client_id": scene.web[0], "redirect_uri": REDIRECT}
    form |= {"code_verifier": VERIFIER} | more
    answer = await scene.http.post("/oauth/token", data={name: value for name, value in form.items() if value})
    return answer.status_code, answer.json()


async def test_a_customer_signs_up_and_lets_an_app_in(scene: Scene) -> None:
    async with scene.browser() as browser:
        left = await sign_up_and_allow(browser, scene)
        assert left.startswith(f"{REDIRECT}&code=")
        answer = fields(left)
        assert (answer["x"], answer["state"], answer["iss"]) == ("1", "the state", scene.cloud.url)
        status, token = await redeem(scene, answer["code"])
        assert status == 200, token
        assert token["token_type"] == "bearer"
        devices = await scene.http.get("/v1/devices", headers=bearer(token["access_token"]))
        assert devices.json() == []
        # The customer is the product's, and nobody else's.
        listed = await scene.http.get(
            f"/v1/products/{scene.maker.product}/customers?all=true", headers=bearer(scene.maker.token)
        )
        assert [customer["username"] for customer in listed.json()["customers"]] == ["kim@example.com"]
        # A public client refreshes without a secret, and each refresh token works once.
        form = {"grant_type": "refresh_token", "client_id": scene.web[0], "refresh_token": token["refresh_token"]}
        fresh = await scene.http.post("/oauth/token", data=form)
        assert fresh.status_code == 200
        assert fresh.json()["refresh_token"] != token["refresh_token"]
        # The next time it is one click.
        page = await browser.get(asking(scene.web[0]))
        assert page.heading == "Allow Lamp Web?"


async def test_a_refresh_without_a_secret_needs_a_log_in_without_one(scene: Scene) -> None:
    customer = await scene.http.post(
        f"/v1/products/{scene.maker.product}/customers",
        data={"email": "jane@example.com", "password": PASSWORD},
        auth=scene.maker.client,
    )
    form = {
        "grant_type": "refresh_token",
        "client_id": scene.maker.client[0],
        "refresh_token": customer.json()["refresh_token"],
    }
    refused = await scene.http.post("/oauth/token", data=form)
    assert (refused.status_code, refused.json()["error_description"]) == (400, "Missing client_secret parameter")


async def test_somebody_says_no(scene: Scene) -> None:
    async with scene.browser() as browser:
        await scene.sign_up(browser)
        page = await browser.get(asking(scene.web[0]))
        await browser.submit(page, "deny")
        assert browser.left is not None
        assert fields(browser.left) == {
            "x": "1",
            "error": "access_denied",
            "error_description": "The user denied access to your application",
            "state": "the state",
            "iss": scene.cloud.url,
        }


async def test_the_implicit_flow_of_old_clients(scene: Scene) -> None:
    async with scene.browser() as browser:
        await scene.sign_up(browser)
        query = {"response_type": "token", "code_challenge": "", "code_challenge_method": ""}
        page = await browser.get(asking(scene.web[0], **query))
        await browser.submit(page, "approve")
        assert browser.left is not None
        found = re.fullmatch(re.escape(REDIRECT) + r"#token=([0-9a-f]{40})&state=the\+state&.*", browser.left)
        assert found, browser.left
        assert (await scene.http.get("/v1/devices", headers=bearer(found[1]))).status_code == 200
    listed = await scene.http.get("/metrics")
    assert listed.status_code == 404


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"redirect_uri": REDIRECT + "/"}, "redirect_uri does not match"),
        ({"redirect_uri": "https://evil.example/"}, "redirect_uri does not match"),
        ({"client_id": "nobody-1"}, "Invalid client credentials"),
        ({"client_id": "x"}, "Invalid or missing client_id parameter"),
        ({"response_type": "id_token"}, 'Invalid response_type parameter (must be "code")'),
    ],
)
async def test_23_what_does_not_fit_is_answered_here_and_sent_nowhere(
    scene: Scene, change: dict[str, str], message: str
) -> None:
    answer = await scene.http.get(asking(scene.web[0], **change))
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert answer.json()["error_description"] == message


async def test_24_a_native_app_listens_on_a_port_that_was_free(scene: Scene) -> None:
    answer = await scene.http.get(asking(scene.native[0], redirect_uri="http://127.0.0.1:50123/cb"))
    assert (answer.status_code, "Sign in" in answer.text) == (200, True)
    for bad in ("http://127.0.0.1:50123/cb/", "http://localhost:50123/cb", "http://127.0.0.1:50123@evil.example/cb"):
        answer = await scene.http.get(asking(scene.native[0], redirect_uri=bad))
        assert (answer.status_code, answer.json()["error_description"]) == (400, "redirect_uri does not match")
        assert "location" not in answer.headers


async def test_25_a_client_on_record_cannot_be_led_off_tls(scene: Scene) -> None:
    plain = "http://app.example/back"
    path = f"/v1/products/{scene.maker.product}/clients"
    headers = bearer(scene.maker.token)
    sent = {"name": "Plain", "type": "web", "redirect_uri": plain}
    refused = await scene.http.post(path, json=sent, headers=headers)
    assert (refused.status_code, "https URL" in refused.text) == (400, True)
    await scene.http.put(f"{path}/{scene.web[0]}", json={"name": "Lamp Web", "redirect_uri": plain}, headers=headers)
    answer = await scene.http.get(asking(scene.web[0], redirect_uri=plain))
    assert (answer.status_code, answer.json()["error_description"]) == (400, "redirect_uri does not match")


async def test_26_plain_and_missing_pkce(scene: Scene) -> None:
    for change, error in [
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "clients:create"}, "invalid_scope"),
    ]:
        answer = await scene.http.get(asking(scene.web[0], **change))
        assert answer.status_code == 303
        assert fields(answer.headers["location"])["error"] == error
    async with scene.browser() as browser:
        left = await sign_up_and_allow(browser, scene, code_challenge="", code_challenge_method="")
        status, answer = await redeem(scene, fields(left)["code"], code_verifier="")
        assert (status, answer["error_description"]) == (400, "Missing client_secret parameter")
        # A verifier without a challenge is refused, whoever comes with it.
        page = await browser.get(asking(scene.web[0], code_challenge="", code_challenge_method=""))
        await browser.submit(page, "approve")
        assert browser.left is not None
        status, answer = await redeem(scene, fields(browser.left)["code"], client_secret=scene.web[1])
        assert (status, answer["error_description"]) == (400, "Invalid code")
        # With its secret and without PKCE, a server's code is good.
        page = await browser.get(asking(scene.web[0], code_challenge="", code_challenge_method=""))
        await browser.submit(page, "approve")
        assert browser.left is not None
        code = fields(browser.left)["code"]
        status, _ = await redeem(scene, code, code_verifier="", client_secret=scene.web[1])
        assert status == 200


async def test_27_a_code_works_once_for_its_client_and_redirect(scene: Scene) -> None:
    async with scene.browser() as browser:
        code = fields(await sign_up_and_allow(browser, scene))["code"]
        status, first = await redeem(scene, code)
        assert status == 200
        # The second use ends what the first one gave.
        status, answer = await redeem(scene, code)
        assert (status, answer["error"], answer["error_description"]) == (400, "invalid_grant", "Invalid code")
        gone = await scene.http.get("/v1/devices", headers=bearer(first["access_token"]))
        assert gone.status_code == 401
        for change in (
            {"client_id": scene.native[0]},
            {"redirect_uri": REDIRECT + "x"},
            {"code_verifier": VERIFIER[::-1] + "x"},
            {"code": "0" * 40},
        ):
            page = await browser.get(asking(scene.web[0]))
            await browser.submit(page, "approve")
            assert browser.left is not None
            code = fields(browser.left)["code"]
            status, answer = await redeem(scene, **({"code": code} | change))
            assert (status, answer["error"]) == (400, "invalid_grant"), change


async def test_28_who_answers_and_where_everything_is(scene: Scene) -> None:
    found = (await scene.http.get("/.well-known/oauth-authorization-server")).json()
    assert found["issuer"] == scene.cloud.url
    for name in ("authorization_endpoint", "token_endpoint", "device_authorization_endpoint"):
        assert found[name].startswith(f"{found['issuer']}/oauth/")
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_response_iss_parameter_supported"] is True


async def test_32_what_was_pushed_or_signed_elsewhere_is_not_taken_for_what_the_browser_brings(scene: Scene) -> None:
    """Neither RFC 9126 nor RFC 9101 is spoken here, and a client hears so instead of being half understood."""
    found = (await scene.http.get("/.well-known/oauth-authorization-server")).json()
    assert not {"pushed_authorization_request_endpoint", "require_pushed_authorization_requests"} & found.keys()
    assert found["request_uri_parameter_supported"] is False
    for path in ("/oauth/par", "/oauth/request"):
        pushed = await scene.http.post(path, data={"client_id": scene.web[0]}, auth=scene.maker.client)
        assert pushed.status_code == 404
    async with scene.browser() as browser:
        await scene.sign_up(browser)
        for name in ("request_uri", "request"):
            for _ in range(2):  # used before or not, of this client or of another: it counts for nothing
                browser.left = None
                await browser.get(asking(scene.web[0], **{name: "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014"}))
                assert browser.left is not None
                sent = fields(browser.left)
                assert (sent["error"], sent["state"]) == (f"{name}_not_supported", "the state")
                assert "code" not in sent
    alone = await scene.http.get("/oauth/authorize", params={"client_id": scene.web[0], "request_uri": "urn:x"})
    assert (alone.status_code, "location" in alone.headers) == (400, False)


@pytest.mark.parametrize("settings", [{"public_url": "https://cloud.example", "registration": "open"}])
async def test_28_the_issuer_is_the_public_address_everywhere(scene: Scene) -> None:
    found = (await scene.http.get("/.well-known/oauth-authorization-server")).json()
    assert found["issuer"] == "https://cloud.example"
    assert all(found[name].startswith("https://cloud.example/") for name in found if name.endswith("_endpoint"))
    refused = await scene.http.get(asking(scene.web[0], code_challenge_method="plain"))
    assert fields(refused.headers["location"])["iss"] == "https://cloud.example"
    begun = await scene.http.post("/oauth/device_authorization", data={"client_id": scene.native[0]})
    assert begun.json()["verification_uri"] == "https://cloud.example/device"


async def test_29_pages_cannot_be_framed_or_read_by_others(scene: Scene) -> None:
    async with scene.browser() as browser:
        pages = [await browser.get(asking(scene.web[0])), await browser.get("/device")]
        pages.append(await browser.get(f"/oauth/forgot?client_id={scene.web[0]}"))
        pages.append(await browser.get("/oauth/reset?token=x"))
        await scene.sign_up(browser)
        pages.append(await browser.get(asking(scene.web[0])))
        pages.append(await browser.get(f"/setup?client_id={scene.web[0]}"))
        for page in pages:
            policy = page.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in policy
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert page.headers["referrer-policy"] == "no-referrer"
            assert page.headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in page.headers
            assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=|javascript:", page.text)
            for source in re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text):
                assert source.startswith("/"), source
    preflight = await scene.http.options("/oauth/authorize", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in preflight.headers


def cookies(page: Page) -> list[str]:
    return page.headers.get_list("set-cookie")


async def test_29_cookies_and_forms_are_the_pages_own(scene: Scene) -> None:
    async with scene.browser() as browser:
        page = await browser.get(asking(scene.web[0]))
        assert [re.sub(r"=[^;]+", "=", cookie, count=1) for cookie in cookies(page)] == [
            "cc_form=; Path=/; HttpOnly; SameSite=Lax"
        ]
        form = page.forms()[0]
        good = {**form.fields, "username": "a", "password": "b"}
        for change, headers in [
            ({"csrf": ""}, {}),
            ({"csrf": "x" * 32}, {}),
            ({}, {"Origin": "https://evil.example"}),
            ({}, {"Origin": "null"}),
            ({}, {"Sec-Fetch-Site": "cross-site"}),
            ({}, {"Sec-Fetch-Site": "same-site", "Origin": scene.cloud.url}),
            ({}, {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}),
        ]:
            refused = await browser.http.post(form.action, data=good | change, headers=headers)
            assert refused.status_code == 403, (change, headers)
            assert "open too long" in refused.text
        wrong = await browser.http.post(form.action, data=good, headers={"Origin": scene.cloud.url})
        assert (wrong.status_code, "E-mail or password is wrong." in wrong.text) == (403, True)
        # The other browser's form does not fit this one's cookie.
        async with scene.browser() as other:
            theirs = (await other.get(asking(scene.web[0]))).forms()[0].fields["csrf"]
            refused = await browser.http.post(form.action, data=good | {"csrf": theirs})
            assert refused.status_code == 403


async def test_30_consent_names_what_it_is_about_and_can_be_taken_back(scene: Scene) -> None:
    async with scene.browser() as browser:
        await scene.sign_up(browser)
        page = await browser.get(asking(scene.native[0], redirect_uri="http://127.0.0.1:4711/cb"))
        for text in ("Lamp Tool", "kim@example.com", "control your devices", "You have none yet", "90 days"):
            assert text in page.text, text
        assert "127.0.0.1:4711" in page.text
        await browser.submit(page, "approve")
        assert browser.left is not None
        form = {
            "grant_type": "authorization_code",
            "code": fields(browser.left)["code"],
            "client_id": scene.native[0],
            "redirect_uri": "http://127.0.0.1:4711/cb",
            "code_verifier": VERIFIER,
        }
        token = (await scene.http.post("/oauth/token", data=form)).json()["access_token"]
        page = await browser.get(f"/oauth/applications?client_id={scene.web[0]}")
        assert "Lamp Tool" in page.text
        page = await browser.submit(page, "take_back")
        assert "Lamp Tool" not in page.text
        assert (await scene.http.get("/v1/devices", headers=bearer(token))).status_code == 401


async def test_sessions_end_where_they_should(scene: Scene) -> None:
    async with scene.browser() as one, scene.browser() as two:
        await scene.sign_up(one)
        page = await two.get(asking(scene.web[0]))
        page = await two.submit(page, username="kim@example.com", password=PASSWORD)
        assert page.heading == "Allow Lamp Web?"
        page = await one.get(f"/oauth/applications?client_id={scene.web[0]}")
        page = await one.submit(page, "sign_out_everywhere", form=len(page.forms()) - 1)
        assert page.heading == "Sign in"
        assert (await two.get(asking(scene.web[0]))).heading == "Sign in"
        # A customer of this product is nobody at another's, nor a user.
        form = {"csrf": two.http.cookies["cc_form"]}
        refused = await two.http.post(f"/setup/token?client_id={scene.web[0]}", data=form)
        assert refused.status_code == 401


async def test_52_a_wrong_name_and_a_wrong_password_look_the_same(scene: Scene) -> None:
    async with scene.browser() as browser:
        await scene.sign_up(browser)
    texts = []
    for name in ("kim@example.com", "nobody@example.com"):
        async with scene.browser() as browser:
            page = await browser.get(asking(scene.web[0]))
            page = await browser.submit(page, username=name, password="wrong")
            text = page.text.replace(name, "NAME").replace(browser.http.cookies["cc_form"], "FORM")
            texts.append((page.status, text))
    assert texts[0] == texts[1]


async def test_53_a_short_password_is_told_so(scene: Scene) -> None:
    async with scene.browser() as browser:
        page = await browser.get(f"/setup?client_id={scene.web[0]}&screen=sign_up")
        page = await browser.submit(page, username="kim@example.com", password="short")
        assert page.status == 400
        assert "choose a longer one" in page.text


async def test_who_may_not_make_accounts_makes_none(scene: Scene) -> None:
    server = await scene.client(name="Limited", type="web", redirect_uri=REDIRECT, scope="devices:list")
    async with scene.browser() as browser:
        page = await browser.get(asking(server[0]) + "&screen=sign_up")
        assert page.heading == "Sign in"
        page = await browser.submit(page, step="sign_up", username="kim@example.com", password=PASSWORD)
        assert "Accounts are not made here." in page.text
