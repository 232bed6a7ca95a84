"""Bases of Structs in modules that may be compiled (docs/decisions/0018-compiled.md).

A compiled module makes its Structs without the options that follow the base in brackets. Those of a base they inherit.
So each derives from the base that has its options, and repeats them for who reads and for the check of types.
"""

from msgspec import Struct


class Value(Struct, frozen=True):
    """Never altered, compared and hashed by its fields."""


class Entity(Struct, eq=False):
    """Itself, whatever its fields are."""
