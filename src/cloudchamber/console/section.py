"""What a section of the console is made of, and how its rows are written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from cloudchamber.access.model import Action
from cloudchamber.api.routes import DEFAULT_BODY_LIMIT, Console, Raw, Route, Stream, route

if TYPE_CHECKING:
    from cloudchamber.console.frame import Frame

PREFIX: Final = "/console"
PRODUCT: Final = f"{PREFIX}/products/{{product}}"
ORGANIZATION: Final = f"{PREFIX}/orgs/{{organization}}"

HTML: Final = Raw("text/html; charset=utf-8")
_STATUSES: Final = (400, 401, 403, 404, 408, 409, 413, 429, 500, 501, 503)
# What went wrong is a page, too.
FAILURES: Final = dict.fromkeys(_STATUSES, HTML)
ANSWERS: Final = {200: HTML, 303: None, **FAILURES}
_REASON: Final = "people sign in for it"


@dataclass(frozen=True, slots=True)
class Nav:
    """An entry of the navigation: of each product or organization (`path` is below it), of either of them, or of the
    person who is signed in."""

    place: Literal["product", "organization", "either", "account"]
    path: str
    action: Action


@dataclass(frozen=True, slots=True)
class Section:
    """`make` gives the object whose methods the rows' handlers name, as `<key>.<method>`."""

    key: str
    title: str
    nav: Nav | None
    routes: tuple[Route, ...]
    make: "Callable[[Frame], object]"


def either(path: str) -> tuple[str, str]:
    """The paths of what a product and an organization have alike."""
    return f"{PRODUCT}{path}", f"{ORGANIZATION}{path}"


def page(path: str | tuple[str, ...], action: Action, handler: str, summary: str) -> Route:
    """A page: `action` is what it takes on the product or organization of the path, else on one's account."""
    return route("GET", path, Console(_REASON, action), f"console_{handler}", summary, answer=ANSWERS)


def form(
    path: str | tuple[str, ...], action: Action, handler: str, summary: str, *, body_limit: int = DEFAULT_BODY_LIMIT
) -> Route:
    """What a form does. Its path is that of the page on which the form stands, or one part longer: there somebody goes
    whose session ended meanwhile."""
    return route(
        "POST",
        path,
        Console(_REASON, action),
        f"console_{handler}",
        summary,
        request="PageForm",
        answer=ANSWERS,
        body_limit=body_limit,
    )


def live(path: str | tuple[str, ...], action: Action, handler: str, summary: str) -> Route:
    """What comes as it happens, for EventSource. 204, which ends it, for whoever is not signed in any more."""
    answers = {**ANSWERS, 200: Stream(), 204: None}
    return route("GET", path, Console(_REASON, action), f"console_{handler}", summary, answer=answers, limit="stream")
