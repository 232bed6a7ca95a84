"""What all hosted pages share: who is signed in, that a form came from its page, and how a page is sent.

Statement 29 of the security checklist is kept here: no framing, a content security policy without anything inline, no
referrer, nothing from elsewhere, no CORS, and 303 after a form.

**Forms.** A random value lies in a cookie and in every form; a POST needs both to be equal, and an `Origin`, where the
browser sends one, that is ours. Cookies are HttpOnly and SameSite=Lax, so a form of another site brings none of them.
"""

import hmac
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from cloudchamber.api.call import Call
from cloudchamber.api.errors import Header
from cloudchamber.api.pages.templates import templates
from cloudchamber.api.reply import Reply
from cloudchamber.clock import Millis
from cloudchamber.errors import CloudError, TooManyRequests
from cloudchamber.oauth.web.model import BrowserSession

if TYPE_CHECKING:
    import jinja2

STATIC: Final = "/pages/static"
_CSRF_COOKIE: Final = "cc_form"
_SESSION_COOKIE: Final = "cc_session"
_MAX_COOKIES_LENGTH: Final = 8_192
_REMEMBER_S: Final = 30 * 24 * 3600

# A device in listening mode has HTTP and an address of its own, and simulated ones are on this machine.
SETUP_TARGETS: Final = "http://192.168.0.1 http://127.0.0.1:* http://localhost:*"

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}

_log = logging.getLogger(__name__)


class FormForged(CloudError):
    """A form that did not come from its page; to the person it is a page that was open too long."""

    status = 403
    code = "form_forged"


class Realm(msgspec.Struct, frozen=True):
    """Whose account a page is about: the customers of a product, or the users of the cloud. Each has a session of its
    own, so that one browser can be somebody's customer and a maker at once."""

    name: str
    brand: str

    @property
    def cookie(self) -> str:
        return f"{_SESSION_COOKIE}_{self.name}"


@dataclass(slots=True)
class Visit:
    """One request to a page. What it sets ends up in the answer's cookies."""

    call: Call
    cookies: Mapping[str, str]
    csrf: str
    set_cookies: list[str] = field(default_factory=list)
    session: BrowserSession | None = None
    began: Millis | None = None
    """When whoever signs in showed their password."""

    @property
    def form(self) -> Mapping[str, str]:
        """The plain fields of the body; brackets and repeated fields are none of ours."""
        return {name: value for name, value in self.call.data.items() if isinstance(value, str)}

    @property
    def query(self) -> Mapping[str, str]:
        return {name: value for name, value in self.call.query.items() if isinstance(value, str)}

    @property
    def step(self) -> str:
        return self.form.get("step", "")


