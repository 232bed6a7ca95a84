"""Which route a path is: a tree of its parts, in the place of Falcon's router.

Falcon's writes a program for its routes and compiles it with the first request, which takes 17 ms and leaves 5 MB. This
one finds the same (tests/api/test_router.py has both look for the same paths) in two microseconds, and what is asked
often does not come here (direct.py).
"""

import re
from typing import Any, Final

from falcon.routing import map_http_methods, set_default_responders

Found = tuple[object, Any, dict[str, Any], str | None]

# What a part of a path may be besides a word: any part, or all the rest of the path.
_FIELD: Final = re.compile(r"\{(\w+)(:path)?\}")


class _Node:
    __slots__ = ("field", "methods", "name", "resource", "rest", "template", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.field: _Node | None = None
        self.rest: _Node | None = None
        self.name = ""
        """Of the field that this node is."""
        self.resource: object = None
        self.methods: Any = None
        self.template: str | None = None


class Router:
    def __init__(self) -> None:
        self._root = _Node()

    def add_route(self, uri_template: str, resource: object, **_options: Any) -> None:
        """See Falcon's interface of custom routers. `{name}` is a part of the path, `{name:path}` all that is left."""
        node = self._root
        for part in uri_template.lstrip("/").split("/"):
            node = _child(node, part, uri_template)
        assert node.template is None, f"{uri_template} is {node.template}"
        methods = map_http_methods(resource)
        set_default_responders(methods, asgi=True)
        node.resource, node.methods, node.template = resource, methods, uri_template

    def find(self, uri: str, req: Any = None) -> Found | None:
        fields: dict[str, Any] = {}
        node = _find(self._root, uri.lstrip("/").split("/"), 0, fields)
        return None if node is None else (node.resource, node.methods, fields, node.template)


def _child(node: _Node, part: str, template: str) -> _Node:
    field = _FIELD.fullmatch(part)
    if field is None:
        assert "{" not in part, f"{template}: a field is a whole part of a path"
        return node.words.setdefault(part, _Node())
    takes_rest = field[2] is not None
    child = node.rest if takes_rest else node.field
    if child is None:
        child = _Node()
        child.name = field[1]
        if takes_rest:
            node.rest = child
        else:
            node.field = child
    assert child.name == field[1], f"{template}: another route calls this part {child.name}"
    return child


def _find(node: _Node, parts: list[str], at: int, fields: dict[str, Any]) -> _Node | None:
    """A word goes before a field, whatever comes behind; a field before all the rest."""
    if at == len(parts):
        return None if node.template is None else node
    word = node.words.get(parts[at])
    if word is not None and (found := _find(word, parts, at + 1, fields)) is not None:
        return found
    field = node.field
    if field is not None:
        # Before what comes behind it: the audit log names them in the order of the path.
        fields[field.name] = parts[at]
        if (found := _find(field, parts, at + 1, fields)) is not None:
            return found
        del fields[field.name]
    if node.rest is not None:
        fields[node.rest.name] = "/".join(parts[at:])
        return node.rest
    return None
