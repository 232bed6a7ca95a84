"""What the edge writes into the audit log: log-ins and refused credentials, changes of accounts, rights and things, and
who was refused one. What devices are asked, published events and what is only read are not in it.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import falcon.asgi

from cloudchamber.access.model import Action
from cloudchamber.access.requester import describe
from cloudchamber.api.call import EdgeRequest
from cloudchamber.api.routes import Bearer, BearerOrClient, BearerOrPassword, ClientCredentials, Console, Route
from cloudchamber.audit.model import Outcome
from cloudchamber.audit.service import AuditLog
from cloudchamber.errors import CloudError
from cloudchamber.ids import SecretHash
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.oauth.tokens import shown

Responder = Callable[..., Awaitable[None]]

# A fleet does these all day long.
_EVERYDAY: Final = frozenset(
    {
        *(Action.EVENTS_SEND, Action.FUNCTION_CALL, Action.VARIABLE_GET, Action.DEVICES_PING, Action.DEVICES_SIGNAL),
        *(Action.DIAGNOSTICS_UPDATE, Action.CLAIM_CODES_CREATE, Action.INTEGRATIONS_TEST),
    }
)
# What of a path is told as it is, and whose names are told as a hash. Anything else may be a secret.
_PLAIN: Final = frozenset({"product", "device", "organization", "client", "hook", "group", "version", "transfer"})
# What a device is told that asks again and again whether somebody has approved it.
_PATIENCE: Final = frozenset({"authorization_pending", "slow_down"})
_PEOPLE: Final = frozenset({"username", "customer"})


def audited(route: Route, respond: Responder, log: AuditLog) -> Responder:
    """`respond`, and a line about it where the route is one of those that the log is for."""
    event = event_of(route)
    if event is None:
        return respond
    only_refusals = isinstance(route.access, ClientCredentials)

    async def noting(req: EdgeRequest, resp: falcon.asgi.Response, **params: str) -> None:
        try:
            await respond(req, resp, **params)
        except CloudError as error:
            if not (isinstance(error, OAuthError) and error.error in _PATIENCE):
                _note(log, event, Outcome.REFUSED, req, params, _reason(error))
            raise
        if not only_refusals:
            # The console's pages show what went wrong themselves.
            _note(log, event, Outcome.REFUSED if resp.status_code >= 400 else Outcome.DONE, req, params, None)

    return noting


def event_of(route: Route) -> str | None:
    """What the log calls a route; None: it is not in it."""
    match route.access:
        case ClientCredentials():
            return route.handler
        case (
            Bearer(action=action)
            | BearerOrClient(action=action)
            | BearerOrPassword(action=action)
            | Console(action=action)
        ):
            is_change = route.method not in {"GET", "HEAD"}
            return action.value if is_change and action not in _EVERYDAY else None
        case _:
            return None


def subject(params: Mapping[str, str]) -> str | None:
    """`product=12 customer=sha256:0123456789ab`."""
    words = []
    for name, value in params.items():
        if name in _PLAIN:
            words.append(f"{name}={value[:64]}")
        elif name in _PEOPLE:
            words.append(f"{name}={opaque(value)}")
    return " ".join(words) or None


def opaque(name: str) -> str:
    """A person's name as the log has it: to be found again by whoever knows it."""
    return f"sha256:{hashlib.sha256(name.strip().lower().encode()).hexdigest()[:12]}"


def log_in(log: AuditLog | None, req: EdgeRequest, how: str, who: str) -> None:
    """Somebody who showed what they log in with."""
    if log is not None:
        log.note("log-in", Outcome.DONE, who, ip=req.client_ip, detail=how)


def _reason(error: CloudError) -> str:
    """Without the public message, which may repeat what was sent."""
    code = error.error if isinstance(error, OAuthError) else error.code
    return f"{code}: {error.detail}" if error.detail else code


def _note(
    log: AuditLog, event: str, outcome: Outcome, req: EdgeRequest, params: Mapping[str, str], detail: str | None
) -> None:
    requester = req.requester
    hash_: SecretHash | None = getattr(requester, "token", None)
    log.note(
        event,
        outcome,
        describe(requester) if requester is not None else "anonymous",
        token=shown(hash_) if hash_ is not None else None,
        ip=req.client_ip,
        subject=subject(params),
        detail=detail,
    )