class Shell:
    def __init__(self, public_url: str) -> None:
        self._origin = _origin(public_url)
        self._is_secure = public_url.startswith("https:")
        self._static = {entry.name: entry.read_bytes() for entry in Path(__file__).with_name("static").iterdir()}

    @cached_property
    def _templates(self) -> "jinja2.Environment":
        return templates("cloudchamber.api.pages")

    # -- in -----------------------------------------------------------------------------------------------------------

    def visit(self, call: Call) -> Visit:
        """Raises FormForged."""
        visit = self.begin(call)
        self.check_form(visit)
        return visit

    def begin(self, call: Call) -> Visit:
        """A visit whose body may be still unread: `check_form` before anything is done for a POST."""
        cookies = _cookies(call.req.get_header("cookie"))
        csrf = cookies.get(_CSRF_COOKIE, "")
        visit = Visit(call, cookies, csrf)
        # After a POST without one, too: the forms of the page that says so count.
        if not csrf:
            visit.csrf = secrets.token_urlsafe(24)
            self.set_cookie(visit, _CSRF_COOKIE, visit.csrf)
        return visit

    def check_form(self, visit: Visit) -> None:
        """Raises FormForged for a POST that is not of one of our forms."""
        call, csrf = visit.call, visit.csrf
        if call.req.method != "POST":
            return
        origin = call.req.get_header("origin")
        sent = call.data.get("csrf")
        site = call.req.get_header("sec-fetch-site")
        is_ours = origin is None or origin == self._origin or _host_of(origin) == call.req.get_header("host")
        if site is not None:
            # A page without a referrer sends `Origin: null`; where it came from stands here then.
            is_ours = site == "same-origin" and (is_ours or origin == "null")
        # As bytes: texts beyond ASCII cannot be compared so, and both come from outside.
        is_known = isinstance(sent, str) and hmac.compare_digest(csrf.encode(), sent.encode())
        if not (csrf and is_known and is_ours):
            raise FormForged("This page was open too long. Go back, load it again and send it once more.")

    # -- sessions -----------------------------------------------------------------------------------------------------

    def session_secret(self, visit: Visit, realm: Realm) -> str:
        return visit.cookies.get(realm.cookie, "")

    def keep_session(self, visit: Visit, realm: Realm, secret: str, *, is_remembered: bool) -> None:
        self.set_cookie(visit, realm.cookie, secret, _REMEMBER_S if is_remembered else None)

    def drop_session(self, visit: Visit, realm: Realm) -> None:
        self.set_cookie(visit, realm.cookie, "", 0)

    def set_cookie(self, visit: Visit, name: str, value: str, max_age_s: int | None = None) -> None:
        parts = [f"{name}={value}", "Path=/", "HttpOnly", "SameSite=Lax"]
        if self._is_secure:
            parts.append("Secure")
        if max_age_s is not None:
            parts.append(f"Max-Age={max_age_s}")
        visit.set_cookies.append("; ".join(parts))

    # -- out ----------------------------------------------------------------------------------------------------------

    def page(
        self,
        visit: Visit,
        template: str,
        *,
        title: str,
        brand: str,
        status: int = 200,
        error: str | None = None,
        done: str | None = None,
        form_target: str | None = None,
        reaches_devices: bool = False,
        **fields: Any,
    ) -> Reply:
        """`form_target`: where a form's redirect may lead besides this server; browsers hold redirects of forms to the
        policy, too."""
        content = self._templates.get_template(template).render(
            title=title, brand=brand, error=error, done=done, csrf=visit.csrf, static=STATIC, **fields
        )
        return self.html(visit, content, status, form_target=form_target, reaches_devices=reaches_devices)

    def html(
        self,
        visit: Visit,
        content: str,
        status: int = 200,
        *,
        form_target: str | None = None,
        reaches_devices: bool = False,
    ) -> Reply:
        """A page that is rendered already, as every page is sent."""
        policy = _policy(form_target, reaches_devices=reaches_devices)
        headers = (*_HEADERS, ("content-security-policy", policy), *self._set_cookies(visit))
        return Reply(content.encode(), status, headers)

    def redirect(self, visit: Visit, url: str) -> Reply:
        """303: whatever the method was, the next is GET (RFC 9700 4.12)."""
        headers = (("location", url), *_HEADERS, ("content-security-policy", _policy(None)), *self._set_cookies(visit))
        return Reply(b"", 303, headers)

    def json(self, visit: Visit, body: Any) -> Reply:
        return Reply(body, 200, (("cache-control", "no-store"), *self._set_cookies(visit)))

    def failure(self, visit: Visit | None, error: CloudError, brand: str) -> Reply:
        """A page that says what went wrong and what to do."""
        if error.status >= 500:
            _log.error("a page failed: %s: %s", error.code, error.detail or error)
        status = getattr(error, "http_status", error.status)
        reply = self.page(
            visit or Visit(_NO_CALL, {}, ""),
            "message.html",
            title="That did not work",
            brand=brand,
            status=status,
            error=error.message,
            text=None,
            link=None,
        )
        if isinstance(error, TooManyRequests):
            return Reply(reply.body, status, (*reply.headers, ("retry-after", str(error.retry_after_s))))
        return reply

    def asset(self, name: str) -> Reply | None:
        content = self._static.get(name)
        return None if content is None else asset_reply(name, content)

    @staticmethod
    def _set_cookies(visit: Visit) -> tuple[Header, ...]:
        return tuple(("set-cookie", cookie) for cookie in visit.set_cookies)


def asset_reply(name: str, content: bytes) -> Reply | None:
    """A file of the pages, by the ending of its name; None for one that is not to be sent."""
    kind = _TYPES.get(name.rpartition(".")[2])
    if kind is None:
        return None
    headers: tuple[Header, ...] = (
        ("content-type", kind),
        ("cache-control", "public, max-age=3600"),
        ("x-content-type-options", "nosniff"),
    )
    return Reply(content, 200, headers)


_HEADERS: Final[tuple[Header, ...]] = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
)
_NO_CALL: Final[Any] = None


def _policy(form_target: str | None, *, reaches_devices: bool = False) -> str:
    connect = f"'self' {SETUP_TARGETS}" if reaches_devices else "'self'"
    target = f" {_source(form_target)}" if form_target else ""
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none';"
        f" connect-src {connect}; form-action 'self'{target}; frame-ancestors 'none'"
    )


def _source(uri: str) -> str:
    """What a policy calls the place of a redirect: an origin, or an app's own scheme."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} else f"{parts.scheme}:"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _host_of(origin: str) -> str:
    return urlsplit(origin).netloc


def _cookies(header: str | None) -> dict[str, str]:
    if not header or len(header) > _MAX_COOKIES_LENGTH:
        return {}
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}
