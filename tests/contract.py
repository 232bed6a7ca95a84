"""Every answer that a cloud gives in a test is held to what the route table declares: its status, its content type,
and its body, field by field. `tests/conftest.py` puts the watch on every application that a test makes,
`tests/watched.py` on those of processes that tests start."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

import falcon
import msgspec

import cloudchamber.app
from cloudchamber.api.direct import FormWay, Way
from cloudchamber.api.errors import Rendered, text_error
from cloudchamber.api.routes import ROUTES, Page, Raw, Route, Stream, enabled, route
from cloudchamber.api.routes.model import errors_of
from cloudchamber.api.schemas.common import Open
from cloudchamber.api.schemas.errors import ERRORS
from cloudchamber.console.section import HTML, PREFIX
from cloudchamber.console.sections import ROUTES as CONSOLE
from cloudchamber.settings import Compat

JSON: Final = "application/json; charset=utf-8"


class Watch:
    """Middleware of Falcon's; sees the answer as the handler or the error handler made it."""

    def __init__(self, compat: Compat, tell: Callable[[str], Any]) -> None:
        self._rows = {(row.method, path): row for row in enabled((*ROUTES, *CONSOLE), compat) for path in row.paths}
        self._tell = tell

    async def process_response(self, req: Any, resp: Any, _resource: Any, _succeeded: bool) -> None:
        if req.method == "OPTIONS":
            return
        row = self._rows.get((req.method, req.uri_template))
        if row is None and req.method == "HEAD":
            row = self._rows.get(("GET", req.uri_template))
        if row is None and (req.path == PREFIX or req.path.startswith(PREFIX + "/")):
            row = NO_PAGE
        status = falcon.http_status_to_code(resp.status)
        content_type = resp.get_header("content-type") or (JSON if resp.data is not None else None)
        for wrong in faults(row, req.method, status, content_type, resp.data, is_stream=resp.stream is not None):
            self._tell(f"{req.method} {req.uri_template or req.path}: {wrong}")

    def direct(self, way: Way | FormWay, status: int, body: bytes) -> None:
        """What api/direct.py answers; server.py writes its head (tests/api/test_direct.py)."""
        for wrong in faults(self._rows[way.method, way.template], way.method, status, JSON, body, is_stream=False):
            self._tell(f"{way.method} {way.template}, directly: {wrong}")


def watch_applications(tell: Callable[[str], Any], patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Every application that is made from now on tells its faults."""
    create_app = cloudchamber.app.create_app

    def watched(services: Any, settings: Any, *parts: Any) -> Any:
        app = create_app(services, settings, *parts)
        watch = Watch(settings.compat, tell)
        app.add_middleware(watch)
        for part in app.late:
            part.on_made = lambda made: made.add_middleware(watch)
        if app.direct is not None:
            app.direct.watch = watch.direct
        return app

    patch(cloudchamber.app, "create_app", watched)


def faults(
    row: Route | None, method: str, status: int, content_type: str | None, body: bytes | None, *, is_stream: bool
) -> Iterator[str]:
    """What of an answer the table does not say."""
    declared = (row.answer or {}) if row is not None else {}
    if status not in declared:
        if status >= 400 and (status in {404, 405} if row is None else status in errors_of(row)):
            yield from _as_error(status, content_type, body)
        else:
            yield f"status {status} is not declared: {(body or b'')[:200]!r}"
        return
    options = declared[status]
    options = options if isinstance(options, tuple) else (options,)
    if method == "HEAD":
        return
    tried = [list(_misfits(option, content_type, body, is_stream)) for option in options]
    if row is not None and status in errors_of(row):
        # What every route can answer comes besides what this one does.
        tried.append(list(_as_error(status, content_type, body)))
    if all(tried):
        yield f"status {status}: {min(tried, key=len)}"


def _as_error(status: int, content_type: str | None, body: bytes | None) -> Iterator[str]:
    tried = [list(_misfits(shape, content_type, body, False)) for shape in ERRORS]
    if all(tried):
        yield f"status {status}: an error in no shape that is declared: {body!r}"


def _misfits(document: Any, content_type: str | None, body: bytes | None, is_stream: bool) -> Iterator[str]:
    match document:
        case None:
            if body:
                yield f"a body where none is declared: {body[:200]!r}"
        case Stream(content_type=wanted):
            if not is_stream or content_type != wanted:
                yield f"no stream of {wanted}, but {content_type}"
        case Raw(content_type=wanted):
            if content_type != wanted:
                yield f"content type {content_type}, not {wanted}"
        case _:
            if content_type != JSON or body is None:
                yield f"content type {content_type}, not {JSON}"
                return
            try:
                value = msgspec.json.decode(body)
                msgspec.convert(value, document)
            except msgspec.DecodeError as error:
                yield f"{error}: {body[:300]!r}"
            else:
                yield from undeclared(_kind(document), value, "$")


_kind: Final = functools.cache(msgspec.inspect.type_info)


def undeclared(kind: msgspec.inspect.Type, value: Any, where: str) -> Iterator[str]:
    """Fields that no Struct declares. `Open` ones may have them."""
    match kind:
        case msgspec.inspect.StructType(cls=cls, fields=fields) if isinstance(value, dict):
            known = {field.encode_name: field.type for field in fields}
            for name, item in value.items():
                if name in known:
                    yield from undeclared(known[name], item, f"{where}.{name}")
                elif not issubclass(cls, Open):
                    yield f"{where}.{name} is not declared"
        case msgspec.inspect.ListType(item_type=item_kind) if isinstance(value, list):
            for index, item in enumerate(value):
                yield from undeclared(item_kind, item, f"{where}[{index}]")
        case msgspec.inspect.DictType(value_type=item_kind) if isinstance(value, dict):
            for name, item in value.items():
                yield from undeclared(item_kind, item, f"{where}.{name}")
        case msgspec.inspect.UnionType(types=kinds):
            for each in kinds:
                yield from undeclared(each, value, where)
        case msgspec.inspect.Metadata(type=inner):
            yield from undeclared(inner, value, where)


def rendered(error: Rendered) -> bytes:
    return msgspec.json.encode(error.body)


NO_PAGE: Final = route("GET", PREFIX, Page("people look at it"), "", answer=dict.fromkeys((404, 405), HTML))
"""Where the console has no row, its answer is a page."""

NOT_FOUND: Final = rendered(text_error(404, "Not found"))
