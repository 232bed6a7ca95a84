"""Objects of the domain in the vendor's JSON."""

from collections.abc import Iterable
from typing import Any

from cloudchamber.access.model import OwnedByCustomer, OwnedByUser, Owner
from cloudchamber.api.errors import NO_STORE
from cloudchamber.api.reply import Reply
from cloudchamber.clock import iso, iso_or_none
from cloudchamber.firmware.model import Firmware
from cloudchamber.fleet.imports.model import ImportReport
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.service import DeviceView
from cloudchamber.identity.model import UserAccount
from cloudchamber.oauth.model import Client, Introspection, Issued


def token_answer(issued: Issued, status: int = 200) -> Reply:
    """A fresh token. `refresh_token` is absent when the token never expires, `scope` when it has none."""
    body: dict[str, Any] = {
        "token_type": "bearer",
        "access_token": issued.access_token,
        "expires_in": issued.expires_in,
    }
    if issued.refresh_token is not None:
        body["refresh_token"] = issued.refresh_token
    if issued.scope is not None:
        body["scope"] = issued.scope
    return Reply(body, status, NO_STORE)


def introspection(found: Introspection | None) -> dict[str, Any]:
    """`{"active": false}` and not a word more for anything that the client may not see (RFC 7662 2.2)."""
    if found is None:
        return {"active": False}
    principal = found.principal
    body: dict[str, Any] = {
        "active": True,
        "client_id": found.client,
        "token_type": "bearer" if found.kind == "access_token" else found.kind,
        "sub": principal.id,
        "principal": principal.kind.value,
        "iat": found.issued_at // 1000,
    }
    if found.scope is not None:
        body["scope"] = found.scope
    if found.expires_at is not None:
        body["exp"] = found.expires_at // 1000
    if principal.product is not None:
        body["product_id"] = principal.product
    return body


def client(found: Client, secret: str | None = None) -> dict[str, Any]:
    """`secret` only in the answer to the client's creation."""
    body: dict[str, Any] = {"name": found.name, "type": found.type.value, "id": found.id}
    if secret is not None:
        body["secret"] = secret
    if found.redirect_uri is not None:
        body["redirect_uri"] = found.redirect_uri
    if found.scope is not None:
        body["scope"] = found.scope
    if found.product is not None:
        body["product_id"] = found.product
    if found.organization is not None:
        body["org_id"] = found.organization
    if not found.takes_passwords:
        body["password_grant"] = False
    return body


def user(account: UserAccount, *, has_mfa: bool, wifi_devices: int, cellular_devices: int) -> dict[str, Any]:
    return {
        "username": account.username,
        "subscription_ids": [],
        "account_info": account.account_info,
        "mfa": {"enabled": has_mfa},
        "wifi_device_count": wifi_devices,
        "cellular_device_count": cellular_devices,
        "scim_provisioned": False,
        "no_password": account.password_hash is None,
    }


def product(found: Product) -> dict[str, Any]:
    """`user` names the owner of what is in nobody's organization but their own, `org` the organization of the rest."""
    body: dict[str, Any] = {
        "id": found.id,
        "platform_id": found.platform_id,
        "name": found.name,
        "slug": found.slug,
        "description": found.description,
        "type": found.type,
        "hardware_version": found.hardware_version,
        # What accounting needs at the vendor; clients read the keys.
        "subscription_id": 0,
        "mb_limit": None,
        "organization": found.organization,
        "groups": [],
        "settings": found.settings,
    }
    return body | ({"user": found.owner_name} if found.is_personal else {"org": found.organization_slug})


