"""Into the console and out of it: signing in, and back to the page that was asked for; signing out; light and dark."""

from typing import Any, Final
from urllib.parse import unquote, urlencode

import falcon

from cloudchamber.access.model import Action
from cloudchamber.api.call import Call
from cloudchamber.api.pages.shell import Visit, asset_reply
from cloudchamber.api.pages.sign_in import Place, SignIn
from cloudchamber.api.reply import Reply
from cloudchamber.api.routes import Page, Public, Raw, route
from cloudchamber.console.frame import REALM, SIGN_IN, STATIC, THEME_COOKIE, THEMES, Ask, Frame
from cloudchamber.console.section import ANSWERS, FAILURES, PREFIX, form
from cloudchamber.errors import CloudError
from cloudchamber.oauth.clients import CONSOLE

_FOREVER_S: Final = 400 * 24 * 3600

ROUTES: Final = (
    route(
        "GET",
        "/",
        Page("somebody typed the server's address"),
        "console_entrance.root",
        "Brings a browser to the console.",
        answer={303: None},
        errors=(404,),
    ),
    route(
        "GET",
        SIGN_IN,
        Page("people sign in on it"),
        "console_entrance.sign_in",
        "A person signs in to the console.",
        answer=ANSWERS,
    ),
    route(
        "POST",
        SIGN_IN,
        Page("people sign in on it"),
        "console_entrance.sign_in_form",
        "A person signs in to the console.",
        request="PageForm",
        answer=ANSWERS,
        limit="login",
    ),
    form(
        f"{PREFIX}/sign-out",
        Action.ACCOUNT_GET,
        "entrance.sign_out",
        "Ends this browser's session, or all of the person's.",
    ),
    form(f"{PREFIX}/theme", Action.ACCOUNT_GET, "entrance.theme", "Chooses light or dark."),
    route(
        "GET",
        f"{STATIC}/{{name}}",
        Public("style and script of the console"),
        "console_entrance.asset",
        "A file of the console's pages.",
        answer={
            200: (Raw("text/css; charset=utf-8"), Raw("text/javascript; charset=utf-8"), Raw("image/svg+xml")),
            **FAILURES,
        },
    ),
)


class Entrance:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._steps = SignIn(frame.shell, frame.people)

    async def root(self, call: Call) -> Any:
        """For programs there is nothing, as everywhere outside of the API's paths."""
        if "text/html" not in (call.req.get_header("accept") or ""):
            raise falcon.HTTPNotFound
        return self._frame.shell.redirect(self._frame.shell.begin(call), PREFIX)

    async def sign_in(self, call: Call) -> Any:
        visit: Visit | None = None
        try:
            visit = self._frame.shell.begin(call)
            self._frame.shell.check_form(visit)
            to = own_page(visit.query.get("to"))
            client = await self._frame.people.client(CONSOLE)
            action = f"{SIGN_IN}?{urlencode({'to': to})}"
            session = await self._steps.require(visit, Place(REALM, client, action, "to see and steer your fleet"))
            return session if isinstance(session, Reply) else self._frame.shell.redirect(visit, to)
        except CloudError as error:
            return self._frame.outside(visit, error)

    sign_in_form = sign_in

    async def sign_out(self, ask: Ask) -> Any:
        everywhere = ask.visit.step == "sign_out_everywhere"
        await self._frame.people.sign_out(ask.visit, REALM, everywhere=everywhere)
        if everywhere:
            self._frame.live.ended_all(ask.session.principal)
        else:
            self._frame.live.ended(ask.session)
        return self._frame.shell.redirect(ask.visit, SIGN_IN)

    async def theme(self, ask: Ask) -> Any:
        wanted = ask.form.get("theme", "")
        if wanted in THEMES:
            self._frame.shell.set_cookie(ask.visit, THEME_COOKIE, wanted, _FOREVER_S)
        return self._frame.redirect(ask, own_page(ask.form.get("to")))

    async def asset(self, call: Call) -> Any:
        name = call.params["name"]
        content = self._frame.static(name)
        reply = None if content is None else asset_reply(name, content)
        if reply is None:
            raise falcon.HTTPNotFound
        return reply


def own_page(path: str | None) -> str:
    """A page of the console, and nothing else: a link elsewhere would lend our sign-in to somebody's trick."""
    plain = unquote((path or "").partition("?")[0])
    is_own = plain == PREFIX or (plain.startswith(PREFIX + "/") and not {".", ".."} & set(plain.split("/")))
    if path is None or not is_own or not path.isprintable() or "\\" in plain or plain == SIGN_IN:
        return PREFIX
    return path
