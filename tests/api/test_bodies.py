"""Forms, JSON and multipart: every shape that clients send, and every size that only an attacker does."""

import contextlib
import time
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudchamber.api.bodies import (
    MAX_FIELDS,
    MAX_FORM_DEPTH,
    MAX_JSON_CONTAINERS,
    MAX_JSON_DEPTH,
    MAX_KEY_LENGTH,
    MAX_PARTS,
    BodyInvalid,
    media_type,
    parse_body,
    parse_form,
    parse_json,
)

FORM = "application/x-www-form-urlencoded"


QUOTED = st.lists(
    st.sampled_from(
        [
            "%",
            "%C3",
            "%A9",
            "é",
            "¬",
            "€",
            "+",
            "a",
            "%2",
            "%zz",
            "%E2%82%AC",
            "%F0%9F",
            "😀",
            "%00",
            "=",
            "%25",
            "\x80",
            "%80",
        ]
    ),
    max_size=8,
)


@given(QUOTED.map("".join))
def test_what_is_quoted_is_what_the_standard_library_makes_of_it(text: str) -> None:
    try:
        expected = unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        with pytest.raises(BodyInvalid):
            parse_form(b"a=" + text.encode())
    else:
        assert parse_form(b"a=" + text.encode()) == {"a": expected}


@pytest.mark.parametrize(
    ("body", "tree"),
    [
        (b"", {}),
        (b"a=1", {"a": "1"}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a", {"a": ""}),
        (b"a=", {"a": ""}),
        (b"a=b=c", {"a": "b=c"}),
        (b"&&a=1&", {"a": "1"}),
        (b"a=x+y%20z%2B", {"a": "x y z+"}),
        ("a=ü&b=%C3%BC".encode(), {"a": "ü", "b": "ü"}),
        (b"a=1&a=2", {"a": ["1", "2"]}),
        (b"a[b]=c", {"a": {"b": "c"}}),
        (b"a%5Bb%5D=c", {"a": {"b": "c"}}),
        (b"a[b][c]=d&a[e]=f", {"a": {"b": {"c": "d"}, "e": "f"}}),
        (b"groups[]=x&groups[]=y", {"groups": ["x", "y"]}),
        (b"groups[0]=x&groups[1]=y", {"groups": ["x", "y"]}),
        (b"groups[1]=y&groups[0]=x", {"groups": ["x", "y"]}),
        (b"groups[1]=x&groups[]=y", {"groups": ["x", "y"]}),
        (b"a[][b]=1&a[][b]=2", {"a": [{"b": "1"}, {"b": "2"}]}),
        (b"headers[X-A]=b", {"headers": {"X-A": "b"}}),
        (b"product[settings][location][opt_in]=true", {"product": {"settings": {"location": {"opt_in": "true"}}}}),
        (b"[a]=1", {"[a]": "1"}),
        (b"a[b=1", {"a[b": "1"}),
        (b"a[b]c=1", {"a[b]c": "1"}),
    ],
)
def test_forms(body: bytes, tree: dict[str, Any]) -> None:
    assert parse_form(body) == tree


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"a=1&" * MAX_FIELDS, "More than 1000 fields"),
        (b"a" * (MAX_KEY_LENGTH + 1) + b"=1", "name is longer"),
        (b"a" + b"[b]" * (MAX_FORM_DEPTH + 1) + b"=1", "nested deeper"),
        (b"a=1&a[b]=2", "with and without brackets"),
        (b"a[b]=2&a=1", "with and without brackets"),
        (b"a[b]=1&a[b][c]=2", "with and without brackets"),
        (b"a=%FF", "not UTF-8"),
        (b"a=\xff", "not UTF-8"),
    ],
)
def test_forms_that_are_refused(body: bytes, message: str) -> None:
    with pytest.raises(BodyInvalid, match=message):
        parse_form(body)


names = st.text("abcXYZ_-. ü", min_size=1, max_size=8)
trees = st.dictionaries(
    names,
    st.recursive(
        st.text(max_size=10),
        lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3) | st.lists(inner, min_size=1, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)


def encode(tree: dict[str, Any]) -> str:
    """The form that means `tree`, with indexes for lists."""

    def pairs(name: str, value: Any) -> list[str]:
        if isinstance(value, str):
            return [f"{quote_plus(name)}={quote_plus(value)}"]
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [pair for key, item in items for pair in pairs(f"{name}[{key}]", item)]

    return "&".join(pair for name, value in tree.items() for pair in pairs(name, value))


def depth(value: Any) -> int:
    if isinstance(value, str):
        return 0
    return 1 + max(depth(item) for item in (value.values() if isinstance(value, dict) else value))


@given(trees)
def test_what_a_form_says_is_what_was_meant(tree: dict[str, Any]) -> None:
    if all(depth(value) <= MAX_FORM_DEPTH for value in tree.values()):
        assert parse_form(encode(tree).encode()) == tree


@given(st.binary() | st.text("a[]=&%0123 +", max_size=60).map(str.encode))
@example(b"a[" + b"]" * 100)
@example(b"a[]" * 50)
@example(b"[]=1&[]=2")
@example(b"a[]=1&a[][]=1")
def test_no_form_does_anything_but_parse_or_be_refused(body: bytes) -> None:
    try:
        tree = parse_form(body)
    except BodyInvalid:
        return
    assert isinstance(tree, dict)


# -- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"{", b"nope", b"'a'", b'{"a":}', b'{"a":NaN}', b"\xff", b'{"a":"\xff"}'])
def test_broken_json_is_refused(body: bytes) -> None:
    with pytest.raises(BodyInvalid, match="The body is not valid JSON"):
        parse_json(body)


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null", b"true"])
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BodyInvalid, match="must be an object"):
        parse_json(body)


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def test_json_may_be_nested_to_the_limit_and_no_further() -> None:
    assert parse_json(nested(MAX_JSON_DEPTH))
    with pytest.raises(BodyInvalid, match="nested deeper"):
        parse_json(nested(MAX_JSON_DEPTH + 1))
    wide = msgspec.json.encode({"a": [{"b": ["[[[" * 40, '\\"{{{' * 40]}] * 200})
    assert parse_json(wide), "brackets in texts and side by side are not depth"


