import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.clock import MINUTE, Millis
from cloudchamber.identity.errors import AccountInfoUnusable, CredentialsMissing, PasswordUnusable, UsernameUnusable
from cloudchamber.identity.model import CodeFailures
from cloudchamber.identity.passwords import common_words
from cloudchamber.identity.rules import (
    Ending,
    PasswordPolicy,
    check_password,
    code_wait_ms,
    ending,
    merged_info,
    normal_username,
)


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


USERS = PasswordPolicy(8, common_words)


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


@pytest.mark.parametrize(
    ("count", "blocked_minutes"),
    [(0, 0), (9, 0), (10, 30), (11, 0), (19, 0), (20, 60), (30, 120), (50, 480), (100, 24 * 60), (10_000, 24 * 60)],
)
def test_every_ten_wrong_codes_in_a_row_wait_twice_as_long(count: int, blocked_minutes: int) -> None:
    last = Millis(1_600_000_000_000)
    failures = CodeFailures(count, last)
    assert code_wait_ms(failures, last) == blocked_minutes * MINUTE
    assert code_wait_ms(failures, Millis(last + blocked_minutes * MINUTE)) == 0
    assert code_wait_ms(failures, Millis(last - 1)) == 0, "a clock that was set back blocks nobody"


@pytest.mark.parametrize(
    ("asked", "lasting", "expected"),
    [
        (None, True, Ending.NONE),
        (None, False, Ending.OTHERS),
        ("false", True, Ending.NONE),
        ("false", False, Ending.OTHERS),
        ("true", True, Ending.ALL),
        ("True", False, Ending.ALL),
        ("others", True, Ending.OTHERS),
        ("nonsense", False, Ending.OTHERS),
    ],
)
def test_which_log_ins_end(asked: str | None, lasting: bool, expected: Ending) -> None:
    assert ending(asked, lasting=lasting) is expected


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.none())))
def test_account_information_is_small_and_flat_or_refused(changes) -> None:
    try:
        merged = merged_info({"first_name": "Ann"}, changes)
    except AccountInfoUnusable:
        return
    assert None not in merged.values()
    assert len(merged) <= 30
