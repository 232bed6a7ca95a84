"""The errors that a caller may want to tell apart.

    CloudError                     500  internal
    ├── Invalid                    400  invalid
    ├── Unauthenticated            401  unauthenticated
    ├── Forbidden                  403  forbidden
    ├── NotFound                   404  not_found
    ├── Conflict                   409  conflict
    ├── TooLarge                   413  too_large
    ├── TooManyRequests            429  rate_limit_exceeded
    └── Unavailable                503  unavailable

A domain package puts its own classes below these (storage/errors.py is the first). The HTTP edge needs only `status`,
`code` and `message`; nothing else of an error leaves the process.
"""

from typing import ClassVar


class CloudError(Exception):
    """Something that went wrong, said once for the program, once for the person and once for the log.

    `code` is stable: clients compare it, so it never changes with the wording. `message` is public and says what to do
    next. `detail` is for the log alone; secrets stay out of both.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    is_wrong_guess: ClassVar[bool] = False
    """A password, a secret or a code that somebody tried was wrong: too many of these lock an address out."""

    def __init__(self, message: str, *, detail: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class Invalid(CloudError):
    """The request makes no sense, whoever sends it."""

    code = "invalid"
    status = 400


class Unauthenticated(CloudError):
    """Nobody, or nobody that we can tell, is asking."""

    code = "unauthenticated"
    status = 401


class Forbidden(CloudError):
    """We know who is asking, and they may not."""

    code = "forbidden"
    status = 403


class NotFound(CloudError):
    """There is no such thing, or none that the requester may know of."""

    code = "not_found"
    status = 404


class Conflict(CloudError):
    """The request makes sense, but not in the state that things are in."""

    code = "conflict"
    status = 409


class TooLarge(CloudError):
    """More bytes, rows or items than one request may carry."""

    code = "too_large"
    status = 413


class TooManyRequests(CloudError):
    """More often than the limits allow, or than somebody who knows a secret has to try."""

    code = "rate_limit_exceeded"
    status = 429

    def __init__(self, wait_ms: int, message: str = "Rate limit exceeded.") -> None:
        super().__init__(message)
        self.retry_after_s = max(1, -(-wait_ms // 1000))


class Unavailable(CloudError):
    """Not now. The same request may work later."""

    code = "unavailable"
    status = 503
