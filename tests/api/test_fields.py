"""The same field as JSON and as a form."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.api.fields import FieldInvalid, Fields


@pytest.mark.parametrize("value", [True, "true", "True", "1", 1, "on", "yes"])
def test_true_in_every_form(value: Any) -> None:
    assert Fields({"a": value}).flag("a") is True


@pytest.mark.parametrize("value", [False, "false", "0", 0, "off", "no"])
def test_false_in_every_form(value: Any) -> None:
    assert Fields({"a": value}).flag("a") is False


@pytest.mark.parametrize("value", [None, "", "null"])
def test_nothing_in_every_form(value: Any) -> None:
    fields = Fields({"a": value})
    assert fields.flag("a") is None
    assert fields.integer("a") is None
    assert "a" in fields
    assert fields.flag("b") is None
    assert "b" not in fields


@pytest.mark.parametrize("value", ["maybe", 2, [], {}, 1.5, ["true", "true"]])
def test_what_is_no_truth_value_names_its_field(value: Any) -> None:
    with pytest.raises(FieldInvalid, match="a must be true or false"):
        Fields({"a": value}).flag("a")


@pytest.mark.parametrize(("value", "number"), [(5, 5), ("5", 5), ("-5", -5), (" 5 ", 5), (5.0, 5)])
def test_whole_numbers_in_every_form(value: Any, number: int) -> None:
    assert Fields({"a": value}).integer("a") == number


@pytest.mark.parametrize("value", ["5.5", 5.5, "x", True, [], {}, "٥", "9" * 30, "--5", "5-"])
def test_what_is_no_whole_number_names_its_field(value: Any) -> None:
    with pytest.raises(FieldInvalid, match="a must be"):
        Fields({"a": value}).integer("a")


def test_numbers_out_of_range_are_told_the_range() -> None:
    with pytest.raises(FieldInvalid, match="a must be from 1 to 10"):
        Fields({"a": 11}).integer("a", at_least=1, at_most=10)


@pytest.mark.parametrize(
    ("value", "text"), [("x", "x"), (1, "1"), (True, "true"), (1.5, "1.5"), (None, None), ("", "")]
)
def test_text_of_plain_values(value: Any, text: str | None) -> None:
    assert Fields({"a": value}).text("a") == text


@pytest.mark.parametrize("value", [["x", "y"], {"a": 1}])
def test_a_field_sent_twice_is_not_one_text(value: Any) -> None:
    with pytest.raises(FieldInvalid, match="a must be one text"):
        Fields({"a": value}).text("a")


def test_objects_as_text_are_json() -> None:
    assert Fields({"a": {"b": [1, True]}}).anything_as_text("a", max_length=100) == '{"b":[1,true]}'
    with pytest.raises(FieldInvalid, match="longer than 5"):
        Fields({"a": {"b": [1, True]}}).anything_as_text("a", max_length=5)
    with pytest.raises(FieldInvalid, match="longer than 5"):
        Fields({"a": "123456"}).text("a", max_length=5)


@pytest.mark.parametrize(
    ("value", "texts"),
    [("a,b", ["a", "b"]), (["a", "b"], ["a", "b"]), ("a", ["a"]), (None, []), ("", []), ([1], ["1"])],
)
def test_lists_in_every_form(value: Any, texts: list[str]) -> None:
    assert Fields({"a": value}).texts("a") == texts


@pytest.mark.parametrize("value", [{"a": "b"}, [["a"]], [True], 5])
def test_what_is_no_list_of_texts_names_its_field(value: Any) -> None:
    with pytest.raises(FieldInvalid, match="a must be a list"):
        Fields({"a": value}).texts("a")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_no_value_makes_a_reader_fail_otherwise(value: Any) -> None:
    fields = Fields({"a": value})
    for read in (fields.flag, fields.integer, fields.text, fields.texts, fields.mapping):
        with contextlib.suppress(FieldInvalid):
            read("a")
