"""The router finds what Falcon's own finds, for the whole route table."""

import random
import re
from types import SimpleNamespace
from typing import Any

import pytest
from falcon.routing import CompiledRouter

from cloudchamber.api.router import Router
from cloudchamber.api.routes import ROUTES
from cloudchamber.console.sections import ROUTES as CONSOLE


async def respond(*_args: Any, **_kwargs: Any) -> None:
    pass


def tables() -> list[list[str]]:
    return [sorted({path for row in rows for path in row.paths}) for rows in (ROUTES, CONSOLE)]


@pytest.mark.parametrize("templates", tables(), ids=["api", "console"])
def test_it_finds_what_falcons_router_finds(templates: list[str]) -> None:
    ours, theirs = Router(), CompiledRouter()
    for template in templates:
        resource = SimpleNamespace(on_get=respond, name=template)
        ours.add_route(template, resource)
        theirs.add_route(template, resource, _asgi=True)
    words = sorted({part for template in templates for part in template.split("/") if "{" not in part})
    draw = random.Random(14)
    found = 0
    for _ in range(8_000):
        # A path of the table with other words in its fields, and often with a part changed, more or less.
        parts = re.sub(r"{\w+(:path)?}", lambda _: draw.choice([*words, "x", "", "a b"]), draw.choice(templates)).split(
            "/"
        )
        match draw.randrange(6):
            case 0:
                parts[draw.randrange(len(parts))] = draw.choice([*words, "x", ""])
            case 1:
                del parts[draw.randrange(len(parts))]
            case 2:
                parts.insert(draw.randrange(len(parts) + 1), draw.choice([*words, "x", ""]))
        path = "/".join(parts)
        here, there = ours.find(path), theirs.find(path)
        assert (here is None) == (there is None), path
        if here is not None and there is not None:
            found += 1
            assert (here[0], here[2], here[3]) == (there[0], there[2], there[3]), path
            assert set(here[1]) == set(there[1])
            assert list(here[2]) == list(there[2]), "the audit log has them in this order"
    assert found > 4_000


def test_a_template_that_it_cannot_tell_from_another_is_refused() -> None:
    router = Router()
    router.add_route("/a/{b}", SimpleNamespace(on_get=respond))
    for template in ("/a/{b}", "/a/{c}", "/a/{c}/d", "/a/{b}.txt"):
        with pytest.raises(AssertionError):
            router.add_route(template, SimpleNamespace(on_get=respond))