def test_json_has_so_many_objects_and_lists_and_no_more() -> None:
    assert parse_json(b'{"a":[' + b",".join([b"[]"] * (MAX_JSON_CONTAINERS - 2)) + b"]}")
    with pytest.raises(BodyInvalid, match="objects and lists"):
        parse_json(b'{"a":[' + b",".join([b"{}"] * (MAX_JSON_CONTAINERS - 1)) + b"]}")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b"[]," * 350_000,
        b'{"a":[' + b"[]," * 300_000 + b"1]}",
        b'"' + b'\\"' * 500_000,
        b'"\\' * 500_000,
        b'{"a":' * 200_000,
        b"[" + b'"[",' * 250_000,
    ],
    ids=lambda body: body[:12].decode(),
)
def test_a_megabyte_of_brackets_or_quotes_takes_no_time(body: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(BodyInvalid):
        parse_json(body)
    # What is quadratic takes minutes; a busy machine does not.
    assert time.process_time() - started < 10


@given(st.binary() | st.text('{}[]":,\\a1 ', max_size=60).map(str.encode))
def test_no_json_does_anything_but_parse_or_be_refused(body: bytes) -> None:
    with contextlib.suppress(BodyInvalid):
        assert isinstance(parse_json(body), dict)


# -- content types, multipart ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "bare"),
    [(None, ""), ("", ""), ("Application/JSON; charset=utf-8", "application/json"), (" text/plain ;a=b", "text/plain")],
)
def test_media_types(content_type: str | None, bare: str) -> None:
    assert media_type(content_type) == bare


def test_the_content_type_decides_how_a_body_is_read() -> None:
    assert parse_body(FORM, b"a=1") == ({"a": "1"}, ())
    assert parse_body("application/json", b'{"a":1}') == ({"a": 1}, ())
    assert parse_body("text/plain", b"a=1") == ({}, ())
    assert parse_body(None, b"a=1") == ({}, ())
    assert parse_body("application/json", b"") == ({}, ()), "an empty body has no fields, whatever it says it is"


def multipart(*parts: tuple[str, bytes], boundary: bytes = b"xyz") -> bytes:
    whole = b""
    for disposition, content in parts:
        whole += b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (
            boundary,
            disposition.encode(),
            content,
        )
    return whole + b"--" + boundary + b"--\r\n"


def test_multipart_has_fields_and_files() -> None:
    body = multipart(
        ('name="a[b]"', b"1"), ('name="file"; filename="file"', b"id\r\nid2\r\n\x00"), ('name="u"', "ü".encode())
    )
    tree, files = parse_body("multipart/form-data; boundary=xyz", body)
    assert tree == {"a": {"b": "1"}, "u": "ü"}
    assert [(file.field, file.filename, file.content) for file in files] == [("file", "file", b"id\r\nid2\r\n\x00")]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", multipart(("name=a", b"1"))),
        ("multipart/form-data; boundary=other", multipart(("name=a", b"1"))),
        ("multipart/form-data; boundary=" + "x" * 71, multipart(("name=a", b"1"))),
        ("multipart/form-data; boundary=xyz", b"--xyz\r\nContent-Disposition: form-data; name=a\r\n\r\nno end"),
        ("multipart/form-data; boundary=xyz", b"nothing"),
        ("multipart/form-data; boundary=xyz", multipart(('name="a"', b"\xff"))),
        ("multipart/form-data; boundary=xyz", multipart(*[('name="a"', b"1")] * (MAX_PARTS + 1))),
    ],
)
def test_multipart_that_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(BodyInvalid, match="multipart body cannot be read"):
        parse_body(content_type, body)


@given(st.binary(), st.integers(0, 400))
def test_no_multipart_does_anything_but_parse_or_be_refused(noise: bytes, cut: int) -> None:
    whole = multipart(('name="a"', b"1"), ('name="f"; filename="x"', noise))
    for body in (noise, whole[:cut], whole[:cut] + noise + whole[cut:]):
        with contextlib.suppress(BodyInvalid):
            parse_body("multipart/form-data; boundary=xyz", body)
