"""Keys of devices and of the server, serial numbers."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.fields import FieldInvalid
from cloudchamber.api.reply import Reply
from cloudchamber.errors import Invalid, NotFound
from cloudchamber.fleet.errors import device_unknown
from cloudchamber.fleet.imports.service import Imports
from cloudchamber.fleet.keys import Provisioning
from cloudchamber.fleet.products import Products
from cloudchamber.fleet.service import Devices
from cloudchamber.ids import DeviceId, parse_device_id
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.keys import parse_device_public_key_untrusted
from cloudchamber.wire.transport import Transport

_ALGORITHMS: Final = {"rsa": Transport.TCP, "ecc": Transport.UDP}
# Three times what an RSA-1024 key needs.
_MAX_KEY_LENGTH: Final = 1_000


class ProvisioningInvalid(Invalid):
    code: ClassVar[str] = "provisioning_invalid"


class NoSuchServerKey(NotFound):
    code: ClassVar[str] = "no_such_server_key"


class KeysResource:
    def __init__(
        self,
        provisioning: Provisioning,
        imports: Imports,
        products: Products,
        devices: Devices,
        server_keys: Mapping[Transport, bytes],
    ) -> None:
        """`server_keys`: the public halves, SubjectPublicKeyInfo, DER."""
        self._provisioning = provisioning
        self._imports = imports
        self._products = products
        self._devices = devices
        self._server_keys = server_keys

    async def provision(self, call: Call, requester: Bearer) -> Any:
        reference = call.data.text("product_id")
        product = await self._products.find(reference) if reference else None
        self._provisioning.check(requester, product)
        device = _device(call)
        key = _key(call)
        if product is not None:
            # What is in it already stays as it is: a quarantined device is approved on purpose, not by its key.
            known = await self._devices.get(device)
            if known is None or known.product != product.id:
                await self._imports.import_(requester, product, [device])
        await self._provisioning.provision(requester, device, key, product)
        return "Success!"

    async def of_server(self, call: Call) -> Any:
        transport = _ALGORITHMS.get(call.params["algorithm"])
        if transport is None:
            raise NoSuchServerKey("Server keys are rsa and ecc")
        der = self._server_keys[transport]
        match (call.query.text("format") or "pem").lower():
            case "der":
                return Reply(der, headers=(("content-type", "application/octet-stream"),))
            case "pem":
                pem = load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                return Reply(pem, headers=(("content-type", "application/x-pem-file"),))
            case _:
                raise FieldInvalid("format must be pem or der")

    async def by_serial_number(self, call: Call, requester: Bearer) -> Any:
        record = await self._devices.by_serial_number(
            requester, call.params["serial"], call.query.text("mobile_secret")
        )
        body = {"ok": True, "deviceID": record.id}
        is_shown = record.mobile_secret is None or call.query.text("mobile_secret") is not None
        return body | {"iccid": record.iccid} if record.iccid and is_shown else body


def _device(call: Call) -> DeviceId:
    said = call.data.text("deviceID")
    if not said or not said.strip():
        raise ProvisioningInvalid("No deviceID provided")
    named = call.params["hardware"]
    if named.lower() != said.strip().lower():
        raise ProvisioningInvalid("deviceID is another than the path's")
    device = parse_device_id(named)
    if device is None:
        raise device_unknown()
    return device


def _key(call: Call) -> bytes:
    text = call.data.text("publicKey")
    if not text or not text.strip():
        raise ProvisioningInvalid("No key provided")
    algorithm = call.data.text("algorithm")
    if algorithm and algorithm.lower() not in _ALGORITHMS:
        raise ProvisioningInvalid("Key error: algorithm must be rsa or ecc")
    if len(text) > _MAX_KEY_LENGTH:
        raise ProvisioningInvalid("Key error: it is longer than any device's key")
    try:
        return parse_device_public_key_untrusted(
            text.strip().encode(), _ALGORITHMS[algorithm.lower()] if algorithm else None
        )
    except WireError as error:
        raise ProvisioningInvalid(f"Key error: {error}") from None
