"""A hook and an event make an HTTP request. Pure.

What the templates see are the event's variables (http-api.md 15.3), under the `PARTICLE_` and the older `SPARK_` names,
and the fields of the event's data where these are a JSON object. A variable's own name wins over a field's.

`{{name}}` escapes HTML in bodies, as Mustache does and clients expect, and percent-encodes in the URL, where HTML would
make no sense; `{{{name}}}` escapes nothing. In `json`, `form`, `query` and `headers` each text is a template of its
own, so that no event's data can break out of its place.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

import msgspec

from cloudchamber.clock import iso
from cloudchamber.messaging.model import Event
from cloudchamber.webhooks.errors import TemplateInvalid, WebhookInvalid
from cloudchamber.webhooks.model import HookRequest, Settings, Webhook
from cloudchamber.webhooks.mustache import parse, render

USER_AGENT: Final = "ParticleBot/1.1"
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"})
MAX_URL_LENGTH: Final = 8_192
MAX_HEADERS: Final = 50
# As deep as a form's names nest (api/bodies.py) is as deep as anybody needs to.
_MAX_DEPTH: Final = 32

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_NOT_HEADER_TEXT = re.compile(r"[\x00-\x1f\x7f]+")
_NOT_URL = re.compile(r"[\x00-\x20\x7f-\U0010ffff\"<>\\^`{|}]")
# What `quote_plus` leaves as it is, which it takes long to find out.
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
# What frames the message is the sender's own matter.
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "keep-alive", "expect"}
)
_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"


def read_settings(settings: Mapping[str, Any]) -> Settings:
    """Raises WebhookInvalid, which names the field."""
    aliases = {"deviceid": "deviceID", "deviceId": "deviceID"}
    known = {aliases.get(name, name): value for name, value in settings.items() if value not in (None, "")}
    try:
        return msgspec.convert(known, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise WebhookInvalid(f"The webhook's settings cannot be read: {error}") from error


def check_templates(hook: Webhook) -> None:
    """Raises WebhookInvalid: better when the hook is made than when an event comes."""
    settings = read_settings(hook.settings)
    if settings.requestType.upper() not in METHODS:
        raise WebhookInvalid(f"requestType is one of {', '.join(sorted(METHODS))}")
    if len(settings.headers or ()) > MAX_HEADERS:
        raise WebhookInvalid(f"A webhook has at most {MAX_HEADERS} headers")
    for name in settings.headers or ():
        if not _HEADER_NAME.fullmatch(name):
            raise WebhookInvalid(f"{name[:40]!r} cannot be the name of a header")
    single = (
        hook.url,
        settings.body,
        settings.responseTemplate,
        settings.responseTopic,
        settings.errorResponseTopic,
    )
    for text in single:
        parse(text or "")
    for tree in (settings.auth, settings.headers, settings.query, settings.json, settings.form):
        for text in _texts(tree, 0):
            parse(text)


def _texts(tree: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise WebhookInvalid(f"A webhook's templates are nested at most {_MAX_DEPTH} deep")
    match tree:
        case str():
            yield tree
        case dict():
            for value in tree.values():
                yield from _texts(value, depth + 1)
        case list():
            for value in tree:
                yield from _texts(value, depth + 1)


class Variables(Mapping[str, Any]):
    """What templates see of an event; made when the first of them asks."""

    def __init__(self, event: Event, event_id: str) -> None:
        self._event = event
        self._event_id = event_id

    @cached_property
    def _all(self) -> dict[str, Any]:
        event = self._event
        value = event.data or ""
        at = iso(event.published_at)
        own = {
            "PARTICLE_DEVICE_ID": event.source,
            "PARTICLE_EVENT_NAME": event.name,
            "PARTICLE_EVENT_VALUE": value,
            "PARTICLE_PUBLISHED_AT": at,
            "PARTICLE_EVENT_ID": self._event_id,
            "PARTICLE_EVENT_JSON": msgspec.json.encode(default_fields(event)).decode(),
            "PARTICLE_EVENT_BASE64": base64.b64encode(value.encode()).decode(),
            "PRODUCT_ID": event.product_id,
            "PRODUCT_USER_ID": event.user_id,
            "PRODUCT_VERSION": event.version,
            "SPARK_CORE_ID": event.source,
            "SPARK_DEVICE_ID": event.source,
            "SPARK_EVENT_NAME": event.name,
            "SPARK_EVENT_VALUE": value,
            "SPARK_PUBLISHED_AT": at,
        }
        return {**json_object(value), **own}

    def __getitem__(self, name: str) -> Any:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def default_fields(event: Event) -> dict[str, str]:
    return {
        "event": event.name,
        "data": event.data or "",
        "published_at": iso(event.published_at),
        "coreid": event.source,
    }


def json_object(text: str) -> dict[str, Any]:
    """The object that `text` is in JSON, else an empty one."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def build(hook: Webhook, event: Event, event_id: str) -> HookRequest:
    """Raises WebhookInvalid (TemplateInvalid) where the settings and this event make no request."""
    settings = read_settings(hook.settings)
    context = Variables(event, event_id)
    method = settings.requestType.upper()
    if method not in METHODS:
        raise WebhookInvalid(f"The request type {method[:20]!r} cannot be sent")
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*"}
    query: dict[str, Any] = {}
    body, content_type = b"", ""
    defaults: dict[str, Any] = {} if settings.noDefaults else default_fields(event)
    if settings.query is not None:
        query = _rendered(settings.query, context)
    if settings.body is not None:
        body, content_type = render(parse(settings.body), context).encode(), "text/plain; charset=utf-8"
    elif isinstance(settings.json, str):
        body, content_type = render(parse(settings.json), context).encode(), _JSON
    elif isinstance(settings.json, list):
        body, content_type = msgspec.json.encode(_rendered(settings.json, context)), _JSON
    elif settings.json is not None:
        body, content_type = msgspec.json.encode(defaults | _rendered(settings.json, context)), _JSON
    elif settings.form is not None:
        body, content_type = _form(defaults | _rendered(settings.form, context)), _FORM
    elif method in {"GET", "HEAD"}:
        query = defaults | query
    elif defaults:
        body, content_type = _form(defaults), _FORM
    if body:
        headers["Content-Type"] = content_type
    headers |= _authorization(settings.auth, context)
    for name, template in (settings.headers or {}).items():
        if name.lower() not in _OWN_HEADERS and _HEADER_NAME.fullmatch(name):
            value = render(parse(template), context, _as_it_is)
            _replace(headers, name, _NOT_HEADER_TEXT.sub(" ", value).strip())
    return HookRequest(
        method, _url(hook.url, context, query), tuple(headers.items()), body, settings.rejectUnauthorized
    )


