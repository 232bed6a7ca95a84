"""Errors that reach the edge: answered in the vendor's shapes, logged with the request's id, never with a trace."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import falcon
import falcon.asgi
import msgspec

from cloudchamber.api.call import EdgeRequest
from cloudchamber.api.errors import BodyTooLarge, Header, Rendered, oauth_shaped, render, text_error
from cloudchamber.api.reply import Reply, encode_json, write_reply
from cloudchamber.errors import CloudError, Unavailable
from cloudchamber.firmware.errors import FlashTimedOut
from cloudchamber.messaging.errors import DeviceTimedOut
from cloudchamber.oauth.errors import OAuthError

_OAUTH: Final = "/oauth/"

_log = logging.getLogger(__name__)


class FailurePages(msgspec.Struct, frozen=True):
    """Below `prefix` people look at what went wrong, so that `render` makes a page of it: of the request, the status
    and the text. It must not fail."""

    prefix: str
    render: Callable[[EdgeRequest, int, str], Awaitable[Reply]]

    def hold(self, path: str) -> bool:
        return path == self.prefix or path.startswith(self.prefix + "/")


class Faults:
    """What is answered to an error, and what the log and the metrics are told of it. `route` is the path as the table
    has it."""

    def __init__(self, *, vendor_statuses: bool, compat_uses: Counter[str]) -> None:
        self._vendor_statuses = vendor_statuses
        self._compat_uses = compat_uses

    def expected(self, error: CloudError, route: str | None, request_id: str) -> Rendered:
        below_organization = "{organization}" in (route or "")
        rendered = render(error, below_organization=below_organization, vendor_statuses=self._vendor_statuses)
        if (route or "").startswith(_OAUTH) and isinstance(error, BodyTooLarge | Unavailable):
            rendered = oauth_shaped(rendered)
        if self._vendor_statuses and isinstance(error, OAuthError) and error.standard is not None:
            self._compat_uses["vendor_statuses"] += 1
        _tell(error, route, request_id)
        return rendered

    def unexpected(self, error: Exception, route: str | None, request_id: str) -> Rendered:
        """Our own bug. The id joins what the person reports to what the log says."""
        _log.error("request %s (%s) failed", request_id, route, exc_info=error)
        return text_error(500, f"Internal error. Please report it with this number: {request_id}")


def add_error_handlers(
    app: falcon.asgi.App[EdgeRequest, falcon.asgi.Response], faults: Faults, pages: Iterable[FailurePages] = ()
) -> None:
    pages = tuple(pages)

    async def answer(req: EdgeRequest, resp: falcon.asgi.Response, rendered: Rendered, text: str) -> None:
        _answer(resp, rendered)
        page = next((page for page in pages if page.hold(req.path)), None)
        if page is not None:
            resp.delete_header("access-control-allow-origin")
            write_reply(resp, await page.render(req, rendered.status, text))

    async def expected(req: EdgeRequest, resp: falcon.asgi.Response, error: CloudError, _params: Any) -> None:
        await answer(req, resp, faults.expected(error, req.uri_template, req.request_id), error.message)

    async def framework(req: EdgeRequest, resp: falcon.asgi.Response, error: falcon.HTTPError, _params: Any) -> None:
        rendered = _framework(error)
        if req.path.startswith(_OAUTH) and rendered.status != 404:
            rendered = oauth_shaped(rendered)
        await answer(req, resp, rendered, rendered.body.get("error_description") or rendered.body["error"])

    async def unexpected(req: EdgeRequest, resp: falcon.asgi.Response, error: Exception, _params: Any) -> None:
        rendered = faults.unexpected(error, req.uri_template, req.request_id)
        await answer(req, resp, rendered, rendered.body["error"])

    app.add_error_handler(Exception, unexpected)
    app.add_error_handler(falcon.HTTPError, framework)
    app.add_error_handler(CloudError, expected)


def _tell(error: CloudError, route: str | None, request_id: str) -> None:
    if error.status >= 500 and not isinstance(error, DeviceTimedOut | FlashTimedOut):
        _log.error("request %s (%s): %s: %s", request_id, route, error.code, error.detail or error)
    elif error.detail is not None:
        _log.info("request %s (%s): %s: %s", request_id, route, error.code, error.detail)


def _framework(error: falcon.HTTPError) -> Rendered:
    """What the router and the framework refuse by themselves."""
    status = falcon.http_status_to_code(error.status)
    if status == 404:
        return text_error(404, "Not found")
    if status == 405:
        allow: tuple[Header, ...] = tuple(
            ("allow", value) for name, value in _headers(error) if name.lower() == "allow"
        )
        return text_error(405, "Method not allowed", *allow)
    return text_error(status, "Bad request" if status < 500 else "Internal error")


def _headers(error: falcon.HTTPError) -> list[tuple[str, str]]:
    headers = error.headers or {}
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def _answer(resp: falcon.asgi.Response, rendered: Rendered) -> None:
    # A handler may have begun another answer before it failed.
    resp.stream = None
    resp.text = None
    resp.status = rendered.status
    resp.content_type = "application/json; charset=utf-8"
    for name, value in rendered.headers:
        resp.set_header(name, value)
    resp.data = encode_json(rendered.body)
