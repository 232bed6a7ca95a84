"""Statement 32, what of it concerns tokens: DPoP (RFC 9449) is not spoken here, and nobody is led to think so."""

import pytest

from tests.api.conftest import Api, Maker, bearer

pytestmark = pytest.mark.asyncio(loop_scope="module")

# RFC 9449 4.1, shape only: whether it is right is nobody's question here.
PROOF = "eyJ0eXAiOiJkcG9wK2p3dCJ9.eyJqdGkiOiItQndDM0VTYyJ9.2-GxA6T8lP4vfrg8v-Fdadyt"


async def test_32_no_token_is_said_to_be_bound_and_none_is_taken_with_a_proof(http: Api, maker: Maker) -> None:
    found = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert not [name for name in found if name.startswith("dpop")]
    form = {"grant_type": "client_credentials"}
    # A client that wants a bound token sees by its type that it got none (RFC 9449 5).
    issued = (await http.post("/oauth/token", data=form, auth=maker.client, headers={"DPoP": PROOF})).json()
    assert issued["token_type"] == "bearer"
    token, path = issued["access_token"], f"/v1/products/{maker.product}/devices"
    for _ in range(2):
        refused = await http.get(path, headers={"Authorization": f"DPoP {token}", "DPoP": PROOF})
        assert refused.status_code in {400, 401}
        assert "devices" not in refused.json()
    # The header alone changes nothing: what counts is the token, as for everybody.
    assert (await http.get(path, headers=bearer(token) | {"DPoP": PROOF})).status_code == 200
    assert (await http.get(path, headers=bearer("0" * 40) | {"DPoP": PROOF})).status_code == 401