def plain_url(url: str, encoding: str = "utf-8") -> str:
    """What may not stand in a URL as it is, percent-encoded: nothing ends the line that it is sent in."""
    return _NOT_URL.sub(lambda match: quote(match[0], safe="", encoding=encoding), url)


def _url(template: str, context: Mapping[str, Any], query: dict[str, Any]) -> str:
    url = render(parse(template), context, lambda text: quote(text, safe=""))
    scheme, host, path, own_query = _parts(url)
    joined = "&".join(piece for piece in (own_query, _form(query).decode()) if piece)
    made = urlunsplit((scheme, host, path, joined, ""))
    if len(made) > MAX_URL_LENGTH:
        raise TemplateInvalid(f"The webhook's url becomes longer than {MAX_URL_LENGTH} characters")
    return made


@lru_cache(maxsize=256)
def _parts(url: str) -> tuple[str, str, str, str]:
    """Scheme, host and port, path, query; most hooks' are the same for each event."""
    url = plain_url(url.strip())
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise TemplateInvalid("The webhook's url is not one") from error
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise TemplateInvalid("The webhook's url does not begin with http:// or https:// and a host")
    return parts.scheme.lower(), parts.netloc, parts.path or "/", parts.query


def _authorization(auth: dict[str, str] | None, context: Mapping[str, Any]) -> dict[str, str]:
    if not auth:
        return {}
    said = {name: render(parse(template), context, _as_it_is) for name, template in auth.items()}
    if "bearer" in said:
        return {"Authorization": _NOT_HEADER_TEXT.sub(" ", f"Bearer {said['bearer']}")}
    name, password = said.get("username", said.get("user", "")), said.get("password", said.get("pass", ""))
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def _replace(headers: dict[str, str], name: str, value: str) -> None:
    for there in [there for there in headers if there.lower() == name.lower()]:
        del headers[there]
    headers[name] = value


def _as_it_is(text: str) -> str:
    return text


def _rendered(tree: Any, context: Mapping[str, Any]) -> Any:
    """The same tree, each text rendered. Escaping is the encoder's: JSON and forms have their own."""
    match tree:
        case str():
            return render(parse(tree), context, _as_it_is)
        case dict():
            return {name: _rendered(value, context) for name, value in tree.items()}
        case list():
            return [_rendered(value, context) for value in tree]
        case _:
            return tree


def _form(fields: Mapping[str, Any]) -> bytes:
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in _pairs(fields, "")).encode()


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote_plus(text)


def _pairs(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from _pairs(inner, f"{path}[{name}]" if path else name)
        case list():
            for index, inner in enumerate(value):
                yield from _pairs(inner, f"{path}[{index}]")
        case None:
            yield path, ""
        case bool():
            yield path, "true" if value else "false"
        case _:
            yield path, str(value)
