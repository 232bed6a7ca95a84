"""What a host's answer becomes: events for whoever waits for it, and an entry of the log. Pure."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from cloudchamber.messaging.model import Event
from cloudchamber.webhooks.errors import TemplateInvalid
from cloudchamber.webhooks.model import Answered, HookRequest, Outcome, Settings, Webhook
from cloudchamber.webhooks.mustache import parse, render
from cloudchamber.webhooks.requests import Variables, json_object, read_settings
from cloudchamber.webhooks.rules import error_text, is_success

# http-api.md 15.3: an answer goes out in pieces of 512 bytes, of 100 KB at most.
CHUNK_BYTES: Final = 512
MAX_RESPONSE_BYTES: Final = 100 * 1024
# The largest event that a device may be sent in one piece.
_MAX_UNCHUNKED_BYTES: Final = 1024
MAX_TOPIC_LENGTH: Final = 64
_MAX_SHOWN: Final = 4_096

_HIDDEN: Final = frozenset({"authorization", "cookie", "set-cookie", "x-api-key", "proxy-authorization"})


def events_of(hook: Webhook, event: Event, event_id: str, outcome: Outcome) -> list[tuple[str, str]]:
    """Names and data of the events that tell of a delivery that ended, in their order."""
    settings = read_settings(hook.settings)
    context = Variables(event, event_id)
    if not is_success(outcome):
        topic = _topic(settings.errorResponseTopic, context, _default_topic(hook, event, "hook-error"))
        return [(f"{topic}/0", error_text(outcome))]
    assert isinstance(outcome, Answered), "only an answer is a success"
    told = [(f"hook-sent/{event.name}", "undefined")]
    text = _response_text(settings, context, outcome)
    topic = _topic(settings.responseTopic, context, _default_topic(hook, event, "hook-response"))
    if settings.unchunked:
        if text:
            told.append((topic, next(_chunks(text, _MAX_UNCHUNKED_BYTES))))
    else:
        told += [(f"{topic}/{index}", chunk) for index, chunk in enumerate(_chunks(text, CHUNK_BYTES))]
    return told


def response_text(hook: Webhook, event: Event, event_id: str, outcome: Answered) -> str:
    """What a device would be told of an answer."""
    return _response_text(read_settings(hook.settings), Variables(event, event_id), outcome)


def _response_text(settings: Settings, context: Mapping[str, Any], outcome: Answered) -> str:
    if settings.dataUrlResponseEvent:
        kind = next((value for name, value in outcome.headers if name.lower() == "content-type"), "text/plain")
        return f"data:{kind.replace(' ', '')};base64,{base64.b64encode(outcome.body).decode()}"
    text = outcome.body.decode("utf-8", "replace")
    if not settings.responseTemplate:
        return text
    try:
        return render(parse(settings.responseTemplate), {**context, **_answer_fields(text)})
    except TemplateInvalid as error:
        return error.message


def _answer_fields(text: str) -> dict[str, Any]:
    """A JSON object's fields by their names; a list as `.`-less sections find it: by index."""
    if text.lstrip().startswith("["):
        try:
            return {str(index): item for index, item in enumerate(msgspec.json.decode(text))}
        except (msgspec.DecodeError, RecursionError):
            return {}
    return json_object(text)


def _default_topic(hook: Webhook, event: Event, kind: str) -> str:
    """A product's hook answers the device that asked, not its whole fleet."""
    own = f"{kind}/{event.name}"
    return own if hook.owner_kind == "user" else f"{event.source}/{own}"


def _topic(template: str | None, context: Mapping[str, Any], default: str) -> str:
    if not template:
        return default
    try:
        topic = render(parse(template), context, lambda text: text)
    except TemplateInvalid:
        return default
    topic = "".join(character for character in topic if character >= " ").strip()[:MAX_TOPIC_LENGTH]
    return topic or default


def _chunks(text: str, size: int) -> Iterator[str]:
    """Pieces of at most `size` bytes, none of which cuts a character in two."""
    data = text.encode("utf-8", "replace")[:MAX_RESPONSE_BYTES]
    at = 0
    while at < len(data):
        end = min(at + size, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[at:end].decode("utf-8", "ignore")
        at = end


# -- the log ----------------------------------------------------------------------------------------------------------


def shown_request(request: HookRequest) -> str:
    lines = [f"{request.method} {request.url}", *_shown_headers(request.headers), "", _shown_body(request.body)]
    return "\n".join(lines)


def shown_response(outcome: Outcome) -> str:
    if not isinstance(outcome, Answered):
        return outcome.reason
    return "\n".join([str(outcome.status), *_shown_headers(outcome.headers), "", _shown_body(outcome.body)])


def _shown_headers(headers: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for name, value in headers[:50]:
        yield f"{name}: {'(hidden)' if name.lower() in _HIDDEN else value[:500]}"


def _shown_body(body: bytes) -> str:
    text = body[:_MAX_SHOWN].decode("utf-8", "replace")
    return text if len(body) <= _MAX_SHOWN else f"{text}\n({len(body)} bytes in all)"
