"""The API's description of itself, as a program and as a person meet it."""

import base64
import hashlib
import importlib
import pkgutil
import re
from html import escape
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
import schemathesis

from cloudchamber.api import examples, schemas
from cloudchamber.api.openapi import openapi
from cloudchamber.api.routes import FAMILIES, ROUTES, Family, Public, enabled, route
from cloudchamber.api.routes.paths import FIELDS
from cloudchamber.settings import Compat
from tests.api.conftest import Api

REF = re.compile(r'"\$ref":"#/components/(\w+)/([^"]+)"')


def document(**compat: bool) -> dict[str, Any]:
    return openapi(FAMILIES, Compat(**compat))


def operations(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method.upper(), path): each for path, item in found["paths"].items() for method, each in item.items()}


@pytest.mark.parametrize("compat", [{}, {"query_token": False, "unauthenticated_revoke": False}])
def test_it_is_openapi_and_has_every_route(compat: dict[str, bool]) -> None:
    found = document(**compat)
    schemathesis.openapi.from_dict(found).validate()
    declared = {
        (row.method, path.replace(":path", "")) for row in enabled(ROUTES, Compat(**compat)) for path in row.paths
    }
    assert set(operations(found)) == declared
    ids = [each["operationId"] for each in operations(found).values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z_0-9]+", each) for each in ids)


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    found = document()
    references = set(REF.findall(msgspec.json.encode(found).decode()))
    for kind, name in references:
        assert name in found["components"][kind], name
    queries = {row.query.__name__ for row in ROUTES if row.query is not None}
    assert {name for kind, name in references if kind == "schemas"} | queries == set(found["components"]["schemas"])


def test_an_operation_says_all_that_its_row_says() -> None:
    found = operations(document())
    claim = found["POST", "/v1/devices"]
    assert claim["summary"] == "Claims a device, or makes an id for one of a product's."
    assert claim["tags"] == ["Devices"]
    assert claim["security"] == [{"bearer": ["devices:claim"]}, {"query": ["devices:claim"]}]
    assert set(claim["requestBody"]["content"]) == {"application/json", "application/x-www-form-urlencoded"}
    assert claim["requestBody"]["required"] is False
    assert set(claim["responses"]) == {"200", "400", "401", "403", "404", "413", "429", "503"}
    assert found["POST", "/v1/products/{product}/devices"]["requestBody"]["content"].keys() >= {"multipart/form-data"}
    assert found["POST", "/v1/devices/{device}/{name}"]["requestBody"]["required"] is False
    assert found["GET", "/healthz"]["security"] == []
    assert set(found["POST", "/oauth/token"]["requestBody"]["content"]) == {"application/x-www-form-urlencoded"}
    streamed = found["GET", "/v1/devices/events/{prefix}"]["responses"]["200"]["content"]
    assert set(streamed) == {"text/event-stream"}
    assert found["GET", "/v1/webhooks"]["deprecated"] is True
    assert "deprecated" not in found["GET", "/v1/integrations"]
    parameters = found["GET", "/v1/products/{product}/customers"]["parameters"]
    assert [(each["name"], each["in"]) for each in parameters] == [
        ("product", "path"),
        ("page", "query"),
        ("per_page", "query"),
        ("all", "query"),
    ]


def test_switches_decide_what_is_described() -> None:
    assert "query" in document()["components"]["securitySchemes"]
    off = document(query_token=False, unauthenticated_revoke=False)
    assert "query" not in off["components"]["securitySchemes"]
    assert '"query"' not in msgspec.json.encode([each["security"] for each in operations(off).values()]).decode()
    revoke = "DELETE", "/v1/access_tokens/{token}"
    assert operations(document())[revoke]["security"] == []
    assert operations(off)[revoke]["security"] == [{"bearer": ["tokens:revoke"]}, {"password": []}]


def test_a_family_without_routes_is_not_shown() -> None:
    switched = route("GET", "/x", Public("x"), "x.y", "X.", answer={204: None}, switch="query_token")
    found = openapi([Family("X", "x", (switched,))], Compat(query_token=False))
    assert (found["tags"], found["paths"]) == ([], {})


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.style = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "style" and not self.style:
            self.style = data


@pytest.mark.asyncio(loop_scope="module")
async def test_both_are_served_to_everybody(http: Api) -> None:
    answer = await http.get("/openapi.json", headers={"Authorization": "Bearer stale"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == openapi(FAMILIES, Compat.of(http.profile))
    shown = await http.get("/docs/api")
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    page = Elements()
    page.feed(shown.text)
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy, "the page's own style is what its policy lets in"
    assert not {"script", "img", "link", "iframe", "form"} & set(page.tags)
    assert not {name for name in page.attributes if name.startswith("on") or name in {"style", "src"}}
    assert len(set(page.ids)) == len(page.ids)
    assert {link for link in page.links if link[1:] not in page.ids} == {"/openapi.json"}
    for row in ROUTES:
        assert row.switch is not None or escape(row.summary, quote=False) in shown.text


DOCUMENTS = {
    cls.__name__: cls
    for module in pkgutil.iter_modules(schemas.__path__)
    for cls in vars(importlib.import_module(f"{schemas.__name__}.{module.name}")).values()
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct)
}


def test_every_document_and_field_has_an_example_that_is_right() -> None:
    found = document()["components"]["schemas"]
    assert len(found) > 150
    for name, schema in found.items():
        for field, kind in schema.get("properties", {}).items():
            said = msgspec.json.encode(kind).decode()
            assert re.search('"(examples|\\$ref|contentMediaType)":', said), f"{name}.{field}: api/examples.py has none"
        for example in schema["examples"]:
            msgspec.convert(example, DOCUMENTS[name])
            assert example or not schema.get("properties"), name


def test_every_example_of_a_field_is_right() -> None:
    count = 0
    for name, schema in document()["components"]["schemas"].items():
        kinds = {field.encode_name: field.type for field in msgspec.structs.fields(DOCUMENTS[name])}
        for field, kind in schema.get("properties", {}).items():
            for example in kind.get("examples", ()):
                msgspec.convert(example, kinds[field])
                count += 1
    assert count > 500


def test_paths_and_queries_have_examples() -> None:
    for (method, path), operation in operations(document()).items():
        for field in operation["parameters"]:
            assert "examples" in msgspec.json.encode(field).decode(), f"{method} {path}: {field['name']}"


def test_no_example_is_left_over() -> None:
    found = document()["components"]["schemas"]
    fields = {name: set(schema.get("properties", {})) for name, schema in found.items()}
    for table in (examples.OF, examples.SHOWN):
        for name, wanted in table.items():
            assert set(wanted) <= fields[name], name
    assert set(examples.FIELDS) <= set().union(*fields.values())
    assert set(examples.PATHS) == set(FIELDS)
