"""What can go wrong with accounts.

CloudError
├── Invalid
│   ├── CredentialsMissing     user name or password not given
│   ├── UsernameUnusable       too long, or with characters that do not show
│   ├── PasswordUnusable       too short, too long, or one of those that are guessed first
│   └── ResetTokenInvalid      used before, expired, or never given out
├── Conflict
│   ├── UsernameTaken
│   └── CustomerExists
├── Forbidden
│   └── RegistrationClosed
└── Unavailable
    └── PasswordsBusy          the queue of password hashing is full
"""

from typing import ClassVar

from cloudchamber.errors import Conflict, Forbidden, Invalid, Unavailable


class CredentialsMissing(Invalid):
    code: ClassVar[str] = "credentials_missing"


class UsernameUnusable(Invalid):
    code: ClassVar[str] = "username_unusable"


class PasswordUnusable(Invalid):
    code: ClassVar[str] = "password_unusable"


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
