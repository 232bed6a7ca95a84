"""Accounts and their passwords."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, Public, route

FAMILY: Final = Family(
    "Users",
    "Accounts and their passwords.",
    (
        route("POST", "/v1/users", Public("registration, where the server has it open"), "users.register"),
        route("GET", "/v1/user", Bearer(Action.ACCOUNT_GET), "users.profile"),
        route(
            "POST",
            "/v1/user/password-reset",
            Public("asks for an e-mail; the answer tells nothing"),
            "users.request_reset",
        ),
        route("PUT", "/v1/user/password-reset", Public("the mailed token is the credential"), "users.complete_reset"),
    ),
)
