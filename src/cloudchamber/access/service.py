"""`decide`, as services use it."""

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.model import Action, Resource
from cloudchamber.access.requester import Requester
from cloudchamber.access.rules import Refused, decide


def require(requester: Requester, action: Action, resource: Resource) -> None:
    """Raises AccessRefused unless `requester` may do `action` to `resource`."""
    decision = decide(requester, action, resource)
    if isinstance(decision, Refused):
        raise AccessRefused(action, resource, decision.reason)
