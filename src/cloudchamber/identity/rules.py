"""What user names and passwords may be, and how often somebody may try."""

from collections.abc import Callable
from enum import Enum, auto
from itertools import pairwise
from typing import Any, Final

import msgspec

from cloudchamber.clock import DAY, MINUTE, Millis
from cloudchamber.identity.errors import (
    AccountInfoUnusable,
    CredentialsMissing,
    PasswordUnusable,
    UsernameUnusable,
)
from cloudchamber.identity.model import CodeFailures

# Longer input buys no security and costs hashing time (OWASP ASVS 6.2: at least 64 must be allowed).
MAX_PASSWORD_LENGTH = 256
# A user name is an e-mail address or any unique string; 254 is the longest address that can be delivered to.
MAX_USERNAME_LENGTH = 254

# What people put around a word from the list, at most.
_MAX_BEFORE: Final = 4
_MAX_AFTER: Final = 6
_EXCHANGED: Final = str.maketrans("0134578@$!|", "oieastbasii")
_KEYBOARD: Final = (
    "1234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm", "147258369", "789456123",
)  # fmt: skip


def normal_username(text: str) -> str:
    """User names are compared without regard to case and outer blanks.

    Raises CredentialsMissing, UsernameUnusable.
    """
    name = text.strip().lower()
    if not name:
        raise CredentialsMissing("username and password required")
    if len(name) > MAX_USERNAME_LENGTH or not name.isprintable():
        raise UsernameUnusable(f"A user name has at most {MAX_USERNAME_LENGTH} characters, all of them printable")
    return name


def is_address(username: str) -> bool:
    """Can mail go to this name? What is right of the @ decides; a mail server has the last word."""
    local, at, domain = username.rpartition("@")
    return bool(local and at and domain) and not any(c.isspace() or c in '<>(),;:"' for c in username)


class PasswordPolicy(msgspec.Struct, frozen=True):
    """Which passwords are taken. Any characters are, in any composition (OWASP ASVS 6.2)."""

    min_length: int = 1
    common: Callable[[], frozenset[str]] | None = None
    """Gives the words that a password must not consist of; None: none is looked up."""


def check_password(password: str, policy: PasswordPolicy, username: str = "") -> None:
    """Raises CredentialsMissing, PasswordUnusable."""
    if not password:
        raise CredentialsMissing("username and password required")
    if len(password) < policy.min_length:
        raise PasswordUnusable(f"The password has fewer than {policy.min_length} characters: choose a longer one")
    if len(password) > MAX_PASSWORD_LENGTH:
        raise PasswordUnusable(f"The password is longer than {MAX_PASSWORD_LENGTH} characters: choose a shorter one")
    if policy.common is not None and is_common(password, policy.common(), username):
        raise PasswordUnusable("This password is one of those that are guessed first: choose another")


def is_common(password: str, words: frozenset[str], username: str = "") -> bool:
    """A word of the list or the user's own name, with digits and signs around it and letters exchanged for digits; one
    thing again and again; or the keys of a keyboard in their order."""
    text = password.lower()
    own = {part for part in (username, username.partition("@")[0]) if len(part) > 2}
    return _is_word(text, words | own) or _is_repeated(text) or _is_run(text)


def _is_word(text: str, words: frozenset[str]) -> bool:
    for before in range(min(_MAX_BEFORE, len(text)) + 1):
        if before and text[before - 1].isalpha():
            break
        for after in range(min(_MAX_AFTER, len(text) - before) + 1):
            if after and text[-after].isalpha():
                break
            core = text[before : len(text) - after]
            if core in words or core.translate(_EXCHANGED) in words:
                return True
    return False


def _is_repeated(text: str) -> bool:
    return len(set(text)) <= 2 or any(text == (text[:size] * len(text))[: len(text)] for size in (3, 4))


def _is_run(text: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    return steps in ({1}, {-1}) or any(text in row * 3 or text in row[::-1] * 3 for row in _KEYBOARD)


# -- what is kept of a person ---------------------------------------------------------------------------------------

_MAX_INFO_FIELDS: Final = 30
_MAX_INFO_LENGTH: Final = 500


def merged_info(known: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Account information with some fields changed; null takes one away.

    Raises AccountInfoUnusable: it is for names and the like, not a store.
    """
    merged = {name: value for name, value in {**known, **changes}.items() if value is not None}
    if len(merged) > _MAX_INFO_FIELDS:
        raise AccountInfoUnusable(f"account_info has more than {_MAX_INFO_FIELDS} fields")
    for name, value in merged.items():
        if not isinstance(value, str | bool | int | float) or len(str(value)) + len(name) > _MAX_INFO_LENGTH:
            raise AccountInfoUnusable(
                f"account_info holds texts, numbers and truth values of at most {_MAX_INFO_LENGTH} characters"
            )
    return merged


# -- what a change of password or second factor ends ------------------------------------------------------------------


class Ending(Enum):
    """Which of a person's log-ins end with a change."""

    NONE = auto()
    OTHERS = auto()
    """All but the one that asked for the change."""
    ALL = auto()


def ending(asked: str | None, *, lasting: bool) -> Ending:
    """`asked` is `invalidate_tokens`: true, false, absent, or, beyond the vendor's API, `others`. `lasting` is the
    switch with which log-ins outlive a change that does not say otherwise."""
    match (asked or "").lower():
        case "true" | "1" | "yes" | "on":
            return Ending.ALL
        case "others":
            return Ending.OTHERS
        case _:
            return Ending.NONE if lasting else Ending.OTHERS


# -- tries of one-time codes ------------------------------------------------------------------------------------------

# A code has six digits, and three of them count at any time: ten tries find one with a chance of 1 in 33,000.
MAX_CODES: Final = 10
MAX_CODES_OF_A_LOG_IN: Final = 5
_FIRST_BLOCK_MS: Final = 30 * MINUTE
_LONGEST_BLOCK_MS: Final = DAY


def code_wait_ms(failures: CodeFailures, now: Millis) -> int:
    """0 when a user's next code may be tried; else in how many milliseconds. Only who knows the password gets to try
    codes, and after each ten wrong ones in a row they wait twice as long as before."""
    rounds, rest = divmod(failures.count, MAX_CODES)
    if rounds == 0 or rest != 0 or now < failures.last_at:
        return 0
    block = min(_FIRST_BLOCK_MS << min(rounds - 1, 10), _LONGEST_BLOCK_MS)
    return max(0, failures.last_at + block - now)
