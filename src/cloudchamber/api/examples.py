"""An example of each field and document, for `/openapi.json` and `/docs/api`, put there where a document names none
itself. They tell one story: Jane's lamp, a Photon in Ann's product `Lamp`, runs version 2 of its firmware."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = dict[str, Any]

_ID: Final = "5aa86b2b3dd14b3a6b000000"
_DEVICE: Final = "0123456789abcdef01234567"
_TOKEN: Final = f"{0x0123456789ABCDEF0123456789ABCDEF01234567:040x}"
_DATE: Final = "2018-04-18T17:20:10.880Z"
_ROLE: Final = {"id": "000000000000000000000003", "name": "Developer"}
_CLOUD: Final = "https://cloud.example.com"

FIELDS: Final[Mapping[str, Any]] = {
    "access_token": _TOKEN,
    "account_info": {"first_name": "Jane", "last_name": "Doe"},
    "action": "approve",
    "activation_code": "ABC123",
    "active": True,
    "add": ["pilot"],
    "algorithm": "rsa",
    "all": True,
    "app": "tinker",
    "app_id": "tinker",
    "arg": "on",
    "args": "on",
    "attempts": 1,
    "auth": {"username": "lamp", "password": "open sesame"},
    "authorization_endpoint": f"{_CLOUD}/oauth/authorize",
    "authorization_response_iss_parameter_supported": True,
    "request_uri_parameter_supported": False,
    "body": "{{{PARTICLE_EVENT_VALUE}}}",
    "bucket_size": 900,
    "build_target_version": "6.2.0",
    "cc3000_patch_version": "1.29",
    "cellular": False,
    "cellular_device_count": 0,
    "claim_code": "rCFr9KRZpGHV/KkL0uPSLJ2i8i2pSYPHXMg1QwMjpJDNxCyhYWuPPhXq1k2nQ4z",
    "claim_user": "ann@example.com",
    "client": "lamp-app-1234",
    "client_id": "lamp-app-1234",
    "client_secret": _TOKEN,
    "cmd": "VarReturn",
    "code": 403,
    "code_challenge_methods_supported": ["S256"],
    "color": "#00ae42",
    "connected": True,
    "coordinates": [11.576124, 48.137154],
    "count": 12,
    "csrf": _TOKEN,
    "current": True,
    "current_build_target": "2.3.1",
    "current_password": "correct horse",
    "current_system_firmware_version": "2.3.1",
    "data": "on",
    "dataUrlResponseEvent": False,
    "database": True,
    "date": "2018-04-18",
    "default_build_target": "2.3.1",
    "default_versions": {"6": "2.3.1"},
    "denied": False,
    "deny": True,
    "description": "A lamp that can be switched from afar",
    "desired_firmware_version": 2,
    "development": False,
    "device": {"network": {"signal": {"strength": 72.5}}},
    "deviceID": _DEVICE,
    "deviceId": "01234567",
    "deviceName": "lamp",
    "device_authorization_endpoint": f"{_CLOUD}/oauth/device_authorization",
    "device_code": _TOKEN,
    "device_count": 12,
    "device_id": _DEVICE,
    "device_name": "lamp",
    "devices_found": 1,
    "direction": "incoming",
    "disabled": False,
    "email": "jane@example.com",
    "enabled": True,
    "endless": True,
    "enrolled": True,
    "error": "Not found",
    "errorResponseTopic": "{{{PARTICLE_DEVICE_ID}}}/hook-error/{{{PARTICLE_EVENT_NAME}}}",
    "error_description": "Invalid client credentials",
    "errors": ["Not found"],
    "event": "temperature",
    "exp": 1_531_848_010,
    "expires_at": _DATE,
    "expires_in": 7_776_000,
    "failure": 0,
    "featured": True,
    "filename": "cli",
    "firmware_product_id": 6287,
    "firmware_updates_enabled": True,
    "firmware_updates_forced": False,
    "firmware_vendor": "Particle",
    "firmware_version": 2,
    "flash": True,
    "form": {"value": "{{{PARTICLE_EVENT_VALUE}}}"},
    "format": "raw",
    "friendly_name": "Nightly report",
    "full_name": "Jane Doe",
    "functions": ["lightsOn"],
    "fw_version": 2,
    "gps_lock": True,
    "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
    "groups": ["pilot"],
    "hardware_version": "v1.2",
    "headers": {"X-Lamp": "{{{PARTICLE_DEVICE_ID}}}"},
    "hookUrl": f"{_CLOUD}/v1/webhooks/{_ID}",
    "iat": 1_524_072_010,
    "iccid": "8934076500002589174",
    "id": _ID,
    "ids": [_DEVICE],
    "imei": "352753090000001",
    "info": "I didn't recognize that device name or ID, try opening "
    "https://api.particle.io/v1/devices?access_token=undefined",
    "inherited": True,
    "integrationUrl": f"{_CLOUD}/v1/integrations/{_ID}",
    "integration_type": "Webhook",
    "intelligent": True,
    "internal_version": 6200,
    "interval": 5,
    "introspection_endpoint": f"{_CLOUD}/oauth/introspect",
    "invalidDeviceIds": ["no device's id"],
    "invalidate_tokens": True,
    "is_programmatic": True,
    "issuer": _CLOUD,
    "json": {"temperature": "{{{PARTICLE_EVENT_VALUE}}}"},
    "known_application": {"opt_in": False},
    "last_app": "",
    "last_iccid": "8934076500002589174",
    "last_ip_address": "203.0.113.7",
    "last_used_ip": "203.0.113.7",
    "latest": True,
    "location": {"opt_in": True},
    "mandatory": False,
    "mb_limit": None,
    "message": "Password reset email sent.",
    "meta": {},
    "mfa_token": _TOKEN,
    "mobile_secret": "ABCDEFGHJKLMNPQ",
    "mydevices": True,
    "name": "lamp",
    "noDefaults": True,
    "no_password": True,
    "notes": "On the shelf in the hall",
    "offline": 0,
    "ok": True,
    "online": True,
    "order": f"manual_{_TOKEN}",
    "org": "example-corp",
    "org_id": _ID,
    "organization": "example-corp",
    "orgs": ["example-corp"],
    "otp": "123456",
    "owner": "jane@example.com",
    "page": 1,
    "params": "on",
    "pass": True,
    "password": "correct horse",
    "password_grant": False,
    "pending": True,
    "per_page": 25,
    "pinned_build_target": None,
    "platform_id": 6,
    "platforms": [6],
    "prereleases": [],
    "principal": "customer",
    "private": True,
    "product_default": True,
    "product_id": 6287,
    "publicKey": "-----BEGIN PUBLIC KEY-----\n...\n-----END PUBLIC KEY-----\n",
    "qr_url": "otpauth://totp/cloudchamber:jane@example.com?secret=JBSWY3DPEHPK3PXP&issuer=cloudchamber",
    "quarantine": True,
    "quarantined": False,
    "query": {"value": "{{{PARTICLE_EVENT_VALUE}}}"},
    "received": 42,
    "recovery_code": "abcd-efgh-ijkl-mnop-qrst-uvwx",
    "recovery_codes": ["abcd-efgh-ijkl-mnop-qrst-uvwx"],
    "recovery_codes_left": 10,
    "redirect_uri": "https://lamp.example.com/callback",
    "refresh_token": _TOKEN,
    "rejectUnauthorized": True,
    "release_state": "ga",
    "remove": ["pilot"],
    "request": 'POST https://lamp.example.com/temperature\ncontent-type: application/json\n\n{"temperature":"21"}',
    "requestType": "POST",
    "request_transfer": True,
    "requested_by": "joe@example.com",
    "response": "200\ncontent-type: text/plain\n\nok",
    "responseTemplate": "{{{temperature}}}",
    "responseTopic": "{{{PARTICLE_DEVICE_ID}}}/hook-response/{{{PARTICLE_EVENT_NAME}}}",
    "response_modes_supported": ["query"],
    "response_type": "token",
    "response_types_supported": ["code"],
    "result": 42,
    "return_value": 1,
    "revocation_endpoint": f"{_CLOUD}/oauth/revoke",
    "role": _ROLE,
    "scim_provisioned": False,
    "scope": "devices:list devices:get",
    "scopes": ["devices:list", "devices:get"],
    "secret": _TOKEN,
    "serialNumber": "PH-150324",
    "serial_number": "PH-150324-ABCD-0",
    "service": {"device": {"status": "ok"}},
    "service_documentation": f"{_CLOUD}/docs/api",
    "settings": {},
    "signal": True,
    "signaling": True,
    "sims": [],
    "size": 11_184,
    "sleep": 0,
    "slug": "lamp-v12",
    "sortAttr": "deviceName",
    "sortDir": "asc",
    "state": "af0ifjsldkj",
    "status": "normal",
    "step": "password",
    "sub": _ID,
    "subscription_id": 0,
    "subscription_ids": [],
    "success": 12,
    "system_firmware_version": "2.3.1",
    "targeted_firmware_release_version": 2,
    "title": "Dims slowly",
    "token": _TOKEN,
    "token_endpoint": f"{_CLOUD}/oauth/token",
    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    "token_type": "bearer",
    "token_type_hint": "refresh_token",
    "total_pages": 1,
    "type": "installed",
    "unchunked": False,
    "updated": 1,
    "url": "https://lamp.example.com/temperature",
    "used": 42,
    "user": "ann@example.com",
    "username": "jane@example.com",
    "variables": {"counter": "int32"},
    "verification_uri": f"{_CLOUD}/device",
    "verification_uri_complete": f"{_CLOUD}/device?user_code=BCDF-GHJK",
    "version": 2,
    "wifi_device_count": 1,
}
"""By the field's name, wherever nothing stands in `OF`."""

