"""A small honest request of each kind, from its document."""

from typing import Any

import msgspec


def sample(document: Any) -> dict[str, Any]:
    """The least that a request of this kind can hold: its required fields, with examples where there are."""
    document = document[0] if isinstance(document, tuple) else document
    return {
        field.encode_name: value_of(msgspec.inspect.type_info(field.type))
        for field in msgspec.structs.fields(document)
        if field.required
    }


def value_of(kind: msgspec.inspect.Type) -> Any:
    match kind:
        case msgspec.inspect.Metadata(type=inner, extra_json_schema=extra):
            examples = (extra or {}).get("examples")
            return examples[0] if examples else value_of(inner)
        case msgspec.inspect.StructType(cls=cls):
            return sample(cls)
        case msgspec.inspect.IntType():
            return 1
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.ListType(item_type=item):
            return [value_of(item)]
        case msgspec.inspect.LiteralType(values=values):
            return values[0]
        case msgspec.inspect.DictType():
            return {}
        case msgspec.inspect.UnionType(types=kinds):
            return value_of(kinds[0])
        case _:
            return "x"
