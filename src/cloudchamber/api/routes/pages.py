"""The hosted pages, and what programs ask for before somebody is sent to them."""

from typing import Final

from cloudchamber.api.routes.model import ClientCredentials, Family, Page, Public, Raw, Route, route

_HTML: Final = Raw("text/html; charset=utf-8")
# What went wrong is a page, too; JSON where nothing is known to be right yet, or where the page was never reached.
_FAILURE: Final = (_HTML, "OAuthFailure")
_ANSWERS: Final = {200: _HTML, 303: None, **dict.fromkeys((400, 403, 404, 429, 503), _FAILURE)}


def _page(path: str, handler: str, reason: str, summary: str, *, limit: str | None = None) -> tuple[Route, ...]:
    """A page and its form."""
    return (
        route("GET", path, Page(reason), handler, summary, answer=_ANSWERS),
        route(
            "POST",
            path,
            Page(reason),
            handler,
            summary,
            request="PageForm",
            answer=_ANSWERS,
            limit=limit,
        ),
    )


FAMILY: Final = Family(
    "Hosted pages",
    "Pages on which people sign in, and what programs need to send them there.",
    (
        route(
            "GET",
            "/.well-known/oauth-authorization-server",
            Public("tells programs where everything is (RFC 8414)"),
            "web_oauth.metadata",
            "Tells what this authorization server can do, and where (RFC 8414).",
            answer="ServerMetadata",
        ),
        route(
            "POST",
            "/oauth/device_authorization",
            ClientCredentials(),
            "web_oauth.device_authorization",
            "Begins the log-in of a device without a keyboard (RFC 8628).",
            request="NewDeviceAuthorization",
            answer="DeviceAuthorization",
            limit="token",
        ),
        *_page(
            "/oauth/authorize",
            "authorize_pages.authorize",
            "people sign in on it",
            "A person lets an application act for them.",
            limit="login",
        ),
        *_page(
            "/oauth/applications",
            "application_pages.applications",
            "people sign in on it",
            "What a person has allowed which application.",
            limit="login",
        ),
        *_page(
            "/device",
            "device_pages.device",
            "people sign in on it",
            "A person approves a device that waits.",
            limit="login",
        ),
        *_page(
            "/oauth/forgot",
            "password_pages.forgot",
            "asks for a mail; the answer tells nothing",
            "A person asks for a new password.",
            limit="reset",
        ),
        *_page(
            "/oauth/reset",
            "password_pages.reset",
            "the mailed token is the credential",
            "A person sets a new password.",
            limit="reset",
        ),
        *_page(
            "/oauth/invitation",
            "invitation_pages.invitation",
            "people sign in on it",
            "A person takes the place in a team that they were invited to by mail.",
            limit="login",
        ),
        *_page(
            "/setup",
            "setup_pages.setup",
            "people sign in on it",
            "A person sets a device up.",
            limit="login",
        ),
        route(
            "POST",
            "/setup/token",
            Page("the set-up page's script, with its session's cookie"),
            "setup_pages.token",
            "Gives the set-up page a token for whoever is signed in.",
            request="PageForm",
            answer="SetupToken",
            errors=(401, 403),
            limit="login",
        ),
        route(
            "GET",
            "/pages/static/{name}",
            Public("style and script of the pages"),
            "asset_pages.asset",
            "A file of the pages.",
            answer=(Raw("text/css; charset=utf-8"), Raw("text/javascript; charset=utf-8"), Raw("image/svg+xml")),
            errors=(404,),
        ),
    ),
)
