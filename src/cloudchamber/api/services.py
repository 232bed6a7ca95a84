"""What the edge calls: the services of the domain, put together by app.py."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cloudchamber.identity.service import Customers, Users
from cloudchamber.oauth.clients import Clients
from cloudchamber.oauth.endpoint import TokenEndpoint
from cloudchamber.oauth.tokens import Tokens

Readiness = Callable[[], Awaitable[Mapping[str, bool]]]
"""The parts that serving needs (`database`, `listeners`, ...), and whether each can be used now."""


@dataclass(frozen=True, slots=True)
class Services:
    users: Users
    customers: Customers
    clients: Clients
    tokens: Tokens
    token_endpoint: TokenEndpoint
    ready: Readiness
