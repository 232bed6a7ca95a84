"""The OpenAPI document as one page: static, no script, nothing from elsewhere, and a policy that allows no more."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

import msgspec

Json = dict[str, Any]

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --dim: #666; --code: #8881; }
@media (prefers-color-scheme: dark) { :root { --dim: #aaa; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; display: grid; grid-template-columns: 15rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1.5rem 1rem; box-sizing: border-box;
  border-right: 1px solid var(--line); }
nav a { display: block; text-decoration: none; padding: .1rem 0; }
main { padding: 1.5rem 2rem; max-width: 60rem; }
h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: .35rem 0; }
details { border-bottom: 1px solid var(--line); }
details > div { padding: 0 0 1rem 1.2rem; }
code, .method { font: 13px/1.4 ui-monospace, monospace; }
code { background: var(--code); padding: .1em .3em; border-radius: 3px; overflow-wrap: anywhere; }
.method { display: inline-block; width: 4.5em; font-weight: 700; }
.dim { color: var(--dim); }
pre { background: var(--code); font: 13px/1.4 ui-monospace, monospace; overflow: auto; padding: .5rem; }
table { border-collapse: collapse; margin: .3rem 0 .8rem; width: 100%; }
td { border-top: 1px solid var(--line); padding: .25rem .8rem .25rem 0; vertical-align: top; }
td:first-child { width: 12rem; }
h4 { margin: .8rem 0 .2rem; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; border: 0; } }
"""

_CLIENT: Final = "With a client's id and secret."

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)


def page(document: Json) -> bytes:
    """HTML of an OpenAPI document that `openapi()` made."""
    title = f"{document['info']['title']} {document['info']['version']}: API"
    tags = document["tags"]
    # What one row of the table says of several paths stands here once.
    by_tag: dict[str, dict[tuple[str, str], list[tuple[str, Json]]]] = {tag["name"]: {} for tag in tags}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            entries = by_tag[operation["tags"][0]]
            entries.setdefault((method.upper(), operation["summary"]), []).append((path, operation))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        "<nav><strong>API</strong>",
        *(f"<a href='#{_anchor(tag['name'])}'>{escape(tag['name'])}</a>" for tag in tags),
        "<a href='#documents'>Documents</a><a href='#errors'>Errors</a><a href='/openapi.json'>openapi.json</a></nav>",
        f"<main><h1>{escape(title)}</h1>",
        *(f"<p>{_text(block)}</p>" for block in document["info"]["description"].strip().split("\n\n")),
    ]
    for tag in tags:
        parts.append(f"<h2 id='{_anchor(tag['name'])}'>{escape(tag['name'])}</h2><p>{_text(tag['description'])}</p>")
        for (method, _), places in by_tag[tag["name"]].items():
            parts.extend(_operation(method, places, document["components"]["schemas"]))
    parts.append("<h2 id=documents>Documents</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts.append(f"<h3 id='d-{name}'>{name}</h3>")
        if "description" in schema:
            parts.append(f"<p>{_text(schema['description'])}</p>")
        parts.extend(_fields(schema))
        parts.extend(f"<pre>{escape(_json(example))}</pre>" for example in schema.get("examples", ()))
    parts.append("<h2 id=errors>Errors</h2><table>")
    for status, response in document["components"]["responses"].items():
        parts.append(f"<tr id='e-{status}'><td>{status}<td>{_text(response['description'])}")
    shapes = next(iter(document["components"]["responses"].values()))["content"]["application/json"]["schema"]
    parts.append(f"</table><p>The body is {_kind(shapes)}.</p></main></html>")
    return "".join(parts).encode()


def _operation(method: str, places: list[tuple[str, Json]], schemas: Json) -> Iterator[str]:
    # The path of the row's that stands first in the table is the one without a number.
    places = sorted(places, key=lambda place: (bool(place[1].get("deprecated")), len(place[1]["operationId"])))
    path, operation = places[0]
    yield f"<details id='{operation['operationId']}'><summary><span class=method>{method}</span>"
    yield f"<code>{escape(path)}</code> <span class=dim>{_text(operation['summary'])}</span></summary><div>"
    yield f"<p>{_text(operation.get('description', _CLIENT))}</p>"
    if len(places) > 1:
        yield f"<p>Also {', '.join(f'<code>{escape(other)}</code>' for other, _ in places[1:])}</p>"
    fields = [
        (field["name"], field["schema"] | {"description": field.get("description", "")}, field.get("required", False))
        for field in operation["parameters"]
    ]
    if fields:
        yield "<h4>Path and query</h4>"
        yield from _table(fields)
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]
        yield f"<h4>Body</h4><p>{_kind(next(iter(content.values()))['schema'])}"
        yield f" <span class=dim>as {', '.join(map(escape, content))}</span></p>"
        reference = next(iter(content.values()))["schema"].get("$ref", "")
        yield from _fields(schemas.get(reference.rpartition("/")[2], {}))
    yield "<h4>Answers</h4><table>"
    errors = []
    for status, response in operation["responses"].items():
        if "$ref" in response:
            errors.append(f"<a href='#e-{status}'>{status}</a>")
            continue
        kinds = [
            _kind(media["schema"]) if media_type == "application/json" and "schema" in media else escape(media_type)
            for media_type, media in response.get("content", {}).items()
        ]
        yield f"<tr><td>{status}<td>{' or '.join(kinds) or _text(response['description'])}"
    yield f"<tr><td>errors<td>{' '.join(errors)}</table></div></details>"


def _fields(schema: Json) -> Iterator[str]:
    required = schema.get("required", ())
    yield from _table((name, field, name in required) for name, field in schema.get("properties", {}).items())


def _table(fields: Iterable[tuple[str, Json, bool]]) -> Iterator[str]:
    yield "<table>"
    for name, field, is_required in fields:
        about = _text(field.get("description", "")) + "".join(
            f" <span class=dim>e.g. <code>{escape(_shown(example))}</code></span>"
            for example in field.get("examples", ())
            if not isinstance(example, bool) and "enum" not in field
        )
        need = "" if is_required else " <span class=dim>optional</span>"
        yield f"<tr><td><code>{escape(name)}</code>{need}<td>{_kind(field)}<td>{about}"
    yield "</table>"


def _shown(example: Any) -> str:
    return example if isinstance(example, str) else msgspec.json.encode(example).decode()


def _json(document: Json) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _kind(schema: Json) -> str:
    """A schema in few words, with links to the documents."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#d-{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if kind == "object" and schema.get("additionalProperties"):
        return f"object of {_kind(schema['additionalProperties'])}"
    if "contentMediaType" in schema:
        return "file"
    return escape(schema.get("format") or kind)


def _text(text: str) -> str:
    """Escaped, with `code` and **bold** as such."""
    safe = escape(text, quote=False)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)


def _anchor(name: str) -> str:
    return re.sub(r"\W+", "-", name.lower())
