import re

from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.ids import hash_secret, new_claim_code, new_id, new_token, parse_device_id


def test_secrets_differ_and_have_their_format() -> None:
    for make, pattern in [
        (new_id, r"[0-9a-f]{24}"),
        (new_token, r"[0-9a-f]{40}"),
        (new_claim_code, r"[A-Za-z0-9+/]{63}"),
    ]:
        made = [make() for _ in range(2_000)]
        assert all(re.fullmatch(pattern, one) for one in made)
        assert len({one[:12] for one in made}) == len(made)  # no prefix in common


@given(st.text(alphabet="0123456789abcdefABCDEF", min_size=24, max_size=24))
def test_a_device_id_is_read_in_either_case(text) -> None:
    assert parse_device_id(text) == text.lower()


@given(st.text())
def test_nothing_else_is_a_device_id(text) -> None:
    assert parse_device_id(text) is None or re.fullmatch("[0-9a-fA-F]{24}", text)
    assert parse_device_id("0" * 24 + text) is None or not text


def test_a_hash_is_of_the_whole_secret() -> None:
    assert len(hash_secret("x")) == 32
    assert hash_secret("x") != hash_secret("x ")