def device(view: DeviceView) -> dict[str, Any]:
    """A device in the list of those who own it. Functions and variables are shown while they can be used."""
    record = view.record
    body: dict[str, Any] = {
        "id": record.id,
        "name": record.name,
        "owner": view.owner_name,
        "last_app": None,
        "last_ip_address": record.last_ip,
        "last_heard": iso_or_none(view.last_heard),
        "last_handshake_at": iso_or_none(record.last_handshake_at),
        "product_id": record.shown_product_id,
        "platform_id": record.platform_id,
        "connected": view.is_online,
        "online": view.is_online,
        "cellular": record.is_cellular,
        "notes": record.notes,
        "functions": list(record.functions or ()) if view.is_online else [],
        "variables": dict(record.variables or {}) if view.is_online else {},
        "status": "safe_mode" if record.is_in_safe_mode and view.is_online else "normal",
        "serial_number": record.serial_number,
        "system_firmware_version": record.system_version,
        "current_build_target": record.system_version,
        "default_build_target": record.system_version,
        "pinned_build_target": None,
        "firmware_updates_enabled": record.firmware_updates_enabled,
        "firmware_updates_forced": record.firmware_updates_forced,
    }
    if record.iccid is not None:
        body["iccid"] = body["last_iccid"] = record.iccid
    if record.imei is not None:
        body["imei"] = record.imei
    if record.cc3000_patch_version is not None:
        body["cc3000_patch_version"] = record.cc3000_patch_version
    return body


def device_detail(view: DeviceView) -> dict[str, Any]:
    body = device(view)
    body["mobile_secret"] = view.record.mobile_secret
    return body


def product_device(view: DeviceView, released: int | None) -> dict[str, Any]:
    """A device in its product's list: what its owner sees, and how the product holds it; `released` is the version that
    its product's releases give it."""
    record = view.record
    body = device(view) | {
        "firmware_product_id": record.firmware_product_id,
        "firmware_version": record.firmware_version,
        "desired_firmware_version": record.desired_firmware_version,
        "targeted_firmware_release_version": released,
        "groups": list(record.groups),
        "development": record.is_development,
        "quarantined": record.is_quarantined,
        "denied": record.is_denied,
    }
    return body | _owner(record.owner)


def product_device_detail(view: DeviceView, released: int | None) -> dict[str, Any]:
    return product_device(view, released) | {"mobile_secret": view.record.mobile_secret}


def claimed(view: DeviceView) -> dict[str, Any]:
    record = view.record
    body: dict[str, Any] = {
        "id": record.id,
        "product_id": record.shown_product_id,
        "updated_at": iso(record.updated_at),
        "connected": view.is_online,
        "ok": True,
    }
    return body | _owner(record.owner)


def _owner(owner: Owner | None) -> dict[str, str]:
    match owner:
        case OwnedByUser(id=user):
            return {"user_id": user}
        case OwnedByCustomer(id=customer):
            return {"customer_id": customer}
        case None:
            return {}


def firmware(found: Firmware) -> dict[str, Any]:
    """`uploaded_by` is an empty object where no person uploaded it."""
    uploader = {"id": found.uploaded_by, "username": found.uploaded_by_name} if found.uploaded_by is not None else {}
    return {
        "_id": found.id,
        "version": found.version,
        "title": found.title,
        "description": found.description,
        "name": found.name,
        "size": found.size,
        "product_id": found.product,
        "uploaded_on": iso(found.uploaded_at),
        "updated_at": iso(found.updated_at),
        "uploaded_by": uploader,
        "current": found.is_product_default,
        "product_default": found.is_product_default,
        "groups": found.groups,
        "mandatory": found.is_mandatory,
        "intelligent": found.is_intelligent,
        "device_count": found.device_count,
    }


def import_report(report: ImportReport) -> dict[str, Any]:
    return {
        "updated": len(report.updated),
        "updatedDeviceIds": report.updated,
        "existingDeviceIds": report.existing,
        "nonmemberDeviceIds": report.nonmember,
        "invalidDeviceIds": report.invalid,
    }


def pages(total: int, per_page: int) -> dict[str, int]:
    return {"total_pages": max(1, -(-total // per_page))}


def product_list(products: Iterable[Product]) -> dict[str, Any]:
    return {"products": [product(each) for each in products]}
