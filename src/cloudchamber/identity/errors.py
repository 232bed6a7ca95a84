"""What can go wrong with accounts.

CloudError
├── Invalid
│   ├── CredentialsMissing     user name or password not given
│   ├── UsernameUnusable       too long, or with characters that do not show
│   ├── PasswordUnusable       too short, too long, or one of those that are guessed first
│   ├── CurrentPasswordWrong   what somebody with a token typed to prove that they are its person
│   ├── AccountInfoUnusable    not a small flat object
│   ├── ChallengeUnknown       an mfa_token that is used, too old, another client's, or was never given out
│   ├── CodeWrong              a one-time or recovery code that is wrong, or was used before
│   └── ResetTokenInvalid      used before, expired, or never given out
├── Conflict
│   ├── UsernameTaken
│   ├── CustomerExists
│   └── OwnsProducts           an account that others depend on cannot go
├── NotFound
│   ├── CustomerNotFound
│   └── FactorNotFound
├── Forbidden
│   └── RegistrationClosed
└── Unavailable
    └── PasswordsBusy          the queue of password hashing is full
"""

from typing import ClassVar

from cloudchamber.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable


class CredentialsMissing(Invalid):
    code: ClassVar[str] = "credentials_missing"


class CustomerNotFound(NotFound):
    code: ClassVar[str] = "customer_not_found"


class UsernameUnusable(Invalid):
    code: ClassVar[str] = "username_unusable"


class PasswordUnusable(Invalid):
    code: ClassVar[str] = "password_unusable"


class CurrentPasswordWrong(Invalid):
    code: ClassVar[str] = "current_password_wrong"
    is_wrong_guess: ClassVar[bool] = True


class AccountInfoUnusable(Invalid):
    code: ClassVar[str] = "account_info_unusable"


class ChallengeUnknown(Invalid):
    code: ClassVar[str] = "challenge_unknown"


class CodeWrong(Invalid):
    code: ClassVar[str] = "code_wrong"
    is_wrong_guess: ClassVar[bool] = True


class OwnsProducts(Conflict):
    code: ClassVar[str] = "owns_products"


class FactorNotFound(NotFound):
    code: ClassVar[str] = "factor_not_found"


class ResetTokenInvalid(Invalid):
    code: ClassVar[str] = "reset_token_invalid"


class UsernameTaken(Conflict):
    code: ClassVar[str] = "username_taken"
    status: ClassVar[int] = 400


class CustomerExists(Conflict):
    code: ClassVar[str] = "customer_exists"
    status: ClassVar[int] = 400


class RegistrationClosed(Forbidden):
    code: ClassVar[str] = "registration_closed"


class PasswordsBusy(Unavailable):
    code: ClassVar[str] = "passwords_busy"
