"""What a refused requester gets."""

from typing import ClassVar

from cloudchamber.access.model import Action, Resource
from cloudchamber.access.rules import Reason
from cloudchamber.errors import Forbidden


class AccessRefused(Forbidden):
    """Carries the question and the reason, so that the edge can choose the vendor's shape and a log can explain."""

    code: ClassVar[str] = "access_refused"

    def __init__(self, action: Action, resource: Resource, reason: Reason) -> None:
        super().__init__(reason.value, detail=f"{action} on {type(resource).__name__}: {reason.name}")
        self.action = action
        self.resource = resource
        self.reason = reason
