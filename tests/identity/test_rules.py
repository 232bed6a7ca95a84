import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.identity.errors import CredentialsMissing, PasswordUnusable, UsernameUnusable
from cloudchamber.identity.passwords import common_words
from cloudchamber.identity.rules import PasswordPolicy, check_password, normal_username


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


def test_any_password() -> None:
    for good in ("x", "short", "x" * 256, " ", "pässwörd 🚀", "password"):
        check_password(good, PasswordPolicy())
    with pytest.raises(CredentialsMissing, match=r"^username and password required$"):
        check_password("", PasswordPolicy())
    with pytest.raises(PasswordUnusable, match="longer than 256"):
        check_password("x" * 257, PasswordPolicy())


USERS = PasswordPolicy(8, common_words())


@pytest.mark.parametrize(
    "good",
    [
        *("correct horse", "x7#kQ2pl", "        a-long-one", "пароль-и-ещё", "wintersday walk", "Tr0ub4dor&3x"),
        "bcdefg" * 42,
    ],
)
def test_a_users_password_of_any_composition(good: str) -> None:
    check_password(good, USERS, "ann@example.com")


@pytest.mark.parametrize(
    "bad",
    [
        *("password", "PASSWORD", "Password1", "p@ssw0rd!", "passw0rd2024!", "123password", "qwerty123", "iloveyou"),
        *("12345678", "123456789", "1234567890123", "87654321", "abcdefgh", "zyxwvuts", "qwertyuiop", "poiuytrewq"),
        *(
            "aaaaaaaa",
            "abababab",
            "abcabcabc",
            "12341234",
            "        ",
            "letmein1!",
            "Dragon99",
            "1qaz2wsx",
            "sunshine1",
        ),
        *("ann.smith", "ann.smith1", "Ann.Smith@example.com", "ann.smith2024!"),
    ],
)
def test_what_is_guessed_first_is_no_users_password(bad: str) -> None:
    with pytest.raises(PasswordUnusable, match="guessed first"):
        check_password(bad, USERS, "ann.smith@example.com")
    check_password(bad, PasswordPolicy(8), "ann.smith@example.com")


def test_a_users_password_has_eight_characters() -> None:
    for bad in ("x7#kQ2p", "ünïcödé"):
        with pytest.raises(PasswordUnusable, match="fewer than 8"):
            check_password(bad, USERS)


@given(st.text(min_size=1), st.text())
def test_every_password_is_taken_or_refused(password: str, username: str) -> None:
    with contextlib.suppress(PasswordUnusable):
        check_password(password, USERS, username)


def test_the_packaged_list_is_what_is_compared() -> None:
    words = common_words()
    assert len(words) > 900
    assert all(word == word.strip().lower() for word in words)
    assert max(map(len, words)) < 30
