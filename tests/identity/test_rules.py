import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.identity.errors import CredentialsMissing, PasswordUnusable, UsernameUnusable
from cloudchamber.identity.rules import check_password, normal_username


@pytest.mark.parametrize(
    ("given_", "name"),
    [(" Ann@Example.COM\n", "ann@example.com"), ("x", "x"), ("ä" * 254, "ä" * 254), ("a b", "a b")],
)
def test_a_user_name(given_, name) -> None:
    assert normal_username(given_) == name


@pytest.mark.parametrize("given_", ["", "  "])
def test_no_user_name_at_all(given_) -> None:
    with pytest.raises(CredentialsMissing, match=r"^username and password required$"):
        normal_username(given_)


@pytest.mark.parametrize("given_", ["a" * 255, "a\nb", "a\0b", "a\r\nBcc: b@example.com", "\ud800"])
def test_what_is_no_user_name(given_) -> None:
    with pytest.raises(UsernameUnusable, match="254 characters"):
        normal_username(given_)


@given(st.text())
def test_a_normal_name_stays_as_it_is(text) -> None:
    try:
        name = normal_username(text)
    except (CredentialsMissing, UsernameUnusable):
        return
    assert normal_username(name) == name


def test_passwords() -> None:
    for good in ("x", "short", "x" * 256, " ", "pässwörd 🚀"):
        check_password(good)
    with pytest.raises(CredentialsMissing, match=r"^username and password required$"):
        check_password("")
    with pytest.raises(PasswordUnusable):
        check_password("x" * 257)
