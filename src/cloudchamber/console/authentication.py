"""OAuth clients of a product or an organization: what an app or a server shows when it asks for tokens."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from cloudchamber.access.model import Action, Role
from cloudchamber.access.requester import Scopes
from cloudchamber.access.rules import MINIMUM_ROLE
from cloudchamber.console.curl import Line, lines
from cloudchamber.console.frame import Ask, Frame
from cloudchamber.console.section import Nav, Section, either, form, page
from cloudchamber.errors import CloudError
from cloudchamber.ids import ClientId
from cloudchamber.oauth.errors import ClientNotFound
from cloudchamber.oauth.model import Client, ClientType

_NEW: Final = "/authentication/new"
_CLIENT: Final = "/authentication/{client}"
ROUTES: Final = (
    page(either("/authentication"), Action.CLIENTS_LIST, "authentication.list", "Shows OAuth clients."),
    page(either(_NEW), Action.CLIENTS_CREATE, "authentication.new", "Asks what a new client is for."),
    form(either(_NEW), Action.CLIENTS_CREATE, "authentication.create", "Makes a client, and shows its secret once."),
    page(either(_CLIENT), Action.CLIENTS_LIST, "authentication.show", "Shows a client, and how it is used."),
    form(
        either(f"{_CLIENT}/edit"), Action.CLIENTS_UPDATE, "authentication.edit", "Changes a client's name and scopes."
    ),
    form(either(f"{_CLIENT}/remove"), Action.CLIENTS_REMOVE, "authentication.remove", "Ends a client and its tokens."),
)

_SIGN_UPS: Final = Action.CUSTOMERS_CREATE.value


@dataclass(frozen=True, slots=True)
class Preset:
    key: str
    title: str
    text: str
    type: ClientType
    scope: str | None


PRESETS: Final = (
    Preset(
        "mobile",
        "Simple Auth (mobile app)",
        "Your customers have a password with you here. The app signs them up and logs them in by itself.",
        ClientType.INSTALLED,
        _SIGN_UPS,
    ),
    Preset(
        "web",
        "Simple Auth (web app)",
        "As for a mobile app, in a browser: people come back to an address of yours when they have signed in.",
        ClientType.WEB,
        _SIGN_UPS,
    ),
    Preset(
        "server",
        "Two-Legged (server)",
        "Your own server knows your customers, and asks here for a token of each. It needs no passwords of theirs.",
        ClientType.INSTALLED,
        None,
    ),
    Preset("custom", "Custom", "You choose what it may do.", ClientType.INSTALLED, None),
)

# What a client may be limited to, as far as a client goes; in words where the name alone says little.
_WORDS: Final = {
    Action.DEVICES_LIST: "list the product's devices",
    Action.DEVICES_GET: "see each device",
    Action.DEVICES_IMPORT: "import devices",
    Action.DEVICES_UPDATE: "name and change devices, flash them, let them in",
    Action.DEVICES_REMOVE: "remove and deny devices",
    Action.DEVICES_RELEASE: "take devices from their owners",
    Action.DEVICES_PING: "ask devices whether they are there",
    Action.DEVICES_SIGNAL: "make devices blink",
    Action.VARIABLE_GET: "read variables",
    Action.FUNCTION_CALL: "call functions",
    Action.EVENTS_GET: "hear events",
    Action.EVENTS_SEND: "publish events",
    Action.CUSTOMERS_LIST: "list customers",
    Action.CUSTOMERS_CREATE: "make customers",
    Action.CUSTOMERS_UPDATE: "set customers' passwords",
    Action.CUSTOMERS_REMOVE: "remove customers",
    Action.PRODUCTS_GET: "see the product",
    Action.PRODUCTS_LIST: "list the product",
    Action.CLIENTS_LIST: "list clients",
    Action.CLIENTS_CREATE: "make clients, with no more than it may itself",
    Action.CLIENTS_UPDATE: "change clients",
    Action.CLIENTS_REMOVE: "remove clients",
    Action.FIRMWARE_LIST: "list firmware",
    Action.FIRMWARE_GET: "see firmware",
    Action.FIRMWARE_BINARY_GET: "download firmware",
    Action.FIRMWARE_CREATE: "upload firmware",
    Action.FIRMWARE_UPDATE: "describe firmware",
    Action.FIRMWARE_RELEASE: "release firmware to devices",
    Action.FIRMWARE_REMOVE: "remove firmware",
    Action.GROUPS_LIST: "list groups",
    Action.GROUPS_GET: "see groups",
    Action.GROUPS_CREATE: "make groups",
    Action.GROUPS_UPDATE: "change groups",
    Action.GROUPS_REMOVE: "remove groups",
    Action.INTEGRATIONS_LIST: "list webhooks",
    Action.INTEGRATIONS_GET: "see webhooks",
    Action.INTEGRATIONS_CREATE: "make webhooks",
    Action.INTEGRATIONS_UPDATE: "change webhooks",
    Action.INTEGRATIONS_REMOVE: "remove webhooks",
    Action.INTEGRATIONS_TEST: "try webhooks out",
    Action.TEAM_LIST: "see the team",
}
SCOPES: Final = tuple((action.value, text) for action, text in _WORDS.items())
assert all(MINIMUM_ROLE[action] <= Role.DEVELOPER for action in _WORDS), "clients go no further"


class AuthenticationPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def list(self, ask: Ask) -> Any:
        found = await self._services.clients.of(ask.requester, ask.owner)
        return await self._frame.page(
            ask,
            "authentication.html",
            title="Authentication",
            section="authentication",
            clients=[(client, kind_of(client)) for client in found],
        )

    async def new(self, ask: Ask) -> Any:
        return await self._form(ask)

    async def create(self, ask: Ask) -> Any:
        preset = next((each for each in PRESETS if each.key == ask.form.get("preset")), PRESETS[-1])
        type_, scope = preset.type.value, preset.scope
        if preset.key == "custom":
            type_ = ask.form.get("type", "")
            scope = " ".join(ask.call.data.texts("scope")) or None
        try:
            made, secret = await self._services.clients.create(
                ask.requester,
                ask.owner,
                name=ask.form.get("name", "").strip(),
                type_=type_,
                redirect_uri=ask.form.get("redirect_uri", "").strip() or None,
                scope=scope,
            )
        except CloudError as error:
            return await self._form(ask, error)
        return await self._client(ask, made, secret)

    async def show(self, ask: Ask) -> Any:
        return await self._client(ask, await self._found(ask))

    async def edit(self, ask: Ask) -> Any:
        found = await self._found(ask)
        names = ask.call.data.texts("scope")
        everything = ask.form.get("everything") == "1"
        try:
            await self._services.clients.update(
                ask.requester,
                ask.owner,
                found.id,
                name=ask.form.get("name", "").strip() or None,
                scope="none" if everything else " ".join(names) or None,
            )
        except CloudError as error:
            return await self._client(ask, found, error=error)
        return self._frame.redirect(ask, self._url(ask, found.id), "Saved. Its tokens are limited to that from now on.")

    async def remove(self, ask: Ask) -> Any:
        found = await self._found(ask)
        await self._services.clients.delete(ask.requester, ask.owner, found.id)
        done = f"{found.name} and all of its tokens have ended."
        return self._frame.redirect(ask, f"{ask.base}/authentication", done)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _found(self, ask: Ask) -> Client:
        """Raises ClientNotFound."""
        clients = await self._services.clients.of(ask.requester, ask.owner)
        found = next((client for client in clients if client.id == ask.params["client"]), None)
        if found is None:
            raise ClientNotFound("There is no such client.")
        return found

    def _url(self, ask: Ask, client: ClientId) -> str:
        return f"{ask.base}/authentication/{client}"

    async def _client(
        self, ask: Ask, client: Client, secret: str | None = None, error: CloudError | None = None
    ) -> Any:
        base = self._services.public_url
        return await self._frame.page(
            ask,
            "client.html",
            title=client.name,
            section="authentication",
            back=(f"{ask.base}/authentication", "Authentication"),
            error=error,
            client=client,
            kind=kind_of(client),
            can=in_words(client.scopes, is_organizations=ask.product is None),
            is_limited=client.scopes.names is not None,
            secret=secret,
            url=self._url(ask, client.id),
            scopes=SCOPES,
            chosen=client.scopes.names or frozenset(),
            curl=curl_lines(client, ask.api_base, base, secret or "SECRET"),
            setup_url=f"{base}/setup?{urlencode({'client_id': client.id})}" if client.type is ClientType.WEB else None,
        )

    async def _form(self, ask: Ask, error: CloudError | None = None) -> Any:
        return await self._frame.page(
            ask,
            "client_new.html",
            title="New client",
            section="authentication",
            back=(f"{ask.base}/authentication", "Authentication"),
            error=error,
            presets=PRESETS,
            scopes=SCOPES,
            chosen=frozenset(ask.call.data.texts("scope")) if error is not None else frozenset(),
        )


def kind_of(client: Client) -> str:
    """The preset that it is like."""
    if client.scopes.names == frozenset({_SIGN_UPS}):
        return PRESETS[1 if client.type is ClientType.WEB else 0].title
    if client.scopes.names is None and client.type is ClientType.INSTALLED:
        return PRESETS[2].title
    return PRESETS[3].title


def in_words(scopes: Scopes, *, is_organizations: bool = False) -> list[str]:
    """What the holder of the secret may do, one line each."""
    if scopes.names is None:
        whose = (
            "all products of the organization and their devices" if is_organizations else "this product and its devices"
        )
        return [
            f"everything that a Developer of the team may do with {whose}",
            "make customers, and act as each of them",
        ]
    words = {action.value: text for action, text in _WORDS.items()}
    return [words.get(name, name) for name in sorted(scopes.names)] + (
        ["log customers in who give their password to it"] if _SIGN_UPS in scopes.names else []
    )


def curl_lines(client: Client, place: str, base: str, secret: str) -> list[Line]:
    """What somebody would try first with this client, ready for a terminal."""
    return lines(
        client.id,
        secret,
        place,
        base,
        redirect_uri=client.redirect_uri,
        is_web=client.type is ClientType.WEB,
        is_unlimited=client.scopes.names is None,
        makes_customers=client.scopes.allow(Action.CUSTOMERS_CREATE),
    )


SECTION: Final = Section(
    "authentication",
    "Authentication",
    Nav("either", "authentication", Action.CLIENTS_LIST),
    ROUTES,
    AuthenticationPages,
)
