"""From errors to answers: every class has a shape, nothing leaks, and no text makes a client log out."""

import importlib
import itertools
import logging
import pkgutil
from typing import Any

import httpx
import pytest

import cloudchamber
from cloudchamber.access.errors import AccessRefused
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
)
from cloudchamber.access.rules import Reason
from cloudchamber.api import errors as edge
from cloudchamber.api.app import create_app
from cloudchamber.api.errors import NOT_RECOGNIZED, BodyTooLarge, render
from cloudchamber.errors import CloudError, NotFound
from cloudchamber.fleet.errors import device_not_in_product, device_unknown, product_not_found
from cloudchamber.ids import DeviceId, OrganizationId, ProductId
from cloudchamber.messaging.errors import FunctionTimedOut, SignalTimedOut, VariableTimedOut
from cloudchamber.oauth.errors import OAuthError, client_unknown, token_expired
from cloudchamber.ownership.errors import BelongsToAnother, DeviceDoesNotExist, DeviceIdMissing, DeviceOffline
from cloudchamber.settings import Settings
from cloudchamber.storage.errors import StorageUnavailable
from cloudchamber.webhooks.errors import WebhookNotFound

PRODUCT = ProductResource(ProductId(1), None)
IN_PRODUCT = ProductDeviceResource(DeviceId("a" * 24), PRODUCT)
ORGANIZATION = OrganizationResource(OrganizationId("b" * 24), None)
IN_ORGANIZATION = OrganizationDeviceResource(DeviceId("a" * 24), ORGANIZATION.id, PRODUCT)
OWN = DeviceResource(DeviceId("a" * 24), None, None)
EXPIRED = "The access token provided has expired."
NOT_FOR_API_USERS = {
    "error": "unauthorized",
    "error_description": "API users are not allowed to call this endpoint",
}
NOT_YOURS = {"error": "Permission Denied", "info": NOT_RECOGNIZED}


def ok_false(text: str) -> dict[str, Any]:
    return {"ok": False, "error": text}


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (
            token_expired(),
            401,
            {"error": "invalid_token", "error_description": "The access token provided has expired."},
        ),
        (OAuthError("mfa_required", "m"), 403, {"error": "mfa_required", "error_description": "m"}),
        (OAuthError("rate_limit_exceeded", "m"), 429, {"error": "rate_limit_exceeded", "error_description": "m"}),
        (product_not_found(), 404, ok_false("Product not found.")),
        (device_not_in_product(), 404, ok_false("Device not found")),
        (device_unknown(), 403, NOT_YOURS),
        (WebhookNotFound("Webhook not found"), 404, ok_false("Webhook not found")),
        (FunctionTimedOut("Timed out."), 400, ok_false("Timed out.")),
        (VariableTimedOut("Timed out."), 408, {"error": "Timed out."}),
        (SignalTimedOut("t"), 500, {"ok": False, "code": 500, "errors": [{"error": "t"}]}),
        (DeviceDoesNotExist("d"), 404, {"ok": False, "errors": ["d"]}),
        (DeviceIdMissing("d"), 400, {"ok": False, "errors": ["d"]}),
        (BelongsToAnother("b"), 403, {"ok": False, "errors": ["b"]}),
        (DeviceOffline("Core isn't online"), 404, {"ok": False, "errors": [["Core isn't online", 404]]}),
        (StorageUnavailable("s"), 503, ok_false("s")),
        (BodyTooLarge("b"), 413, ok_false("b")),
        (NotFound("n", detail="secret"), 404, ok_false("n")),
    ],
)
def test_shapes(error: CloudError, status: int, body: dict[str, Any]) -> None:
    assert (render(error).status, render(error).body) == (status, body)


def test_the_info_of_a_foreign_device_is_the_vendors_to_the_letter() -> None:
    assert NOT_RECOGNIZED == (
        "I didn't recognize that device name or ID, try opening "
        "https://api.particle.io/v1/devices?access_token=undefined"
    )


