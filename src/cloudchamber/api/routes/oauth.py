"""Tokens: the token endpoint, and what is known of tokens."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, BearerOrPassword, ClientCredentials, Family, Public, route

FAMILY: Final = Family(
    "Tokens",
    "Tokens, and what is known of them.",
    (
        # Every method: the wrong one gets the endpoint's own message.
        *(
            route(method, "/oauth/token", ClientCredentials(), "oauth.token")
            for method in ("POST", "GET", "PUT", "DELETE")
        ),
        route("GET", "/v1/access_tokens", BearerOrPassword(Action.TOKENS_GET), "access_tokens.list_own"),
        route("DELETE", "/v1/access_tokens", Bearer(Action.TOKENS_REVOKE), "access_tokens.revoke_all"),
        route("GET", "/v1/access_tokens/current", Bearer(Action.TOKENS_GET), "access_tokens.current"),
        route("DELETE", "/v1/access_tokens/current", Bearer(Action.TOKENS_REVOKE), "access_tokens.revoke_current"),
        route(
            "DELETE",
            "/v1/access_tokens/{token}",
            Public("whoever knows a token may end it; SDK and CLI send no credentials"),
            "access_tokens.revoke",
            switch="unauthenticated_revoke",
        ),
        route(
            "DELETE",
            "/v1/access_tokens/{token}",
            BearerOrPassword(Action.TOKENS_REVOKE),
            "access_tokens.revoke_as",
            switch="not unauthenticated_revoke",
        ),
    ),
)
