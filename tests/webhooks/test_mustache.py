import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.webhooks.errors import TemplateInvalid
from cloudchamber.webhooks.mustache import MAX_DEPTH, MAX_OUTPUT_LENGTH, MAX_TEMPLATE_LENGTH, parse, render

CONTEXT = {
    "name": "temp",
    "html": "<a href='x'>&\"",
    "number": 21.5,
    "whole": 3,
    "yes": True,
    "no": False,
    "nothing": None,
    "empty": "",
    "list": [1, 2, 3],
    "people": [{"n": "Ann", "tags": ["a", "b"]}, {"n": "Bob", "tags": []}],
    "deep": {"er": {"est": "gold"}, "name": "inner"},
    "dotted.name": "whole",
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("plain { text } with } braces {", "plain { text } with } braces {"),
        ("{{name}}", "temp"),
        ("{{ name }}-{{{name}}}-{{& name }}", "temp-temp-temp"),
        ("{{html}}", "&lt;a href=&#x27;x&#x27;&gt;&amp;&quot;"),
        ("{{{html}}}{{&html}}", "<a href='x'>&\"<a href='x'>&\""),
        ("{{number}} {{whole}} {{yes}} {{no}} [{{nothing}}] [{{missing}}]", "21.5 3 true false [] []"),
        ("{{{list}}} {{{deep.er}}}", '[1,2,3] {"est":"gold"}'),
        ("{{deep.er.est}} {{deep.missing.x}} {{list.1}} {{list.9}} {{people.0.n}}", "gold  2  Ann"),
        ("{{dotted.name}}", "whole"),
        ("{{#people}}{{n}}:{{#tags}}{{.}}{{/tags}};{{/people}}", "Ann:ab;Bob:;"),
        ("{{#list}}{{.}},{{/list}}", "1,2,3,"),
        (
            "{{#yes}}y{{/yes}}{{#no}}n{{/no}}{{#nothing}}0{{/nothing}}{{#empty}}e{{/empty}}{{#missing}}m{{/missing}}",
            "y",
        ),
        ("{{^yes}}y{{/yes}}{{^no}}n{{/no}}{{^missing}}m{{/missing}}{{^list}}l{{/list}}", "nm"),
        ("{{#deep}}{{name}}/{{whole}}{{/deep}}", "inner/3"),
        ("a{{! said aside }}b{{!}}c", "abc"),
        ("{{#whole}}{{.}}{{/whole}}", "3"),
    ],
)
def test_what_templates_become(template: str, expected: str) -> None:
    assert render(parse(template), CONTEXT) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{name", "opens a tag at character 1 and does not close it"),
        ("ab{{{name}}", "opens a tag at character 3"),
        ("{{}}", "without a name"),
        ("{{#a}}", "does not close the section 'a'"),
        ("{{/a}}", "closes the section 'a'"),
        ("{{#a}}{{/b}}", "closes the section 'b'"),
        ("{{>partial}}", "no partials"),
        ("{{=<% %>=}}", "no partials and no other delimiters"),
        ("x" * (MAX_TEMPLATE_LENGTH + 1), "at most"),
        ("{{#a}}" * (MAX_DEPTH + 1) + "{{/a}}" * (MAX_DEPTH + 1), "nested at most"),
    ],
)
def test_what_no_template_can_be(template: str, message: str) -> None:
    with pytest.raises(TemplateInvalid, match=message):
        parse(template)


@pytest.mark.parametrize(
    "name",
    [
        "__class__",
        "name.__class__",
        "deep.keys",
        "list.append",
        "deep.er.__init__.__globals__",
        "list.__len__",
        "0",
        "_",
    ],
)
def test_50_nothing_of_the_server_can_be_reached_by_any_name(name: str) -> None:
    assert render(parse("{{{" + name + "}}}"), CONTEXT) == ""
    assert render(parse("{{#" + name + "}}x{{/" + name + "}}"), CONTEXT) == ""


def test_47_a_template_cannot_take_the_memory() -> None:
    many = {"a": [1] * 1000, "text": "x" * 100_000}
    for bomb in ("{{#a}}{{#a}}{{#a}}{{/a}}{{/a}}{{/a}}", "{{#a}}{{{text}}}{{/a}}", "{{{text}}}" * 10):
        with pytest.raises(TemplateInvalid, match="too large for one request"):
            render(parse(bomb), many)


@given(st.text(alphabet="{}#^/!&> ab.", max_size=60))
def test_any_text_is_a_template_or_says_why_not(text: str) -> None:
    try:
        template = parse(text)
    except TemplateInvalid:
        return
    assert len(render(template, CONTEXT)) <= MAX_OUTPUT_LENGTH
