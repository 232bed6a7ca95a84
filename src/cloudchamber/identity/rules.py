"""What user names and passwords may be."""

from cloudchamber.identity.errors import CredentialsMissing, PasswordUnusable, UsernameUnusable

# Longer input buys no security and costs hashing time (OWASP ASVS 6.2: at least 64 must be allowed).
MAX_PASSWORD_LENGTH = 256
# A user name is an e-mail address or any unique string; 254 is the longest address that can be delivered to.
MAX_USERNAME_LENGTH = 254


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


def check_password(password: str) -> None:
    """Only what would be accepted by mistake is refused: existing clients bring short passwords of their own users.

    Raises CredentialsMissing, PasswordUnusable.
    """
    if not password:
        raise CredentialsMissing("username and password required")
    if len(password) > MAX_PASSWORD_LENGTH:
        raise PasswordUnusable(f"The password is longer than {MAX_PASSWORD_LENGTH} characters: choose a shorter one")
