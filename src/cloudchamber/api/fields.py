"""Typed access to the fields of a request.

Clients send the same field as JSON true, as "true" and as "1": each reader here accepts every form, says None where
the field is absent or null, and raises FieldInvalid, naming the field, where the value makes no sense.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import msgspec

from cloudchamber.api.bodies import Tree
from cloudchamber.errors import Invalid

# A note or a description; what is larger has its own reader or comes as a file.
MAX_TEXT_LENGTH: Final = 10_000
MAX_LIST_LENGTH: Final = 200_000

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class FieldInvalid(Invalid):
    code: ClassVar[str] = "field_invalid"


class Fields(Mapping[str, Any]):
    __slots__ = ("_values",)

    def __init__(self, values: Tree) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def without(self, *names: str) -> "Fields":
        return Fields({name: value for name, value in self._values.items() if name not in names})

    def text(self, name: str, *, max_length: int = MAX_TEXT_LENGTH) -> str | None:
        """Text; numbers and truth values as JSON writes them."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool | int | float):
            value = msgspec.json.encode(value).decode()
        if not isinstance(value, str):
            raise FieldInvalid(f"{name} must be one text")
        if len(value) > max_length:
            raise FieldInvalid(f"{name} is longer than {max_length} characters")
        return value

    def anything_as_text(self, name: str, *, max_length: int) -> str | None:
        """As `text`, with objects and lists as JSON: event data and function arguments are text on the device."""
        value = self._values.get(name)
        if isinstance(value, dict | list):
            text = msgspec.json.encode(value).decode()
            if len(text) > max_length:
                raise FieldInvalid(f"{name} is longer than {max_length} characters")
            return text
        return self.text(name, max_length=max_length)

    def flag(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is None or value == "" or value == "null":
            return None
        if isinstance(value, bool):
            return value
        text = str(value).lower() if isinstance(value, str | int) else ""
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise FieldInvalid(f"{name} must be true or false")

    def integer(self, name: str, *, at_least: int = -(2**31), at_most: int = 2**31 - 1) -> int | None:
        """Null comes as JSON null and as the text `null`; look with `in` whether the field was there."""
        value = self._values.get(name)
        if value is None or value == "" or value == "null":
            return None
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, float) and value.is_integer():
            number = int(value)
        elif isinstance(value, str) and len(value) <= 20:
            digits = value.strip().removeprefix("-")
            if digits.isascii() and digits.isdecimal():
                number = int(value)
        if number is None:
            raise FieldInvalid(f"{name} must be a whole number")
        if not at_least <= number <= at_most:
            raise FieldInvalid(f"{name} must be from {at_least} to {at_most}")
        return number

    def texts(self, name: str) -> list[str]:
        """A list of texts: a JSON array, a repeated field, `name[]=`, or one text with commas."""
        value = self._values.get(name)
        if value is None:
            return []
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list) or len(items) > MAX_LIST_LENGTH:
            raise FieldInvalid(f"{name} must be a list of texts")
        found = []
        for item in items:
            if isinstance(item, bool) or not isinstance(item, str | int):
                raise FieldInvalid(f"{name} must be a list of texts")
            text = str(item).strip()
            if text:
                found.append(text)
        return found

    def mapping(self, name: str) -> dict[str, Any]:
        """An object; absent, null and an empty list (what forms make of nothing) are an empty one."""
        value = self._values.get(name)
        if value is None or value in ([], ""):
            return {}
        if not isinstance(value, dict):
            raise FieldInvalid(f"{name} must be an object")
        return value


NO_FIELDS: Final = Fields({})