OF: Final[Mapping[str, Mapping[str, Any]]] = {
    "ApiUser": {"username": "nightly-report+0123456789@example.com"},
    "AreaOfProduct": {"groups": "pilot"},
    "Bare": {"error": "Timed out."},
    "BuildTarget": {"version": "2.3.1"},
    "BuildTargets": {"platforms": {"Photon": 6}},
    "Counter": {"error": 0},
    "DeviceAuthorization": {"expires_in": 600},
    "DeviceOsVersion": {"version": "6.2.0"},
    "Failure": {"ok": False},
    "Failures": {"ok": False, "errors": ["Bad password"]},
    "Firmware": {"name": "lamp.bin", "description": "Takes a second to go on"},
    "Flashing": {"status": "Update started"},
    "Geometry": {"type": "Point"},
    "GroupsQuery": {"name": "pilot"},
    "Identity": {"email": "jane@example.com"},
    "Import": {"id": _DEVICE},
    "Invited": {"username": "joe@example.com"},
    "KeyFormat": {"format": "pem"},
    "LogEntry": {"type": "success"},
    "ManyDeviceChanges": {"action": "groups"},
    "MemberRole": {"username": "joe@example.com"},
    "MfaConfirmation": {"name": "Phone"},
    "MfaEnrolment": {"secret": "JBSWY3DPEHPK3PXP"},
    "MfaFactor": {"name": "Phone"},
    "NewOAuthClient": {"name": "Lamp app"},
    "NewOrganization": {"name": "Example Corp"},
    "NewOwnClient": {"name": "Lamp app"},
    "OAuthClient": {"id": "lamp-app-1234", "name": "Lamp app"},
    "OAuthClientChanges": {"name": "Lamp app"},
    "OAuthFailure": {"error": "invalid_client"},
    "Organization": {"name": "Example Corp", "slug": "example-corp"},
    "OrganizationChanges": {"name": "Example Corp"},
    "PermissionDenied": {"error": "Permission Denied"},
    "Product": {"name": "Lamp", "type": "Consumer", "settings": {"quarantine": True}},
    "ProductDevicesQuery": {"groups": "pilot,beta"},
    "ProductFieldChanges": {"name": "Lamp", "type": "Consumer"},
    "ProductFields": {"name": "Lamp", "type": "Consumer"},
    "Role": {"id": _ROLE["id"], "name": _ROLE["name"]},
    "SetupToken": {"expires_in": 900},
    "TeamMember": {"username": "joe@example.com"},
    "Transfer": {"status": "pending"},
    "Tried": {"error": "status 500"},
    "Uploader": {"username": "ann@example.com"},
    "VariableReturn": {"name": "counter"},
    "Version": {"name": "cloudchamber", "version": "0.1.0"},
}
"""By the document, where the name alone does not tell."""

SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "Claimed": ("user_id",),
    "Grant": ("username", "password"),
    "GroupMetadata": ("add",),
    "Introspection": ("client_id", "token_type", "sub", "principal", "scope", "iat", "exp"),
    "MetricsBucket": ("count",),
    "NewCustomer": ("no_password",),
    "NewFirmware": ("title",),
    "NewRelease": ("product_default",),
    "NewWebhook": ("requestType", "json"),
    "ProductDevice": ("customer_id",),
    "ProductDeviceDetail": ("customer_id",),
    "ProductFields": ("description",),
    "Sources": ("platform_id",),
    "Token": ("refresh_token",),
    "Transfer": ("requested_by",),
    "Tried": ("data",),
    "Uploader": ("id", "username"),
    "Webhook": ("requestType", "json"),
    "WebhookMade": ("requestType", "json", "hookUrl"),
    "WebhookReplacedDocument": ("requestType", "json"),
    "WebhookSeen": ("requestType", "json"),
}
"""What examples of documents hold besides the required fields: without any of both, they hold the first field."""

PATHS: Final[Mapping[str, str]] = {
    "agreement": _ID,
    "algorithm": "rsa",
    "binary": _ID,
    "client": "lamp-app-1234",
    "customer": "jane@example.com",
    "device": _DEVICE,
    "document": "manual",
    "factor": _ID,
    "function": _ID,
    "group": "pilot",
    "hardware": _DEVICE,
    "hook": _ID,
    "iccid": "8934076500002589174",
    "key": "BRIGHTNESS",
    "ledger": "settings",
    "library": "neopixel",
    "name": "lightsOn",
    "network": _ID,
    "organization": "example-corp",
    "prefix": "temperature",
    "product": "6287",
    "report": _ID,
    "rest": "any/path",
    "run": _ID,
    "scope": _DEVICE,
    "secret": "API_KEY",
    "serial": "PH-150324-ABCD-0",
    "token": _TOKEN,
    "transfer": _ID,
    "username": "joe@example.com",
    "variable": "BRIGHTNESS",
    "version": "2",
}
"""By the name of the field in a path."""


