"""A browser without a screen: cookies, forms and redirects over real sockets, for what needs no script."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = True
            self.forms.append(Form(found.get("method", "get").upper(), found.get("action", "")))
        elif tag == "a":
            self.links.append(found.get("href", ""))
        elif self._open and tag == "input" and "name" in found and found.get("type") != "checkbox":
            self.forms[-1].fields[found["name"]] = found.get("value", "")
        elif self._open and tag == "button" and "name" in found:
            self.forms[-1].buttons.append((found["name"], found.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = False


@dataclass
class Page:
    url: str
    status: int
    text: str
    headers: httpx.Headers

    def forms(self) -> list[Form]:
        parser = _Forms()
        parser.feed(self.text)
        return parser.forms

    def links(self) -> list[str]:
        parser = _Forms()
        parser.feed(self.text)
        return parser.links

    @property
    def heading(self) -> str:
        found = re.search(r"<h1>(.*?)</h1>", self.text)
        return found[1] if found else ""


class Browser:
    """Follows redirects within the server and stops at the first that leads out of it (`left`)."""

    def __init__(self, base_url: str) -> None:
        self.http = httpx.AsyncClient(base_url=base_url, timeout=20)
        self.base = base_url
        self.left: str | None = None

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def get(self, url: str) -> Page:
        return await self._follow(await self.http.get(url))

    async def submit(self, page: Page, press: str | None = None, *, form: int = 0, **fields: str) -> Page:
        """Fills a form in and sends it; `press` is the value of the button."""
        found = page.forms()[form]
        body = found.fields | fields
        if press is not None:
            body[next(name for name, value in found.buttons if value == press)] = press
        url = urljoin(page.url, found.action)
        if found.method == "GET":
            return await self._follow(await self.http.get(url, params=body))
        return await self._follow(await self.http.post(url, data=body, headers={"Origin": self.base}))

    async def _follow(self, answer: httpx.Response) -> Page:
        self.left = None
        for _ in range(10):
            location = answer.headers.get("location")
            if location is None:
                break
            assert answer.status_code == 303, answer.status_code
            target = urljoin(str(answer.url), location)
            if urlsplit(target).netloc != urlsplit(self.base).netloc:
                self.left = target
                break
            answer = await self.http.get(target)
        return Page(str(answer.url), answer.status_code, answer.text, answer.headers)
