"""The OpenAPI 3.1 document, from the route table alone: made once, when the server starts.

A path that several rows share becomes one path item; a row with several paths becomes an operation for each. Errors
are the same for all: a response for each status, with the shapes of schemas/errors.py.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from cloudchamber import __version__
from cloudchamber.api import examples
from cloudchamber.api.routes import (
    AnyToken,
    Bearer,
    BearerOrClient,
    BearerOrPassword,
    ClientCredentials,
    Family,
    Public,
    Raw,
    Route,
    Stream,
    enabled,
)
from cloudchamber.api.routes.model import errors_of
from cloudchamber.api.routes.paths import FIELDS, LEGACY_PRODUCT
from cloudchamber.api.schemas.errors import ERRORS, STATUSES
from cloudchamber.settings import Compat

Json = dict[str, Any]

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"

_REF: Final = "#/components/schemas/{name}"
_FIELD: Final = re.compile(r"{(\w+)(?::path)?}")
# Paths that older clients use; the newer one stands beside each.
_OLD_PATHS: Final = (LEGACY_PRODUCT, "/v1/webhooks", "/v1/user/products")

_ABOUT: Final = """\
The API of a device cloud that is compatible with Particle's.

**Requests.** Bodies are JSON or a form (`a[b]=c`, `list[]=x`) alike, files come as `multipart/form-data`;
`/oauth/token` takes forms alone. Numbers and truth values may be sent as text. Unknown fields are ignored.

**Tokens.** `Authorization: Bearer <token>`. A limited token needs the scope that stands beside the operation.

**Errors** are JSON, in one of a few shapes that follow from what went wrong. 401 means a bad token, and nothing else
does.

**Dates** are ISO 8601 in UTC with milliseconds: `2018-04-18T17:20:10.880Z`.
"""


def openapi(families: Iterable[Family], compat: Compat) -> Json:
    """The document, for a server with these switches."""
    shown = [(family, enabled(family.routes, compat)) for family in families]
    rows = [row for _, routes in shown for row in routes]
    refs, schemas = _schemas(rows)
    names = _names(rows)
    paths: dict[str, Json] = {}
    for family, routes in shown:
        for row in routes:
            for path in row.paths:
                operation = _operation(row, path, family, refs, compat)
                operation["operationId"] = names[row.method, path]
                paths.setdefault(path.replace(":path}", "}"), {})[row.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cloudchamber",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": family.name, "description": family.about} for family, routes in shown if routes],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error(status, refs) for status in STATUSES},
            "securitySchemes": _security_schemes(compat),
        },
    }


def _names(rows: Iterable[Route]) -> dict[tuple[str, str], str]:
    """Operation ids: the handler's name, with a number where it serves more than one operation."""
    seen: dict[str, int] = {}
    found = {}
    for row in rows:
        base = row.handler.strip("_").replace(".", "_")
        for path in row.paths:
            seen[base] = seen.get(base, 0) + 1
            found[row.method, path] = base if seen[base] == 1 else f"{base}_{seen[base]}"
    return found


# -- documents ------------------------------------------------------------------------------------------------------


def _schemas(rows: Iterable[Route]) -> tuple[dict[Any, Json], dict[str, Json]]:
    """For each document a reference to its schema; and the schemas by their names."""
    documents: dict[Any, None] = dict.fromkeys(ERRORS)
    for row in rows:
        for found in (row.request, row.query, *(row.answer or {}).values()):
            for document in found if isinstance(found, tuple) else (found,):
                if document is not None and not isinstance(document, Raw | Stream):
                    documents[document] = None
    refs, schemas = msgspec.json.schema_components(documents, ref_template=_REF)
    for schema in schemas.values():
        schema.pop("title", None)
        for field in schema.get("properties", {}).values():
            for each in (field, *field.get("anyOf", ())):
                if "contentMediaType" in each:
                    # A file is sent as it is, not in base64.
                    each.pop("contentEncoding", None)
    examples.give(schemas)
    return dict(zip(documents, refs, strict=True)), schemas


def _one_of(documents: Iterable[Any], refs: dict[Any, Json]) -> Json:
    found = [refs[document] for document in documents]
    return found[0] if len(found) == 1 else {"anyOf": found}


# -- operations -----------------------------------------------------------------------------------------------------


def _operation(row: Route, path: str, family: Family, refs: dict[Any, Json], compat: Compat) -> Json:
    operation: Json = {
        "tags": [family.name],
        "summary": row.summary,
        "security": _security(row, compat),
        "parameters": [*_path_fields(path), *_query_fields(row)],
        "responses": dict(_responses(row, refs)),
    }
    if isinstance(row.access, Public):
        operation["description"] = f"Open to everybody: {row.access.reason}."
    elif isinstance(row.access, AnyToken):
        operation["description"] = "Any token."
    elif not isinstance(row.access, ClientCredentials):
        operation["description"] = f"Scope: `{row.access.action.value}`."
    if path.startswith(_OLD_PATHS):
        operation["deprecated"] = True
    if row.request is not None:
        operation["requestBody"] = _request(row, refs)
    return operation


