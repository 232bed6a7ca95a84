"""What user names and passwords may be."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cloudchamber.identity.errors import CredentialsMissing, PasswordUnusable, UsernameUnusable

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


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """Which passwords are taken. Any characters are, in any composition (OWASP ASVS 6.2)."""

    min_length: int = 1
    common: frozenset[str] = frozenset()
    """Words that a password must not consist of; empty: none is looked up."""


def check_password(password: str, policy: PasswordPolicy, username: str = "") -> None:
    """Raises CredentialsMissing, PasswordUnusable."""
    if not password:
        raise CredentialsMissing("username and password required")
    if len(password) < policy.min_length:
        raise PasswordUnusable(f"The password has fewer than {policy.min_length} characters: choose a longer one")
    if len(password) > MAX_PASSWORD_LENGTH:
        raise PasswordUnusable(f"The password is longer than {MAX_PASSWORD_LENGTH} characters: choose a shorter one")
    if policy.common and is_common(password, policy.common, username):
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
