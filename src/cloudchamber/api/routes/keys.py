"""Keys of devices and of the server, serial numbers."""

from typing import Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import Bearer, Family, Public, Raw, route

FAMILY: Final = Family(
    "Keys",
    "Keys of devices and of the server, and what is printed on devices.",
    (
        route(
            "POST",
            "/v1/provisioning/{hardware}",
            Bearer(Action.KEYS_UPDATE),
            "keys.provision",
            "Sends the public key of a device of one's own, or of a product's.",
            request="DeviceKey",
            answer="Provisioned",
            limit="search",
        ),
        route(
            "GET",
            "/v1/server_keys/{algorithm}",
            Public("the public half of a key, which every device has"),
            "keys.of_server",
            "Shows the server's public key, which devices hold.",
            query="KeyFormat",
            answer=(Raw("application/x-pem-file"), Raw("application/octet-stream")),
        ),
        route(
            "GET",
            "/v1/serial_numbers/{serial}",
            Bearer(Action.SERIAL_NUMBERS_GET),
            "keys.by_serial_number",
            "Tells the id of the device that has a serial number.",
            query="SerialNumberQuery",
            answer="SerialNumberFound",
            limit="serial_number",
        ),
    ),
)
