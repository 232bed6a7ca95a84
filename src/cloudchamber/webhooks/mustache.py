"""Mustache templates, as far as webhooks have them: variables, sections, inverted sections, comments.

Not a library's, for two reasons. A template is written by one person and filled with another's data, so a name is only
ever looked up in plain JSON values: no attribute, no method, nothing of the server can be reached by any name. And both
are bounded: whoever writes `{{#a}}{{#a}}…` over long lists gets an error, not our memory.

Left out: partials (there is nothing to include) and changed delimiters; both are refused when the hook is made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from cloudchamber.webhooks.errors import TemplateInvalid

# The largest honest template is a JSON document of some kilobytes; what it becomes is one HTTP request.
MAX_TEMPLATE_LENGTH: Final = 64 * 1024
MAX_OUTPUT_LENGTH: Final = 512 * 1024
MAX_DEPTH: Final = 16
# Each step is one piece of text or one variable; sections over lists multiply them.
MAX_STEPS: Final = 50_000

Escape = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    is_escaped: bool


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    is_inverted: bool
    parts: "Template"


Part = str | Variable | Section
Template = tuple[Part, ...]


# As html.escape has it, whose module loads the names of all entities.
_ESCAPED: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


def escape_html(text: str) -> str:
    """What `{{name}}` does in Mustache; `{{{name}}}` and `{{&name}}` do not."""
    return text.translate(_ESCAPED)


def parse(text: str) -> Template:
    """Raises TemplateInvalid, which says where."""
    if len(text) > MAX_TEMPLATE_LENGTH:
        raise TemplateInvalid(f"A template has at most {MAX_TEMPLATE_LENGTH} characters")
    if "{{" not in text:
        return (text,) if text else ()
    return _parse_anew(text) if len(text) > _MAX_REMEMBERED_LENGTH else _parse(text)


# Each event of a hook has the same templates. Half a megabyte at the most, of text that is in memory anyway.
_MAX_REMEMBERED_LENGTH: Final = 2 * 1024


def _parse_anew(text: str) -> Template:
    open_sections: list[tuple[str, bool, list[Part]]] = []
    parts: list[Part] = []
    for literal, kind, name in _tags(text):
        if literal:
            parts.append(literal)
        match kind:
            case "" | "{" | "&":
                parts.append(Variable(name, is_escaped=kind == ""))
            case "#" | "^":
                if len(open_sections) >= MAX_DEPTH:
                    raise TemplateInvalid(f"Sections of a template are nested at most {MAX_DEPTH} deep")
                open_sections.append((name, kind == "^", parts))
                parts = []
            case "/":
                if not open_sections or open_sections[-1][0] != name:
                    raise TemplateInvalid(f"The template closes the section {name[:40]!r}, which is not the open one")
                _, is_inverted, outer = open_sections.pop()
                outer.append(Section(name, is_inverted, tuple(parts)))
                parts = outer
            case ">" | "=":
                raise TemplateInvalid("Templates here have no partials and no other delimiters than {{ and }}")
            case _:  # "!", a comment, and the end of the text
                pass
    if open_sections:
        raise TemplateInvalid(f"The template does not close the section {open_sections[-1][0][:40]!r}")
    return tuple(parts)


_parse = lru_cache(maxsize=256)(_parse_anew)


def _tags(text: str) -> Iterator[tuple[str, str, str]]:
    """The text before each tag, the tag's kind, the tag's name; the last has the kind "end". One pass."""
    at = 0
    while (begin := text.find("{{", at)) >= 0:
        is_triple = text.startswith("{{{", begin)
        closing = "}}}" if is_triple else "}}"
        start = begin + len(closing)
        end = text.find(closing, start)
        if end < 0:
            raise TemplateInvalid(f"The template opens a tag at character {begin + 1} and does not close it")
        inner = text[start:end]
        if is_triple:
            kind, name = "{", inner.strip()
        else:
            kind = inner[:1] if inner[:1] and inner[0] in "#^/&!>=" else ""
            name = inner[len(kind) :].strip()
        if not name and kind != "!":
            raise TemplateInvalid(f"The template has a tag without a name at character {begin + 1}")
        yield text[at:begin], kind, name
        at = end + len(closing)
    yield text[at:], "end", ""


def render(template: Template, context: Mapping[str, Any], escape_value: Escape = escape_html) -> str:
    """`context` holds JSON values. A name that is not there is empty text.

    Raises TemplateInvalid where the result would be larger than one request may be.
    """
    out = _Output()
    _render(template, [context], escape_value, out)
    return "".join(out.pieces)


class _Output:
    __slots__ = ("left", "pieces", "steps")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.left = MAX_OUTPUT_LENGTH
        self.steps = MAX_STEPS

    def add(self, text: str) -> None:
        self.left -= len(text)
        self.step()
        self.pieces.append(text)

    def step(self) -> None:
        self.steps -= 1
        if self.left < 0 or self.steps < 0:
            raise TemplateInvalid("What the template becomes is too large for one request")


def _render(template: Template, stack: list[Any], escape_value: Escape, out: _Output) -> None:
    for part in template:
        match part:
            case str():
                out.add(part)
            case Variable(name=name, is_escaped=is_escaped):
                text = as_text(_look_up(name, stack))
                out.add(escape_value(text) if is_escaped else text)
            case Section(name=name, is_inverted=is_inverted, parts=parts):
                value = _look_up(name, stack)
                is_falsy = value is None or value is False or value in ("", [])
                if is_inverted:
                    if is_falsy:
                        _render(parts, stack, escape_value, out)
                elif not is_falsy:
                    for item in value if isinstance(value, list) else (value,):
                        out.step()
                        stack.append(item)
                        _render(parts, stack, escape_value, out)
                        stack.pop()


def _look_up(name: str, stack: Sequence[Any]) -> Any:
    if name == ".":
        return stack[-1]
    # An event's data may have a field with dots in its name; the whole name wins over its parts.
    for scope in reversed(stack):
        if isinstance(scope, Mapping) and name in scope:
            return scope[name]
    first, *rest = name.split(".")
    for scope in reversed(stack):
        found, value = _step(scope, first)
        if found:
            for step in rest:
                found, value = _step(value, step)
                if not found:
                    return None
            return value
    return None


def _step(value: Any, name: str) -> tuple[bool, Any]:
    if isinstance(value, Mapping):
        return (True, value[name]) if name in value else (False, None)
    if isinstance(value, list) and name.isascii() and name.isdecimal() and len(name) <= 6 and int(name) < len(value):
        return True, value[int(name)]
    return False, None


def as_text(value: Any) -> str:
    """A value inside of a text: text as it is, nothing for null, everything else as JSON writes it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
