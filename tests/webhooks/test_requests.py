"""Hooks and events to requests, answers to events: pure."""

import base64
import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.access.model import OwnedByUser
from cloudchamber.clock import Millis
from cloudchamber.ids import ProductId, UserId
from cloudchamber.messaging.model import Event
from cloudchamber.webhooks.errors import WebhookInvalid
from cloudchamber.webhooks.model import Answered, Failed, HookRequest, Webhook
from cloudchamber.webhooks.requests import build, check_templates
from cloudchamber.webhooks.responses import CHUNK_BYTES, MAX_RESPONSE_BYTES, events_of, shown_request, shown_response

DEVICE = "0123456789abcdef01234567"
AT = Millis(1_600_000_000_000)
OWNER = OwnedByUser(UserId("5aa86b2b3dd14b3a6b000000"))
DEFAULTS = {"event": "temp", "data": "25", "published_at": "2020-09-13T12:26:40.000Z", "coreid": DEVICE}


def event(data: str | None = "25", name: str = "temp") -> Event:
    return Event(name, data, 60, AT, DEVICE, False, OWNER, ProductId(6287), version=7)


def hook(url: str = "https://a.example/in", kind: str = "user", **settings: object) -> Webhook:
    return Webhook("h" * 24, kind, "x", "temp", url, settings, AT, AT)


def request(data: str | None = "25", url: str = "https://a.example/in", **settings: object) -> HookRequest:
    return build(hook(url, **settings), event(data), "e1")


def headers(made: HookRequest) -> dict[str, str]:
    return dict(made.headers)


def test_defaults_go_as_a_form() -> None:
    made = request()
    assert (made.method, made.url, made.verifies_tls) == ("POST", "https://a.example/in", True)
    assert dict(parse_qsl(made.body.decode())) == DEFAULTS
    assert headers(made)["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers(made)["User-Agent"] == "ParticleBot/1.1"


def test_defaults_go_as_a_query_where_there_is_no_body() -> None:
    made = request(requestType="GET", url="https://a.example/in?x=1#part")
    path, _, query = made.url.partition("?")
    assert (made.body, path) == (b"", "https://a.example/in")
    assert dict(parse_qsl(query)) == {"x": "1"} | DEFAULTS
    assert "Content-Type" not in headers(made)
    assert request(requestType="GET", noDefaults=True).url == "https://a.example/in"
    assert request(noDefaults="true").body == b""


def test_json_with_and_without_the_defaults() -> None:
    template = {"t": "{{{PARTICLE_EVENT_VALUE}}}", "n": 1, "deep": [{"id": "{{PARTICLE_DEVICE_ID}}"}]}
    rendered = {"t": "25", "n": 1, "deep": [{"id": DEVICE}]}
    assert json.loads(request(json=template, noDefaults=True).body) == rendered
    made = request(json=template)
    assert json.loads(made.body) == DEFAULTS | rendered
    assert headers(made)["Content-Type"] == "application/json"
    # An older form: the whole document is one template.
    text = '{"data": {{{PARTICLE_EVENT_VALUE}}}, "id": "{{PARTICLE_EVENT_ID}}"}'
    assert json.loads(request(json=text).body) == {"data": 25, "id": "e1"}


def test_forms_nest() -> None:
    made = request(form={"a": {"b": ["{{x}}", 2], "c": True}, "n": None}, data='{"x":"1&2"}', noDefaults=True)
    assert parse_qsl(made.body.decode(), keep_blank_values=True) == [
        ("a[b][0]", "1&2"),
        ("a[b][1]", "2"),
        ("a[c]", "true"),
        ("n", ""),
    ]


def test_a_body_is_text() -> None:
    made = request(body="<t>{{v}}</t>{{{v}}}", data='{"v":"a<b"}', headers={"content-type": "text/xml"})
    assert made.body == b"<t>a&lt;b</t>a<b"
    assert headers(made) == {"User-Agent": "ParticleBot/1.1", "Accept": "*/*", "content-type": "text/xml"}


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"username": "u", "password": "p"}, "Basic " + base64.b64encode(b"u:p").decode()),
        ({"user": "u", "pass": "{{x}}"}, "Basic " + base64.b64encode(b"u:y").decode()),
        ({"bearer": "{{x}}"}, "Bearer y"),
    ],
)
def test_credentials(auth: dict[str, str], expected: str) -> None:
    assert headers(request('{"x":"y"}', auth=auth))["Authorization"] == expected


