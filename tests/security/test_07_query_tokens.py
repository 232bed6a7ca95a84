"""Statement 7 of the security checklist: tokens in the query string, and from when on they are refused."""

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from cloudchamber.settings import SettingsError, load_settings
from cloudchamber.testing import Cloud
from tests.api.conftest import Maker, bearer, log_in, make_maker

WRONG = "This server does not take tokens in the query string: send an Authorization header."


async def tokens_of(http: httpx.AsyncClient, maker: Maker) -> list[str]:
    """One of each kind."""
    headers = bearer(maker.token)
    robot = {"friendly_name": "robot", "scopes": ["devices:list"]}
    made = await http.post(f"/v1/products/{maker.product}/team", json=robot, headers=headers)
    org = (await http.post("/v1/orgs", json={"name": f"Org of {maker.username}"}, headers=headers)).json()
    path = f"/v1/orgs/{org['organization']['id']}/clients"
    client = (await http.post(path, json={"name": "c", "type": "installed"}, headers=headers)).json()["client"]
    form = {"grant_type": "client_credentials"}
    issued = await http.post("/oauth/token", data=form, auth=(client["id"], client["secret"]))
    return [
        maker.token,
        maker.product_token,
        await maker.customer(f"kim-of-{maker.username}"),
        issued.json()["access_token"],
        made.json()["created"]["tokens"][0]["token"],
    ]


async def test_07_accounts_made_since_the_date_send_no_token_in_the_query(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with Cloud(data=data) as cloud, httpx.AsyncClient(base_url=cloud.url) as http:
        old = await tokens_of(http, await make_maker(http, "old@example.com"))
    since = datetime.now(UTC).isoformat()
    async with Cloud(data=data, query_token_before=since) as cloud, httpx.AsyncClient(base_url=cloud.url) as http:
        new = await tokens_of(http, await make_maker(http, "new@example.com"))
        # An old account's new token is as good as its old one.
        old.append(await log_in(http, "old@example.com", "correct horse"))
        for token in old * 2:
            answer = await http.get("/v1/products", params={"access_token": token})
            assert answer.status_code in (200, 400, 403), answer.text
            assert WRONG not in answer.text
        assert (await http.get("/v1/devices", params={"access_token": old[0]})).json() == []
        for token in new * 2:
            answer = await http.get("/v1/products", params={"access_token": token})
            assert answer.status_code == 400
            assert answer.json() == {"error": "invalid_request", "error_description": WRONG}
            answer = await http.get("/v1/products", headers=bearer(token))
            assert WRONG not in answer.text
        assert (await http.get("/v1/devices", headers=bearer(new[0]))).json() == []


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "31.1.2026"])
def test_07_the_date_is_a_date(text: str) -> None:
    with pytest.raises(SettingsError, match="query_token_before"):
        load_settings({"query_token_before": text}, {})
    at = load_settings({"query_token_before": "2026-01-31"}, {}).query_tokens_end_at
    assert at == datetime(2026, 1, 31, tzinfo=UTC)
    assert load_settings({}, {}).query_tokens_end_at is None
