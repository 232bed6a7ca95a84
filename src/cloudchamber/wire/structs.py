"""Bases of Structs in modules that may be compiled (docs/decisions/0017-compiled.md).

A compiled module makes its Structs without the options that follow the base in brackets. What a base says they inherit,
so each derives from the base that has its options, and repeats them for those who read and check the types.
"""

from msgspec import Struct


class Value(Struct, frozen=True):
    """Never altered, compared and hashed by its fields."""


class PlainValue(Struct, frozen=True, gc=False):
    """The same, of fields that can be part of no circle."""


class Entity(Struct, eq=False):
    """Itself, whatever its fields are."""


class PlainEntity(Struct, eq=False, gc=False):
    """The same, of fields that can be part of no circle."""
