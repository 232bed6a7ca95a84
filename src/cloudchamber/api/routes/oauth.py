"""Tokens: the token endpoint, and what is known of tokens."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, BearerOrPassword, ClientCredentials, Family, Public, route
from cloudchamber.api.schemas.common import Ok
from cloudchamber.api.schemas.errors import OAuthFailure
from cloudchamber.api.schemas.oauth import CurrentToken, Grant, ListedToken, Token

FAMILY: Final = Family(
    "Tokens",
    "Tokens, and what is known of them.",
    (
        route(
            "POST",
            "/oauth/token",
            ClientCredentials(),
            "oauth.token",
            "Gives a token for a password, a client's credentials or a refresh token.",
            request=Grant,
            answer=Token,
            limit="token",
        ),
        # Every method: the wrong one gets the endpoint's own message.
        *(
            route(
                method,
                "/oauth/token",
                ClientCredentials(),
                "oauth.token",
                "Tells that the method must be POST.",
                answer={400: OAuthFailure},
                limit="token",
            )
            for method in ("GET", "PUT", "DELETE")
        ),
        route(
            "GET",
            "/v1/access_tokens",
            BearerOrPassword(Action.TOKENS_GET),
            "access_tokens.list_own",
            "Lists the tokens of whoever asks.",
            answer=list[ListedToken],
            limit="login",
        ),
        route(
            "DELETE",
            "/v1/access_tokens",
            Bearer(Action.TOKENS_REVOKE),
            "access_tokens.revoke_all",
            "Revokes all tokens of whoever asks.",
            answer=Ok,
        ),
        route(
            "GET",
            "/v1/access_tokens/current",
            Bearer(Action.TOKENS_GET),
            "access_tokens.current",
            "Tells of the token that is in use.",
            answer=CurrentToken,
        ),
        route(
            "DELETE",
            "/v1/access_tokens/current",
            Bearer(Action.TOKENS_REVOKE),
            "access_tokens.revoke_current",
            "Revokes the token that is in use.",
            answer=Ok,
        ),
        route(
            "DELETE",
            "/v1/access_tokens/{token}",
            Public("whoever knows a token may end it; SDK and CLI send no credentials"),
            "access_tokens.revoke",
            "Revokes a token.",
            answer=Ok,
            errors=(401,),
            limit="login",
            switch="unauthenticated_revoke",
        ),
        route(
            "DELETE",
            "/v1/access_tokens/{token}",
            BearerOrPassword(Action.TOKENS_REVOKE),
            "access_tokens.revoke_as",
            "Revokes a token.",
            answer=Ok,
            limit="login",
            switch="not unauthenticated_revoke",
        ),
    ),
)
