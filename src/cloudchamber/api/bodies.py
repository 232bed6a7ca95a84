"""Request bodies and query strings: bytes in, one tree of fields out. Pure, and bounded in every direction.

Forms nest as the vendor's clients write them: `settings[location]=x`, `groups[]=a&groups[]=b`, `groups[0]=a`. A field
that stands there twice becomes a list, so that whoever wants one value can refuse two.
"""

import io
import re
from collections.abc import Iterable
from typing import Any, ClassVar, Final
from urllib.parse import unquote_to_bytes

import falcon
import msgspec
from falcon.media import MultipartFormHandler
from falcon.media.multipart import MultipartParseOptions

from cloudchamber.api.auth import FORM
from cloudchamber.errors import Invalid

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"

# Every limit stops somebody who makes us work for free. The largest honest form is an import by `ids[]`, a few
# hundred fields; longer lists come as JSON or as a file.
MAX_FIELDS: Final = 1_000
MAX_KEY_LENGTH: Final = 200
MAX_FORM_DEPTH: Final = 5
# The deepest honest document is a webhook with a JSON template in it.
MAX_JSON_DEPTH: Final = 32
# A megabyte of empty lists is 350,000 objects, and takes the collector a quarter of a second; no honest document has
# more than some hundred.
MAX_JSON_CONTAINERS: Final = 10_000
MAX_PARTS: Final = 100

Tree = dict[str, Any]

# An unfinished string reaches to the end, so that no other match is tried inside of it (the pattern stays linear).
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class BodyInvalid(Invalid):
    """A body or query string that cannot be read; the message says what is wrong with it."""

    code: ClassVar[str] = "body_invalid"


class Upload(msgspec.Struct, frozen=True):
    """A file part of a multipart body; `field` is its name in the form."""

    field: str
    filename: str
    content: bytes


def media_type(content_type: str | None) -> str:
    """`application/json; charset=utf-8` -> `application/json`."""
    return content_type.partition(";")[0].strip().lower() if content_type else ""


def parse_body(content_type: str | None, body: bytes) -> tuple[Tree, tuple[Upload, ...]]:
    """The fields and files of a body. A content type that we do not know has no fields.

    Raises BodyInvalid.
    """
    if not body:
        return {}, ()
    kind = media_type(content_type)
    if kind == FORM:
        return parse_form(body), ()
    if kind == JSON or kind.endswith("+json"):
        return parse_json(body), ()
    if kind == MULTIPART:
        assert content_type is not None
        return parse_multipart(content_type, body)
    return {}, ()


# -- JSON -----------------------------------------------------------------------------------------------------------


def parse_json(body: bytes) -> Tree:
    """A JSON object. Raises BodyInvalid."""
    # Nesting needs brackets, and most bodies have few: only the others are walked.
    if body.count(b"{") + body.count(b"[") > MAX_JSON_DEPTH:
        brackets = _STRING.sub(b"", body).translate(None, _NOT_BRACKETS)
        if len(brackets) > 2 * MAX_JSON_CONTAINERS:
            raise BodyInvalid(f"The body is not valid JSON, or has more than {MAX_JSON_CONTAINERS} objects and lists")
        if _is_too_deep(brackets):
            raise BodyInvalid(f"The body is not valid JSON, or nested deeper than {MAX_JSON_DEPTH} levels")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyInvalid("The body is not valid JSON", detail=str(error)) from error
    if not isinstance(value, dict):
        raise BodyInvalid("The JSON body must be an object")
    return value