def give(schemas: dict[str, Json]) -> None:
    """Gives the documents and their fields those examples that they lack, or that `OF` has better ones for."""
    for name, schema in schemas.items():
        for field, kind in schema.get("properties", {}).items():
            example = _listed(name, field)
            if example is not _NONE and (field in OF.get(name, ()) or not _has_its_own(kind)):
                kind["examples"] = [example]
    for name, schema in schemas.items():
        schema["examples"] = [_document(name, schemas)]


_NONE: Final = object()


def _listed(document: str, field: str) -> Any:
    return OF.get(document, {}).get(field, FIELDS.get(field, _NONE))


def _has_its_own(kind: Json) -> bool:
    """Also where it is, or holds, another document."""
    return any(key in each for each in _parts(kind) for key in ("examples", "$ref", "contentMediaType"))


def _parts(kind: Json) -> Iterator[Json]:
    yield kind
    for each in kind.get("anyOf", ()):
        yield from _parts(each)
    if isinstance(kind.get("items"), dict):
        yield from _parts(kind["items"])


def _document(name: str, schemas: dict[str, Json]) -> Json:
    schema = schemas[name]
    fields = schema.get("properties", {})
    shown = [field for field in fields if field in schema.get("required", ()) or field in SHOWN.get(name, ())]
    return {field: _value(fields[field], schemas) for field in shown or list(fields)[:1]}


def _value(kind: Json, schemas: dict[str, Json]) -> Any:
    if "examples" in kind:
        return kind["examples"][0]
    if "$ref" in kind:
        return _document(kind["$ref"].rpartition("/")[2], schemas)
    if "anyOf" in kind:
        return _value(next(each for each in kind["anyOf"] if each.get("type") != "null"), schemas)
    if kind.get("type") == "array":
        return [_value(kind["items"], schemas)]
    return kind.get("default")