def test_every_variable() -> None:
    names = [
        "PARTICLE_DEVICE_ID", "PARTICLE_EVENT_NAME", "PARTICLE_EVENT_VALUE", "PARTICLE_PUBLISHED_AT",
        "PARTICLE_EVENT_ID", "PRODUCT_ID", "PRODUCT_USER_ID", "PRODUCT_VERSION", "PARTICLE_EVENT_BASE64",
        "SPARK_CORE_ID", "SPARK_EVENT_NAME", "SPARK_EVENT_VALUE", "SPARK_PUBLISHED_AT", "own",
    ]  # fmt: skip
    data = '{"own":"field","PRODUCT_ID":"no"}'
    made = request(data, json={name: "{{{" + name + "}}}" for name in names}, noDefaults=True)
    at = "2020-09-13T12:26:40.000Z"
    values = [DEVICE, "temp", data, at, "e1", "6287", OWNER.id, "7", base64.b64encode(data.encode()).decode()]
    assert json.loads(made.body) == dict(zip(names, [*values, DEVICE, "temp", data, at, "field"], strict=True))
    whole = request(body="{{{PARTICLE_EVENT_JSON}}}")
    assert json.loads(whole.body) == DEFAULTS


@pytest.mark.parametrize("data", ["[1]", "{", '"x"', "{" * 5_000, '{"a":' * 3_000, "", None])
def test_data_that_is_no_object_gives_no_fields(data: str | None) -> None:
    assert request(data, body="[{{a}}]").body == b"[]"


def test_what_an_event_says_cannot_leave_its_place() -> None:
    evil = json.dumps({"x": 'a"}, "admin": {"y": "\r\nX-Evil: 1\r\n\r\n', "path": "../../admin?x=/y#z"})
    made = request(evil, url="https://a.example/{{path}}/x", headers={"X-A": "{{x}}"}, json={"x": "{{x}}"})
    assert made.url == "https://a.example/..%2F..%2Fadmin%3Fx%3D%2Fy%23z/x"
    assert headers(made)["X-A"] == 'a"}, "admin": {"y": " X-Evil: 1'
    assert set(json.loads(made.body)) == {"x"} | set(DEFAULTS)
    assert "Host" not in headers(request(headers={"Host": "b.example", "Content-Length": "0", "X": "y"}))


@pytest.mark.parametrize(
    "url", ["https://{{missing}}/x", "http://a.example:99999/", "http://[::1/", "{{scheme}}://a.example/", "http:///x"]
)
def test_a_url_that_becomes_none_is_refused(url: str) -> None:
    with pytest.raises(WebhookInvalid):
        request('{"scheme":"file"}', url=url)


def test_47_settings_are_bounded() -> None:
    for settings, message in [
        ({"headers": {f"h{n}": "x" for n in range(60)}}, "at most 50 headers"),
        ({"body": "{{#a}}"}, "does not close"),
        ({"responseTopic": "{{"}, "opens a tag"),
        ({"auth": {"bearer": "{{"}}, "opens a tag"),
        ({"json": {"a": "{{"}}, "opens a tag"),
        ({"disabled": "perhaps"}, "disabled"),
    ]:
        with pytest.raises(WebhookInvalid, match=message):
            check_templates(hook(**settings))
    deep: object = "x"
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(WebhookInvalid, match="nested at most"):
        check_templates(hook(form=deep))


