"""The resources as their clients meet them; devices that are connected have their own tests."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.api.conftest import Api, Maker, bearer, log_in
from tests.api.test_edge import no_token, oauth_error

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERMISSION_DENIED = {
    "error": "Permission Denied",
    "info": "I didn't recognize that device name or ID, try opening "
    "https://api.particle.io/v1/devices?access_token=undefined",
}
REDIRECT = "https://app.example.com/setup?from=cloud"


async def web_client(maker: Maker, **changes: str) -> str:
    sent = {"name": "web", "type": "web", "redirect_uri": REDIRECT, "scope": "customers:create", **changes}
    path = f"/v1/products/{maker.product}/clients"
    made = await maker.http.post(path, data=sent, headers=bearer(maker.token))
    assert made.status_code == 200, made.text
    return str(made.json()["client"]["id"])


def customers(maker: Maker) -> str:
    return f"/v1/products/{maker.slug}/customers"


# -- accounts ------------------------------------------------------------


async def test_registration(http: Api, maker: Maker) -> None:
    taken = await http.post("/v1/users", data={"username": maker.username.upper(), "password": "open sesame"})
    if http.is_strict:
        text = "Registration is closed on this server: ask its administrator for an account"
        assert (taken.status_code, taken.json()) == (403, {"ok": False, "error": text, "errors": [text]})
        return
    text = "user with the username already exists"
    assert (taken.status_code, taken.json()) == (400, {"ok": False, "error": text, "errors": [text]})
    for weak in ("short", "password1", "ada.lovelace1"):
        refused = await http.post("/v1/users", data={"username": "ada.lovelace@example.com", "password": weak})
        assert refused.status_code == 400
        assert "choose" in refused.json()["error"]
    info = {"first_name": "Ada", "business_account": False}
    sent = {"username": "ada@example.com", "password": "open sesame", "account_info": info, "utm": {"x": "y"}}
    assert (await http.post("/v1/users", json=sent, headers=bearer("stale"))).json() == {"ok": True}
    profile = (await http.get("/v1/user", headers=bearer(await log_in(http, "ada@example.com", "open sesame")))).json()
    assert profile["username"] == "ada@example.com"
    assert profile["account_info"] == info
    assert profile["mfa"] == {"enabled": False}


async def test_a_password_reset_tells_nothing_of_who_exists(http: Api, maker: Maker) -> None:
    answers = [
        await http.post("/v1/user/password-reset", json={"username": name}, headers=bearer("stale"))
        for name in (maker.username, "nobody@example.com")
    ]
    expected = {"ok": True, "message": "Password reset email sent."}
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, expected)] * 2
    wrong = await http.put("/v1/user/password-reset", data={"token": "x", "password": "y"})
    assert wrong.status_code == 400


async def test_accounts_are_for_people(http: Api, maker: Maker) -> None:
    for token in (maker.product_token, await maker.customer("no-account@example.com")):
        for path in ("/v1/user", "/v1/clients", "/v1/orgs", "/v1/webhooks"):
            assert (await http.get(path, headers=bearer(token))).status_code == 403, path
    assert (await http.get("/v1/orgs", headers=bearer(maker.token))).json() == {"organizations": []}


# -- clients ------------------------------------------------------------


async def test_clients_of_a_user_and_of_a_product(http: Api, maker: Maker, stranger: Maker) -> None:
    for path in ("/v1/clients", f"/v1/products/{maker.product}/clients"):
        sent: dict[str, Any] = {"name": "My App", "type": "installed", "scope": ["customers:create"]}
        made = (await http.post(path, json=sent, headers=bearer(maker.token))).json()["client"]
        assert made["id"].startswith("my-app-")
        assert (len(made["secret"]), made["scope"]) == (40, "customers:create")
        listed = (await http.get(path, headers=bearer(maker.token))).json()
        assert listed["ok"] is True
        assert made["id"] in [each["id"] for each in listed["clients"]]
        assert not [each for each in listed["clients"] if "secret" in each]
        own = f"{path}/{made['id']}"
        changed = await http.put(own, json={"name": "Other", "scope": "none"}, headers=bearer(maker.token))
        assert (changed.json()["client"]["name"], "scope" in changed.json()["client"]) == ("Other", False)
        assert (await http.delete(own, headers=bearer(stranger.token))).status_code == 404
        gone = await http.delete(own, headers=bearer(maker.token))
        assert (gone.status_code, gone.content) == (204, b"")
        again = await http.delete(own, headers=bearer(maker.token))
        assert (again.status_code, again.json()) == (404, {"ok": False, "error": "Client not found"})


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"type": "installed"}, "name is required"),
        ({"name": "x", "type": "other"}, "type must be installed or web"),
        ({"name": "x", "type": "web"}, "redirect_uri is required for clients of type web"),
    ],
)
async def test_clients_that_cannot_be(http: Api, maker: Maker, sent: dict[str, str], message: str) -> None:
    answer = await http.post("/v1/clients", data=sent, headers=bearer(maker.token))
    assert (answer.status_code, answer.json()) == (400, {"ok": False, "errors": [message]})


async def test_a_client_of_an_organization_that_is_not_there(http: Api, maker: Maker) -> None:
    sent = {"name": "x", "type": "installed", "organization": "no-such"}
    answer = await http.post("/v1/clients", data=sent, headers=bearer(maker.token))
    assert (answer.status_code, answer.json()) == (404, {"ok": False, "error": "Organization not found."})


# -- products ------------------------------------------------------------


async def test_products(http: Api, maker: Maker, stranger: Maker) -> None:
    for path in (f"/v1/products/{maker.product}", f"/v1/products/{maker.slug}"):
        for token in (maker.token, maker.product_token):
            product = (await http.get(path, headers=bearer(token))).json()["product"]
            assert (product["id"], product["slug"], product["user"]) == (maker.product, maker.slug, maker.username)
        for token in (stranger.token, stranger.product_token):
            refused = await http.get(path, headers=bearer(token))
            assert (refused.status_code, refused.json()) == (404, {"ok": False, "error": "Permission denied"})
    unknown = await http.get("/v1/products/999999", headers=bearer(maker.token))
    assert (unknown.status_code, unknown.json()) == (404, {"ok": False, "error": "Product not found."})
    for path in ("/v1/products", "/v1/user/products"):
        listed = (await http.get(path, headers=bearer(maker.token))).json()["products"]
        assert maker.product in [each["id"] for each in listed]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({}, "You must provide a product"),
        ({"product": {}}, "You must provide a product"),
        ({"product": {"description": "d"}}, "Missing fields: name, platform_id"),
        ({"name": "x", "platform_id": "many"}, "platform_id must be a whole number"),
    ],
)
async def test_products_that_cannot_be(http: Api, maker: Maker, sent: dict[str, Any], message: str) -> None:
    answer = await http.post("/v1/products", json=sent, headers=bearer(maker.token))
    assert (answer.status_code, answer.json()) == (400, {"ok": False, "error": message})


# -- customers ------------------------------------------------------------


async def test_creating_a_customer_again_gives_no_token(http: Api, maker: Maker) -> None:
    await maker.customer("twice@example.com")
    sent = {"email": "twice@example.com", "no_password": "true"}
    again = await http.post(customers(maker), data=sent, auth=maker.client)
    text = "Customer already exists"
    assert (again.status_code, again.json()) == (400, {"ok": False, "error": text, "errors": [text]})


async def test_a_customer_needs_a_name_and_a_password_or_none_on_purpose(http: Api, maker: Maker) -> None:
    for sent in ({"no_password": "true"}, {"email": "half@example.com"}, {"email": "half@example.com", "password": ""}):
        answer = await http.post(customers(maker), data=sent, auth=maker.client)
        assert answer.status_code == 400
        assert "required" in answer.json()["error"]


async def test_a_client_of_another_product_makes_no_customer(http: Api, maker: Maker, stranger: Maker) -> None:
    sent = {"email": "stolen@example.com", "no_password": "true"}
    answer = await http.post(customers(maker), data=sent, auth=stranger.client)
    assert (answer.status_code, answer.json()) == (403, {"ok": False, "error": "Permission denied"})


async def test_client_credentials_in_the_body_win_over_a_stale_header(http: Api, maker: Maker) -> None:
    """What the SDK sends."""
    client_id, secret = maker.client
    sent = {
        "email": "sdk@example.com",
        "password": "anything else",
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": secret,
    }
    answer = await http.post(customers(maker), data=sent, headers=bearer("stale"))
    assert answer.status_code == 201
    assert answer.json()["scope"] == "customer=sdk@example.com"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_bearer_token_makes_a_customer_too(http: Api, maker: Maker, stranger: Maker) -> None:
    for number, token in enumerate((maker.token, maker.product_token)):
        sent = {"email": f"bearer{number}@example.com", "no_password": True}
        answer = await http.post(customers(maker), json=sent, headers=bearer(token))
        assert answer.status_code == 201
    sent = {"email": "no@example.com", "no_password": True}
    assert (await http.post(customers(maker), json=sent, headers=bearer(stranger.token))).status_code == 404
    customer = await maker.customer("climber@example.com")
    assert (await http.post(customers(maker), json=sent, headers=bearer(customer))).status_code == 403
    assert oauth_error(await http.post(customers(maker), json=sent)) == no_token(http)


async def test_a_web_client_gets_its_token_by_redirect(http: Api, maker: Maker) -> None:
    client = await web_client(maker)
    sent = {"response_type": "token", "client_id": client, "email": "web@example.com", "password": "pw", "state": "a&b"}
    answer = await http.post(customers(maker), data=sent)
    # The SDK sends no response_type.
    sdk = {"email": "web2@example.com", "password": "pw", "grant_type": "client_credentials", "client_id": client}
    if http.is_strict:
        assert oauth_error(answer)[:2] == (400, "invalid_request")
        assert "no implicit flow" in answer.json()["error_description"]
        assert oauth_error(await http.post(customers(maker), data=sdk)) == no_token(http)
        return
    assert answer.status_code == 302
    base, _, fragment = answer.headers["location"].partition("#")
    assert base == REDIRECT
    assert set(parse_qs(fragment)) == {"token", "state"}
    assert parse_qs(fragment)["state"] == ["a&b"]
    assert (await http.get("/v1/devices", headers=bearer(parse_qs(fragment)["token"][0]))).json() == []
    again = await http.post(customers(maker), data=sent)
    assert again.status_code == 302, "from here on, errors go by redirect too"
    query = parse_qs(urlsplit(again.headers["location"]).query)
    assert query["error_description"] == ["Customer already exists"]
    assert query["from"] == ["cloud"]
    assert "token" not in again.headers["location"]
    wants_json = {**sent, "email": "json@example.com"}
    assert (
        await http.post(customers(maker), data=wants_json, headers={"accept": "application/json"})
    ).status_code == 201
    assert (await http.post(customers(maker), data=sdk, headers=bearer("stale"))).status_code == 201


@pytest.mark.parametrize(
    "redirect_uri",
    [
        REDIRECT + "/",
        REDIRECT + "&x",
        REDIRECT + "#",
        REDIRECT.replace("https", "http"),
        REDIRECT.replace("app.", "evil."),
        REDIRECT.replace("example.com", "example.com:443"),
        REDIRECT.replace("//", "//x@"),
        REDIRECT.upper(),
        REDIRECT.replace("setup", "set%75p"),
    ],
)
async def test_redirects_are_compared_to_the_letter_and_refused_without_redirecting(
    http: Api, maker: Maker, redirect_uri: str
) -> None:
    sent = {
        "response_type": "token",
        "client_id": await web_client(maker),
        "email": "r@example.com",
        "password": "pw",
        "redirect_uri": redirect_uri,
    }
    answer = await http.post(customers(maker), data=sent)
    none = "Invalid response_type parameter: this server has no implicit flow"
    message = none if http.is_strict else "redirect_uri does not match"
    assert oauth_error(answer) == (400, "invalid_request", message)
    assert "location" not in answer.headers


async def test_a_bare_client_id_proves_nothing(http: Api, maker: Maker) -> None:
    sent = {"response_type": "token", "email": "bare@example.com", "password": "pw"}
    for client in (maker.client[0], "particle", "no-such-client"):
        answer = await http.post(customers(maker), data={**sent, "client_id": client})
        if http.is_strict:
            assert oauth_error(answer)[:2] == (400, "invalid_request")
        else:
            assert oauth_error(answer) == (400, "invalid_client", "Invalid client credentials")
    installed = {"email": "bare@example.com", "password": "pw", "client_id": maker.client[0]}
    assert oauth_error(await http.post(customers(maker), data=installed)) == no_token(http)


async def test_customers_are_seen_once_they_own_a_device(http: Api, maker: Maker) -> None:
    await maker.customer("ghost@example.com")
    shown = (await http.get(customers(maker), headers=bearer(maker.token))).json()
    assert (shown["customers"], shown["devices"], shown["meta"]) == ([], [], {"total_pages": 1})
    everybody = (await http.get(customers(maker), params={"all": "1"}, headers=bearer(maker.product_token))).json()
    assert "ghost@example.com" in [each["username"] for each in everybody["customers"]]
    first = await http.get(customers(maker), params={"all": 1, "perPage": 1}, headers=bearer(maker.token))
    assert len(first.json()["customers"]) == 1
    assert first.json()["meta"]["total_pages"] > 1
    wrong = await http.get(customers(maker), params={"page": "-1"}, headers=bearer(maker.token))
    assert wrong.status_code == 400


# -- devices that are not there ------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("GET", "", {}),
        ("PUT", "", {"data": {"name": "x"}}),
        ("PUT", "", {"json": {"signal": "1"}}),
        ("DELETE", "", {}),
        ("POST", "/toggle", {"data": {"arg": ""}}),
        ("GET", "/answer", {}),
        ("PUT", "/ping", {"json": {}}),
        ("GET", "/events", {}),
        ("POST", "/ping", {}),
        ("GET", "/ping", {}),
        ("POST", "/events", {}),
    ],
)
async def test_every_verb_tells_the_same_of_foreign_and_unknown_devices(
    http: Api, maker: Maker, stranger: Maker, method: str, path: str, sent: dict[str, Any]
) -> None:
    foreign = "c0ffee" * 4
    imported = await http.post(
        f"/v1/products/{stranger.product}/devices", json={"id": foreign}, headers=bearer(stranger.token)
    )
    assert imported.status_code == 200
    for reference in ("1234", foreign, foreign.upper(), "0" * 24, "%00"):
        answer = await http.request(method, f"/v1/devices/{reference}{path}", headers=bearer(maker.token), **sent)
        if reference == "%00":
            assert answer.status_code in {400, 403}
        else:
            assert (answer.status_code, answer.json()) == (403, PERMISSION_DENIED)


async def test_claims_that_fail(http: Api, maker: Maker, stranger: Maker) -> None:
    customer = await maker.customer("claimer@example.com")
    foreign = "decaf0" * 4
    await http.post(f"/v1/products/{stranger.product}/devices", json={"id": foreign}, headers=bearer(stranger.token))
    for token in (maker.token, customer):
        for sent, status, message in (
            ({"data": {"id": "123456"}}, 404, "device does not exist"),
            ({"json": {"id": "0" * 24, "request_transfer": False}}, 404, "device does not exist"),
            ({"json": {"id": foreign}}, 404, "device does not exist"),
            ({"params": {"id": foreign}}, 400, "data.deviceID is empty"),
            ({"json": {}}, 400, "data.deviceID is empty"),
        ):
            answer = await http.post("/v1/devices", headers=bearer(token), **sent)
            assert (answer.status_code, answer.json()) == (status, {"ok": False, "errors": [message]})
    assert (
        await http.post("/v1/devices", json={"id": foreign}, headers=bearer(maker.product_token))
    ).status_code == 403


async def test_import_of_one_of_many_and_of_a_file(http: Api, maker: Maker) -> None:
    path = f"/v1/products/{maker.slug}/devices"
    ids = [f"{number:024x}" for number in range(16, 24)]
    one = (await http.post(path, data={"id": ids[0].upper()}, headers=bearer(maker.product_token))).json()
    assert one == {
        "updated": 1,
        "updatedDeviceIds": [ids[0]],
        "existingDeviceIds": [],
        "nonmemberDeviceIds": [],
        "invalidDeviceIds": [],
    }
    for sent, added in (
        ({"json": {"ids": ids[1:3]}}, ids[1:3]),
        ({"data": {"ids[]": ids[3:5]}}, ids[3:5]),
        ({"files": {"file": ("file", "\r\n".join(["Device ID", *ids[5:], "", "nonsense1"]))}}, ids[5:]),
    ):
        report = (await http.post(path, headers=bearer(maker.token), **sent)).json()
        assert report["updatedDeviceIds"] == added
        again = (await http.post(path, headers=bearer(maker.token), **sent)).json()
        assert (again["updated"], again["existingDeviceIds"]) == (0, added)
    assert report["invalidDeviceIds"] == ["nonsense1"]
    listed = (
        await http.get(
            path,
            params={"perPage": 3, "page": 2, "sortAttr": "deviceId", "sortDir": "asc"},
            headers=bearer(maker.token),
        )
    ).json()
    assert [device["id"] for device in listed["devices"]] == ids[3:6]
    assert listed["meta"] == {"total_pages": 3}
    found = (await http.get(path, params={"deviceId": ids[1].upper()}, headers=bearer(maker.token))).json()["devices"]
    assert [(device["id"], device["owner"], device["product_id"]) for device in found] == [
        (ids[1], None, maker.product)
    ]
    detail = (await http.get(f"{path}/{ids[1]}", headers=bearer(maker.product_token))).json()
    for key in (
        "development",
        "quarantined",
        "denied",
        "groups",
        "mobile_secret",
        "firmware_updates_enabled",
        "online",
    ):
        assert key in detail
    unknown = await http.get(f"{path}/{'9' * 24}", headers=bearer(maker.token))
    assert (unknown.status_code, unknown.json()) == (404, {"ok": False, "error": "Device not found"})


async def test_what_a_product_changes_about_its_device(http: Api, maker: Maker) -> None:
    device = "feed" * 6
    path = f"/v1/products/{maker.product}/devices/{device}"
    await http.post(f"/v1/products/{maker.product}/devices", json={"id": device}, headers=bearer(maker.token))
    sent = {"name": "n", "notes": "m", "development": "true", "owner": "x", "product_id": 1, "is_quarantined": True}
    changed = (await http.put(path, json=sent, headers=bearer(maker.token))).json()
    assert (changed["name"], changed["notes"], changed["development"], changed["id"]) == ("n", "m", True, device)
    detail = (await http.get(path, headers=bearer(maker.token))).json()
    assert (detail["owner"], detail["product_id"], detail["quarantined"]) == (None, maker.product, False)
    nothing = await http.put(path, json={"no": "field"}, headers=bearer(maker.token))
    assert (nothing.status_code, nothing.json()["error"]) == (400, "Nothing to do?")
    flash = await http.put(path, files={"file": ("a.bin", b"x")}, headers=bearer(maker.token))
    assert flash.status_code == 400
    offline = await http.get(f"{path}/counter", headers=bearer(maker.token))
    assert (offline.status_code, offline.json()) == (408, {"error": "Timed out."})
    offline = await http.post(f"{path}/lightsOn", headers=bearer(maker.token))
    assert (offline.status_code, offline.json()) == (400, {"ok": False, "error": "Timed out."})
    assert (await http.put(f"{path}/ping", headers=bearer(maker.token))).json() == {"online": False, "ok": True}
    signal = await http.put(path, data={"signal": "1"}, headers=bearer(maker.token))
    text = "Timed out, didn't hear back from device service"
    assert (signal.status_code, signal.json()) == (500, {"ok": False, "code": 500, "errors": [{"error": text}]})
    assert (await http.delete(f"{path}/owner", headers=bearer(maker.token))).json() == {"ok": True}
    assert (await http.delete(path, headers=bearer(maker.token))).status_code == 204
    assert (await http.get(path, headers=bearer(maker.token))).status_code == 404


async def test_claim_codes(http: Api, maker: Maker) -> None:
    customer = await maker.customer("code@example.com")
    product = f"/v1/products/{maker.slug}/device_claims"
    shown = await http.get(f"/v1/products/{maker.slug}", headers=bearer(maker.token))
    legacy = f"/v1/orgs/{shown.json()['product']['organization']}/products/{maker.slug}/device_claims"
    for path, token in (("/v1/device_claims", maker.token), (product, customer), (legacy, customer)):
        for sent in ({}, {"json": {}}, {"data": {"blank": ""}}, {"json": {"iccid": "89"}}):
            answer = (await http.post(path, headers=bearer(token), **sent)).json()
            assert len(answer["claim_code"]) == 63
            assert answer["device_ids"] == []
    for token in (maker.token, maker.product_token):
        refused = await http.post(product, headers=bearer(token))
        assert refused.status_code == 403
        assert "Permission denied" in refused.json()["error"]


# -- events, webhooks ------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({}, "Name is required"),
        ({"name": "spark/status"}, "reserved"),
        ({"name": "x" * 65}, "at most 64"),
        ({"name": "x", "ttl": "soon"}, "ttl must be a whole number"),
        ({"name": "x", "private": "perhaps"}, "private must be true or false"),
    ],
)
async def test_events_that_cannot_be(http: Api, maker: Maker, sent: dict[str, Any], message: str) -> None:
    answer = await http.post("/v1/devices/events", json=sent, headers=bearer(maker.token))
    assert answer.status_code == 400
    assert message in answer.json()["error"]


async def test_webhooks_under_both_names(http: Api, maker: Maker, stranger: Maker) -> None:
    for path, key, link in (
        ("/v1/webhooks", "webhook", "hookUrl"),
        ("/v1/integrations", "integration", "integrationUrl"),
    ):
        sent = {"event": "e", "url": "https://example.com/{{x}}", "rejectUnauthorized": "false", "headers[X-A]": "b"}
        made = await http.post(path, data=sent, headers=bearer(maker.token))
        body = made.json()
        assert (made.status_code, body["ok"], body["integration_type"]) == (201, True, "Webhook")
        assert (body["noDefaults"], body["rejectUnauthorized"], body["requestType"]) == (False, False, "POST")
        assert body[link].endswith(f"{path}/{body['id']}")
        own = f"{path}/{body['id']}"
        shown = (await http.get(own, headers=bearer(maker.token))).json()[key]
        assert (shown["event"], shown["headers"], shown["logs"]) == ("e", {"X-A": "b"}, [])
        assert body["id"] in [hook["id"] for hook in (await http.get(path, headers=bearer(maker.token))).json()]
        missing = {"ok": False, "error": "Webhook not found"}
        for method in ("GET", "DELETE"):
            foreign = await http.request(method, own, headers=bearer(stranger.token))
            assert (foreign.status_code, foreign.json()) == (404, missing)
        assert (await http.delete(own, headers=bearer(maker.token))).status_code == 204
        gone = await http.delete(own, headers=bearer(maker.token))
        assert (gone.status_code, gone.json()) == (404, missing)
    wrong = await http.post("/v1/webhooks", json={"url": "https://x"}, headers=bearer(maker.token))
    assert (wrong.status_code, wrong.json()) == (400, {"ok": False, "error": "no event name provided"})
    large = {"event": "e", "url": "https://x", "body": "x" * 70_000}
    assert (await http.post("/v1/webhooks", json=large, headers=bearer(maker.token))).status_code == 400


async def test_requests_at_the_same_time_do_not_mix_their_requesters(http: Api, maker: Maker, stranger: Maker) -> None:
    async def name_of(token: str) -> str:
        return str((await http.get("/v1/user", headers=bearer(token))).json()["username"])

    asked = [(maker, stranger)[number % 2] for number in range(100)]
    names = await asyncio.gather(*(name_of(who.token) for who in asked))
    assert names == [who.username for who in asked]
