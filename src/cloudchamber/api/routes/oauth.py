"""Tokens: the token endpoint, and what is known of tokens."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, BearerOrPassword, ClientCredentials, Family, Public, route
from cloudchamber.api.routes.paths import PRODUCT

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
            request="Grant",
            answer="Token",
            limit="token",
            direct="oauth.token_soon",
        ),
        # Every method: the wrong one gets the endpoint's own message.
        *(
            route(
                method,
                "/oauth/token",
                ClientCredentials(),
                "oauth.token",
                "Tells that the method must be POST.",
                answer={400: "OAuthFailure"},
                limit="token",
            )
            for method in ("GET", "PUT", "DELETE")
        ),
        route(
            "POST",
            "/oauth/revoke",
            ClientCredentials(),
            "oauth.revoke",
            "Ends a token of the client that asks (RFC 7009).",
            request="TokenInQuestion",
            answer="Nothing",
        ),
        route(
            "POST",
            "/oauth/introspect",
            ClientCredentials(),
            "oauth.introspect",
            "Tells what a token of the client or its product is good for (RFC 7662).",
            request="TokenInQuestion",
            answer="Introspection",
            direct="oauth.introspect_now",
        ),
        route(
            "GET",
            f"{PRODUCT}/access_tokens",
            Bearer(Action.PRODUCTS_UPDATE),
            "access_tokens.of_product",
            "Lists the tokens that act for a product or its customers.",
            query="ProductTokens",
            answer="ProductTokenList",
        ),
        route(
            "DELETE",
            f"{PRODUCT}/access_tokens/{{token}}",
            Bearer(Action.PRODUCTS_UPDATE),
            "access_tokens.revoke_of_product",
            "Ends a token that acts for a product or one of its customers.",
            answer={204: None},
        ),
        route(
            "GET",
            "/v1/access_tokens",
            BearerOrPassword(Action.TOKENS_GET),
            "access_tokens.list_own",
            "Lists the tokens of whoever asks.",
            answer="list[ListedToken]",
            limit="login",
        ),
        route(
            "DELETE",
            "/v1/access_tokens",
            Bearer(Action.TOKENS_REVOKE),
            "access_tokens.revoke_all",
            "Revokes all tokens of whoever asks.",
            answer="Ok",
        ),
        route(
            "GET",
            "/v1/access_tokens/current",
            Bearer(Action.TOKENS_GET),
            "access_tokens.current",
            "Tells of the token that is in use.",
            answer="CurrentToken",
        ),
        route(
            "DELETE",
            "/v1/access_tokens/current",
            Bearer(Action.TOKENS_REVOKE),
            "access_tokens.revoke_current",
            "Revokes the token that is in use.",
            answer="Ok",
        ),
        route(
            "DELETE",
            "/v1/access_tokens/{token}",
            Public("whoever knows a token may end it; SDK and CLI send no credentials"),
            "access_tokens.revoke",
            "Revokes a token.",
            answer="Ok",
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
            answer="Ok",
            limit="login",
            switch="not unauthenticated_revoke",
        ),
    ),
)