def _path_fields(path: str) -> Iterator[Json]:
    for name in _FIELD.findall(path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": FIELDS[name],
            "schema": {"type": "string", "minLength": 1, "examples": [examples.PATHS[name]]},
        }


def _query_fields(row: Route) -> Iterator[Json]:
    if row.query is None:
        return
    schemas = msgspec.json.schema(row.query)["$defs"]
    examples.give(schemas)
    document = schemas[row.query.__name__]
    for name, field in document["properties"].items():
        found: Json = {"name": name, "in": "query", "schema": {k: v for k, v in field.items() if k != "description"}}
        if "description" in field:
            found["description"] = field["description"]
        if name in document.get("required", ()):
            found["required"] = True
        yield found


def _request(row: Route, refs: dict[Any, Json]) -> Json:
    documents = row.request if isinstance(row.request, tuple) else (row.request,)
    media = {"schema": _one_of(documents, refs)}
    if isinstance(row.access, ClientCredentials):
        return {"required": True, "content": {FORM: media}}
    types = [JSON, FORM, *([MULTIPART] if any(map(has_file, documents)) else [])]
    required = not any(_may_be_empty(document) for document in documents)
    return {"required": required, "content": dict.fromkeys(types, media)}


def has_file(document: Any) -> bool:
    """Whether a request of this kind can carry a file."""
    return any(
        isinstance(each, msgspec.inspect.BytesType)
        for field in msgspec.structs.fields(document)
        for each in _kinds(msgspec.inspect.type_info(field.type))
    )


def _kinds(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    if isinstance(kind, msgspec.inspect.UnionType):
        for each in kind.types:
            yield from _kinds(each)
    elif isinstance(kind, msgspec.inspect.Metadata):
        yield from _kinds(kind.type)
    else:
        yield kind


def _may_be_empty(document: Any) -> bool:
    return not any(field.required for field in msgspec.structs.fields(document))


def _responses(row: Route, refs: dict[Any, Json]) -> Iterator[tuple[str, Json]]:
    for status, answer in (row.answer or {}).items():
        documents = answer if isinstance(answer, tuple) else (answer,)
        if status in errors_of(row):
            # What every route can answer comes besides what this one does.
            documents = tuple(dict.fromkeys((*documents, *ERRORS)))
        response: Json = {"description": _ANSWERED.get(status, "Done.")}
        content: Json = {}
        structs = [each for each in documents if each is not None and not isinstance(each, Raw | Stream)]
        if structs:
            content[JSON] = {"schema": _one_of(structs, refs)}
        for document in documents:
            if isinstance(document, Raw | Stream):
                media_type = document.content_type.partition(";")[0]
                content[media_type] = {} if media_type == JSON else {"schema": {"type": "string"}}
        if content:
            response["content"] = content
        yield str(status), response
    for status in errors_of(row):
        if status not in (row.answer or {}):
            yield str(status), {"$ref": f"#/components/responses/{status}"}


_ANSWERED: Final = {
    200: "Done.",
    201: "Made.",
    202: "Begun.",
    204: "Done; there is no body.",
    302: "A redirect.",
    **STATUSES,
}


def _error(status: int, refs: dict[Any, Json]) -> Json:
    return {"description": STATUSES[status], "content": {JSON: {"schema": _one_of(ERRORS, refs)}}}


# -- who may call ---------------------------------------------------------------------------------------------------


def _security_schemes(compat: Compat) -> Json:
    schemes: Json = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token."},
        "client": {"type": "http", "scheme": "basic", "description": "A client's id and secret."},
        "password": {"type": "http", "scheme": "basic", "description": "A user's name and password."},
    }
    if compat.query_token:
        schemes["query"] = {
            "type": "apiKey",
            "in": "query",
            "name": "access_token",
            "description": "A token, for clients that cannot set a header.",
        }
    return schemes


def _security(row: Route, compat: Compat) -> list[Json]:
    match row.access:
        case Public():
            return []
        case ClientCredentials():
            # Or in the body, which is why nothing is required.
            return [{"client": []}, {}]
        case AnyToken() | Bearer() | BearerOrClient() | BearerOrPassword():
            scopes = [] if isinstance(row.access, AnyToken) else [row.access.action.value]
            ways: list[Json] = [{"bearer": scopes}]
            if compat.query_token:
                ways.append({"query": scopes})
            if isinstance(row.access, BearerOrClient):
                ways.append({"client": []})
            if isinstance(row.access, BearerOrPassword):
                ways.append({"password": []})
            return ways