def _is_too_deep(brackets: bytes) -> bool:
    """Takes away the innermost brackets, one level a round; what is left over is deeper (or not JSON at all).

    Every step is one pass in C: a walk in Python over a megabyte of brackets would hold up everybody for 0.1 s.
    """
    for _ in range(MAX_JSON_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return bool(brackets)


# -- forms ------------------------------------------------------------------------------------------------------------


def parse_form(text: bytes) -> Tree:
    """A form body or a query string. Raises BodyInvalid."""
    if text.count(b"&") >= MAX_FIELDS:
        raise BodyInvalid(f"More than {MAX_FIELDS} fields in one request")
    try:
        decoded = text.decode()
        pairs = [_decoded_pair(pair) for pair in decoded.split("&") if pair]
    except UnicodeDecodeError as error:
        raise BodyInvalid("The form is not UTF-8") from error
    return build_tree(pairs)


def _decoded_pair(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    return _decoded(name), _decoded(value)


def _decoded(text: str) -> str:
    """As `unquote_plus(text, errors="strict")`, which takes twice as long. Raises UnicodeDecodeError."""
    if "+" in text:
        text = text.replace("+", " ")
    # Nothing that is not ASCII begins in the middle of a character, so it can be decoded with what is quoted beside it.
    return unquote_to_bytes(text).decode() if "%" in text else text


def build_tree(pairs: Iterable[tuple[str, str]]) -> Tree:
    """Fields with brackets in their names, as nested objects and lists. Raises BodyInvalid."""
    tree: Tree = {}
    has_brackets = False
    for name, value in pairs:
        if len(name) > MAX_KEY_LENGTH:
            raise BodyInvalid(f"A field's name is longer than {MAX_KEY_LENGTH} characters")
        if "[" in name and not name.startswith("["):
            has_brackets = True
            _insert(tree, _path(name), value)
        else:
            _put(tree, name, value)
    return {name: _with_lists(value) for name, value in tree.items()} if has_brackets else tree


def _path(name: str) -> list[str]:
    """`a[b][]` -> a, b and an empty step. Text that is not in closed brackets belongs to the first name."""
    base, _, rest = name.partition("[")
    if not rest.endswith("]"):
        return [name]
    steps = rest[:-1].split("][")
    if len(steps) > MAX_FORM_DEPTH:
        raise BodyInvalid(f"A field's name is nested deeper than {MAX_FORM_DEPTH} levels")
    return [base, *steps]


def _insert(tree: Tree, path: list[str], value: str) -> None:
    node = tree
    for step in path[:-1]:
        child = node.setdefault(step or _next_index(node), {})
        if not isinstance(child, dict):
            raise BodyInvalid("The same field was sent both with and without brackets")
        node = child
    _put(node, path[-1] or _next_index(node), value)


def _next_index(node: Tree) -> str:
    index = len(node)
    while str(index) in node:
        index += 1
    return str(index)


def _put(node: Tree, name: str, value: str) -> None:
    there = node.get(name)
    if there is None:
        node[name] = value
    elif isinstance(there, list):
        there.append(value)
    elif isinstance(there, dict):
        raise BodyInvalid("The same field was sent both with and without brackets")
    else:
        node[name] = [there, value]


def _with_lists(value: Any) -> Any:
    """`{"0": a, "1": b}` came from `x[]` or `x[0]`, and is a list."""
    if not isinstance(value, dict):
        return value
    if all(name.isascii() and name.isdecimal() and len(name) <= 4 for name in value):
        return [_with_lists(value[name]) for name in sorted(value, key=int)]
    return {name: _with_lists(item) for name, item in value.items()}


# -- multipart -----------------------------------------------------------------------------------------------------


def parse_multipart(content_type: str, body: bytes) -> tuple[Tree, tuple[Upload, ...]]:
    """Fields and files of a body that was read whole, under the route's limit. Raises BodyInvalid."""
    options = MultipartParseOptions()
    options.max_body_part_count = MAX_PARTS
    options.max_body_part_buffer_size = len(body)
    pairs: list[tuple[str, str]] = []
    files: list[Upload] = []
    try:
        for part in MultipartFormHandler(options).deserialize(io.BytesIO(body), content_type, len(body)):
            name = part.name or ""
            if part.filename is not None:
                files.append(Upload(name, part.filename, part.data))
            else:
                pairs.append((name, part.data.decode()))
    except (falcon.HTTPError, UnicodeError, ValueError) as error:
        raise BodyInvalid("The multipart body cannot be read", detail=repr(error)) from error
    return build_tree(pairs), tuple(files)