@given(st.text(), st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3))
def test_any_event_makes_a_request_or_an_error(data: str, form: dict[str, str]) -> None:
    try:
        made = build(
            hook("https://a.example/{{x}}", form=form, headers={"X": "{{PARTICLE_EVENT_VALUE}}"}), event(data), "e"
        )
    except WebhookInvalid:
        return
    assert made.url.isascii()
    assert not any(character in value for _, value in made.headers for character in "\r\n\0")


# -- answers ----------------------------------------------------------------------------------------------------------


def answer(body: bytes = b"ok", status: int = 200, *more: tuple[str, str]) -> Answered:
    return Answered(status, (("Content-Type", "text/plain"), *more), body)


def told(outcome: Answered | Failed, kind: str = "user", **settings: object) -> list[tuple[str, str]]:
    return events_of(hook(kind=kind, **settings), event(), "e1", outcome)


def test_what_is_told_of_an_answer() -> None:
    sent = ("hook-sent/temp", "undefined")
    assert told(answer()) == [sent, ("hook-response/temp/0", "ok")]
    assert told(answer(), kind="product") == [sent, (f"{DEVICE}/hook-response/temp/0", "ok")]
    assert told(answer(b"")) == [sent]
    topic = {"responseTopic": "{{{PARTICLE_DEVICE_ID}}}/got", "errorResponseTopic": "bad/{{PARTICLE_EVENT_NAME}}"}
    assert told(answer(), **topic)[1] == (f"{DEVICE}/got/0", "ok")
    assert told(answer(status=404), **topic) == [("bad/temp/0", "error status 404 from host")]
    assert told(answer(status=500)) == [("hook-error/temp/0", "error status 500 from host")]
    assert told(Failed("no answer"), kind="product") == [(f"{DEVICE}/hook-error/temp/0", "no answer")]


def test_response_templates() -> None:
    body = b'{"main":{"temp":281.5},"list":[{"a":1}]}'
    assert told(answer(body), responseTemplate="{{main.temp}}~{{list.0.a}}")[1][1] == "281.5~1"
    assert told(answer(b"[10,20]"), responseTemplate="{{1}}")[1][1] == "20"
    assert told(answer(b"no json"), responseTemplate="[{{x}}]")[1][1] == "[]"
    data_url = told(answer(b"\x00\xff"), dataUrlResponseEvent=True)[1][1]
    assert data_url == "data:text/plain;base64,AP8="


def test_long_answers_go_out_in_pieces_that_cut_no_character() -> None:
    text = "aé€😀" * 400
    _, *chunks = told(answer(text.encode()))
    assert [name for name, _ in chunks] == [f"hook-response/temp/{n}" for n in range(len(chunks))]
    assert all(CHUNK_BYTES - 4 < len(data.encode()) <= CHUNK_BYTES for _, data in chunks[:-1])
    assert "".join(data for _, data in chunks) == text
    _, *chunks = told(answer(b"x" * (MAX_RESPONSE_BYTES + 999)))
    assert sum(len(data) for _, data in chunks) == MAX_RESPONSE_BYTES
    assert told(answer(b"x" * 5000), unchunked=True)[1:] == [("hook-response/temp", "x" * 1024)]


def test_the_log_shows_no_credentials() -> None:
    made = request(auth={"bearer": "SECRET"}, headers={"X-Api-Key": "SECRET", "X-A": "seen"}, body="x" * 9_000)
    shown = shown_request(made)
    assert "SECRET" not in shown
    assert "X-A: seen" in shown
    assert shown.startswith("POST https://a.example/in\n")
    assert shown.endswith("(9000 bytes in all)")
    assert shown_response(answer(b"hi", 200, ("Set-Cookie", "SECRET"))) == (
        "200\nContent-Type: text/plain\nSet-Cookie: (hidden)\n\nhi"
    )
    assert shown_response(Failed("cannot reach host")) == "cannot reach host"
