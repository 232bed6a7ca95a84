"""What requests and answers hold, as msgspec Structs: one module a family, named as in `api/routes/`.

They are the contract that the OpenAPI document states and that the tests hold every answer to; handlers go on reading
`Fields`, which takes the odd encodings that clients send. So a cloud that serves requests has none of them loaded: the
rows of the route table name them.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any


@cache
def documents() -> Mapping[str, Any]:
    """Every document by its name."""
    found: dict[str, Any] = {}
    for info in pkgutil.iter_modules(__path__, f"{__name__}."):
        found |= vars(importlib.import_module(info.name))
    return found
