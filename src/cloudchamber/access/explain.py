"""`decide`, said to a person: whoever runs a cloud asks why somebody may do something, or why not."""

from cloudchamber.access.model import (
    Account,
    Action,
    DeviceResource,
    OrganizationDeviceResource,
    OrganizationResource,
    OwnThings,
    ProductDeviceResource,
    ProductResource,
    Resource,
    Role,
)
from cloudchamber.access.requester import (
    Anonymous,
    ApiUser,
    Customer,
    Device,
    OrganizationClient,
    ProductClient,
    Requester,
    User,
    describe,
)
from cloudchamber.access.rules import MINIMUM_ROLE, ORGANIZATION_ROLE, Allowed, Reason, decide


def explain(requester: Requester, action: Action, resource: Resource) -> str:
    """One line: the question, the answer, and what it rests on. It names ids and roles, never a secret."""
    question = f"{describe(requester)} asks for {action.value} on {_name(resource)}"
    decision = decide(requester, action, resource)
    if isinstance(decision, Allowed):
        return f"{question}: allowed, {_standing(requester, resource)}."
    lacks = _lacks(requester, action, resource, decision.reason)
    return f"{question}: refused. {decision.reason.value.removesuffix('.')}{lacks}."


def _name(resource: Resource) -> str:
    match resource:
        case ProductResource(id=id_):
            return f"product {id_}"
        case OrganizationResource(id=id_):
            return f"organization {id_}"
        case DeviceResource(id=device):
            return f"device {device}"
        case ProductDeviceResource(id=device, product=product):
            return f"device {device} of product {product.id}"
        case OrganizationDeviceResource(id=device, organization=organization):
            return f"device {device} of organization {organization}"
        case OwnThings():
            return "what is their own"
        case Account():
            return "their account"


def _standing(requester: Requester, resource: Resource) -> str:
    match requester:
        case User():
            role = _role(resource)
            if role is not None:
                return f"by the role {role.title} in the team"
            return "as the device's owner" if isinstance(resource, DeviceResource) else "as it is their own"
        case Customer():
            return "as the device's owner" if isinstance(resource, DeviceResource) else "as it is their own"
        case ProductClient() | OrganizationClient():
            return "by the client's credentials"
        case ApiUser():
            return "by the API user's scopes"
        case Anonymous() | Device():  # pragma: no cover - nothing is allowed to them
            return ""


def _lacks(requester: Requester, action: Action, resource: Resource, reason: Reason) -> str:
    """What would be needed, where a sentence about all such refusals cannot know it."""
    if reason is Reason.SCOPE and not isinstance(requester, Anonymous | Device):
        return f": it has {' '.join(sorted(requester.scopes.names or ())) or 'no scope'}"
    if reason is Reason.ROLE:
        minimum = (ORGANIZATION_ROLE if isinstance(resource, OrganizationResource) else MINIMUM_ROLE)[action]
        role = _role(resource)
        assert role is not None, "only members are refused for their role"
        return f": it is {role.title}, and {minimum.title} is needed"
    return ""


def _role(resource: Resource) -> Role | None:
    match resource:
        case ProductResource(role=role) | OrganizationResource(role=role):
            return role
        case ProductDeviceResource(product=product) | OrganizationDeviceResource(product=product):
            return product.role
        case _:
            return None