@pytest.mark.parametrize(
    ("action", "resource", "reason", "status", "body"),
    [
        (Action.DEVICES_GET, OWN, Reason.NOT_OWNER, 403, NOT_YOURS),
        (Action.FUNCTION_CALL, OWN, Reason.WRONG_KIND, 403, NOT_YOURS),
        (Action.FUNCTION_CALL, OWN, Reason.QUARANTINED, 403, ok_false(Reason.QUARANTINED.value)),
        (Action.DEVICES_LIST, PRODUCT, Reason.NOT_IN_TEAM, 404, ok_false("Permission denied")),
        (Action.DEVICES_LIST, PRODUCT, Reason.OTHER_PRODUCT, 404, ok_false("Permission denied")),
        (Action.DEVICES_LIST, PRODUCT, Reason.ROLE, 403, ok_false("Permission denied")),
        (Action.DEVICES_LIST, PRODUCT, Reason.WRONG_KIND, 403, ok_false("Permission denied")),
        (Action.DEVICES_GET, IN_PRODUCT, Reason.NOT_IN_TEAM, 404, ok_false("Permission denied")),
        (Action.CUSTOMERS_CREATE, PRODUCT, Reason.OTHER_PRODUCT, 403, ok_false("Permission denied")),
        (
            Action.DEVICES_IMPORT,
            PRODUCT,
            Reason.WRONG_KIND,
            404,
            ok_false("Organization not found for user's role."),
        ),
        (Action.DEVICES_LIST, PRODUCT, Reason.OTHER_ORGANIZATION, 404, ok_false("Permission denied")),
        (Action.TEAM_INVITE, ORGANIZATION, Reason.PERSON, 403, ok_false("Permission denied")),
        (Action.ACCOUNT_GET, Account(), Reason.API_USER, 400, NOT_FOR_API_USERS),
        (Action.DEVICES_GET, OWN, Reason.API_USER, 400, NOT_FOR_API_USERS),
        (Action.ACCOUNT_GET, Account(), Reason.WRONG_KIND, 403, ok_false("Permission denied")),
        (Action.EVENTS_GET, OwnThings(), Reason.WRONG_KIND, 403, ok_false("Permission denied")),
        (
            Action.DEVICES_LIST,
            PRODUCT,
            Reason.SCOPE,
            400,
            {"error": "invalid_scope", "error_description": "Token does not have scope devices:list"},
        ),
    ],
)
def test_refusals(action: Action, resource: Resource, reason: Reason, status: int, body: dict[str, Any]) -> None:
    rendered = render(AccessRefused(action, resource, reason))
    assert (rendered.status, rendered.body) == (status, body)


@pytest.mark.parametrize(
    ("action", "reason", "status"),
    [
        (Action.DEVICES_GET, Reason.WRONG_KIND, 404),
        (Action.DEVICES_GET, Reason.NOT_IN_TEAM, 404),
        (Action.DEVICES_GET, Reason.ROLE, 403),
        (Action.TEAM_INVITE, Reason.PERSON, 403),
        (Action.CUSTOMERS_CREATE, Reason.WRONG_KIND, 403),
        (Action.CUSTOMERS_CREATE, Reason.OTHER_ORGANIZATION, 403),
        (Action.CLAIM_CODES_CREATE, Reason.WRONG_KIND, 403),
    ],
)
def test_refusals_below_an_organization(action: Action, reason: Reason, status: int) -> None:
    assert render(AccessRefused(action, PRODUCT, reason), below_organization=True).status == status


def test_no_refusal_is_a_401_or_a_success() -> None:
    """401 makes clients throw their token away."""
    resources = (OWN, PRODUCT, IN_PRODUCT, ORGANIZATION, IN_ORGANIZATION, OwnThings(), Account())
    for action, resource, reason, below in itertools.product(Action, resources, Reason, (False, True)):
        rendered = render(AccessRefused(action, resource, reason), below_organization=below)
        assert rendered.status in {400, 403, 404}, (action, resource, reason)
        assert "access token" not in str(rendered.body).lower(), (action, resource, reason)


def test_headers_of_refused_clients_and_tokens() -> None:
    assert dict(render(client_unknown()).headers) == {
        "cache-control": "no-store",
        "pragma": "no-cache",
        "www-authenticate": 'Basic realm="Service"',
    }
    assert dict(render(token_expired()).headers) == {
        "cache-control": "no-store",
        "pragma": "no-cache",
        "www-authenticate": 'Bearer realm="Service", error="invalid_token"',
    }
    assert dict(render(BodyTooLarge("b")).headers) == {"connection": "close"}
    assert dict(render(StorageUnavailable("s")).headers) == {"retry-after": "1"}


def error_classes(base: type[CloudError] = CloudError) -> set[type[CloudError]]:
    for module in pkgutil.walk_packages(cloudchamber.__path__, "cloudchamber."):
        if module.name.endswith((".errors", ".fields", ".bodies", ".customers")):
            importlib.import_module(module.name)
    found = {base}
    for each in base.__subclasses__():
        found |= error_classes(each)
    return found


def test_every_code_that_has_a_shape_of_its_own_exists() -> None:
    codes = {each.code for each in error_classes()}
    assert codes >= edge._LIST_SHAPE | edge._BOTH_SHAPE
    assert not edge._LIST_SHAPE & edge._BOTH_SHAPE


# -- what goes wrong inside ------------------------------------------------------------


class Failing:
    """Services that all fail in one way, behind the whole edge."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name == "public_url":
            return ""
        return None if name == "limits" else self

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise self._error


async def answer_to(error: Exception) -> httpx.Response:
    app = create_app(Failing(error), Settings())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return await client.post("/v1/users", json={"username": "u", "password": "p"})


async def test_our_own_bug_is_a_500_with_a_number_and_the_trace_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await answer_to(ZeroDivisionError("a secret of ours"))
    number = answer.headers["x-request-id"]
    assert answer.status_code == 500
    assert answer.json() == ok_false(f"Internal error. Please report it with this number: {number}")
    (record,) = caplog.records
    assert number in record.getMessage()
    assert record.exc_info


async def test_storage_that_cannot_be_reached_is_a_503_and_its_detail_stays_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await answer_to(StorageUnavailable("Try again later.", detail="disk full on sda"))
    assert (answer.status_code, answer.json()) == (503, ok_false("Try again later."))
    assert answer.headers["retry-after"] == "1"
    assert "disk full on sda" in caplog.text
