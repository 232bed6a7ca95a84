"""Accounts and their passwords."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, Public, route
from cloudchamber.api.schemas.common import Message, Ok
from cloudchamber.api.schemas.users import NewUser, PasswordReset, Profile, ResetRequest

FAMILY: Final = Family(
    "Users",
    "Accounts and their passwords.",
    (
        route(
            "POST",
            "/v1/users",
            Public("registration, where the server has it open"),
            "users.register",
            "Makes an account.",
            request=NewUser,
            answer=Ok,
            errors=(403,),
            limit="login",
        ),
        route(
            "GET",
            "/v1/user",
            Bearer(Action.ACCOUNT_GET),
            "users.profile",
            "Shows the account of whoever asks.",
            answer=Profile,
        ),
        route(
            "POST",
            "/v1/user/password-reset",
            Public("asks for an e-mail; the answer tells nothing"),
            "users.request_reset",
            "Mails a token with which the password can be set anew.",
            request=ResetRequest,
            answer=Message,
            limit="reset",
        ),
        route(
            "PUT",
            "/v1/user/password-reset",
            Public("the mailed token is the credential"),
            "users.complete_reset",
            "Sets a new password.",
            request=PasswordReset,
            answer=Ok,
            limit="reset",
        ),
    ),
)
