"""What the vendor has and this server has not yet: each answers 501 and says what it would do, so that a client can
tell it from a mistake of its own. Whoever builds one takes its row away from here."""

from collections.abc import Iterator
from typing import Final

from cloudchamber.api.routes.model import AnyToken, Family, Route, route
from cloudchamber.api.routes.paths import DEVICE, ORGANIZATION, PRODUCT, PRODUCT_DEVICE

_ROOTS: Final = ("/v1", ORGANIZATION)
_ENVIRONMENTS: Final = ("/v1/env", f"{ORGANIZATION}/env", f"{PRODUCT}/env")


def _below(roots: tuple[str, ...], path: str) -> tuple[str, ...]:
    return tuple(f"{root}{path}" for root in roots)


def _later(path: str | tuple[str, ...], **methods: str) -> Iterator[Route]:
    """`GET="Lists ..."`, a sentence for each method."""
    for method, summary in methods.items():
        request = "Nothing" if method in {"POST", "PUT", "PATCH"} else None
        yield route(method, path, AnyToken(), "later.answer", summary, request=request, answer={501: "Failure"})


FAMILY: Final = Family(
    "Not yet",
    "What this server does not do yet. Each answers 501, and says what it would do.",
    (
        # Ledgers
        *_later(_below(_ROOTS, "/ledgers"), GET="Lists ledgers.", POST="Makes a ledger."),
        *_later(
            _below(_ROOTS, "/ledgers/{ledger}"),
            GET="Shows a ledger.",
            PUT="Changes a ledger.",
            DELETE="Archives a ledger.",
        ),
        *_later(_below(_ROOTS, "/ledgers/{ledger}/instances"), GET="Lists a ledger's instances."),
        *_later(
            _below(_ROOTS, "/ledgers/{ledger}/instances/{scope}"),
            GET="Shows an instance of a ledger.",
            PUT="Writes an instance of a ledger.",
            DELETE="Deletes an instance of a ledger.",
        ),
        *_later(
            _below(_ROOTS, "/ledgers/{ledger}/instances/{scope}/versions"), GET="Lists the versions of an instance."
        ),
        *_later(
            _below(_ROOTS, "/ledgers/{ledger}/instances/{scope}/versions/{version}"),
            GET="Shows one version of an instance.",
        ),
        # Logic
        *_later(_below(_ROOTS, "/logic/execute"), POST="Runs a logic function once."),
        *_later(_below(_ROOTS, "/logic/functions"), GET="Lists logic functions.", POST="Makes a logic function."),
        *_later(
            _below(_ROOTS, "/logic/functions/{function}"),
            GET="Shows a logic function.",
            PUT="Changes a logic function.",
            DELETE="Deletes a logic function.",
        ),
        *_later(_below(_ROOTS, "/logic/functions/{function}/runs"), GET="Lists a logic function's runs."),
        *_later(_below(_ROOTS, "/logic/functions/{function}/runs/{run}"), GET="Shows a run of a logic function."),
        *_later(
            _below(_ROOTS, "/logic/functions/{function}/runs/{run}/logs"),
            GET="Shows what a run of a logic function logged.",
        ),
        # Secrets
        *_later(_below(_ROOTS, "/secrets"), GET="Lists the names of secrets.", POST="Makes a secret."),
        *_later(
            _below(_ROOTS, "/secrets/{secret}"),
            GET="Shows a secret's name.",
            PUT="Changes a secret.",
            DELETE="Deletes a secret.",
        ),
        # Environment variables
        *_later(_ENVIRONMENTS, GET="Shows environment variables.", PATCH="Changes environment variables."),
        *_later(_below(_ENVIRONMENTS, "/render"), GET="Shows the environment variables as devices would get them."),
        *_later(
            _below(_ENVIRONMENTS, "/rollout"),
            GET="Shows what a rollout of environment variables would change.",
            POST="Rolls environment variables out.",
        ),
        *_later(
            _below(_ENVIRONMENTS, "/{variable}"),
            GET="Shows a device's environment variables.",
            PATCH="Changes a device's environment variables.",
            PUT="Sets an environment variable.",
            DELETE="Deletes an environment variable.",
        ),
        *_later(
            _below(_ENVIRONMENTS, "/{variable}/render"),
            GET="Shows the environment variables as the device would get them.",
        ),
        *_later(
            _below(_ENVIRONMENTS, "/{variable}/rollout"),
            GET="Shows what a rollout to the device would change.",
            POST="Rolls environment variables out to a device.",
        ),
        *_later(
            _below(_ENVIRONMENTS, "/{variable}/{key}"),
            PUT="Sets an environment variable of a device.",
            DELETE="Deletes an environment variable of a device.",
        ),
        # Libraries
        *_later("/v1/libraries", GET="Lists libraries.", POST="Uploads a library."),
        *_later(
            "/v1/libraries/{library}",
            GET="Shows a library.",
            POST="Uploads a version of a library.",
            PATCH="Publishes a library.",
            DELETE="Deletes a library.",
        ),
        *_later("/v1/libraries/{library}/versions", GET="Lists a library's versions."),
        # Configuration, documents, registration codes
        *_later(
            f"{PRODUCT}/config",
            GET="Shows a product's configuration or its schema.",
            PUT="Sets a product's configuration or its schema.",
            DELETE="Deletes a product's configuration schema.",
        ),
        *_later(
            f"{PRODUCT}/config/{{device}}",
            GET="Shows a device's configuration or its schema.",
            PUT="Sets a device's configuration or its schema.",
            DELETE="Deletes a device's configuration schema.",
        ),
        *_later(
            f"{PRODUCT_DEVICE}/docs/{{document}}",
            GET="Shows a device's document.",
            PATCH="Changes a device's document.",
        ),
        *_later(f"{PRODUCT}/registration_code", POST="Makes a code with which a device registers itself."),
        # Search
        *_later(("/v1/user/search", f"{ORGANIZATION}/search"), GET="Searches devices, products and people."),
        # What releases would do
        *_later(
            (f"{PRODUCT}/impact", f"{PRODUCT}/groups/impact"),
            GET="Tells how many devices an action on groups would update.",
        ),
        # Diagnostics
        *_later(
            ("/v1/diagnostics/{device}/metadata", f"{PRODUCT}/diagnostics/{{device}}/metadata"),
            GET="Explains the fields of a device's vitals.",
        ),
        *_later(
            ("/v1/diagnostics/{device}/summary", f"{PRODUCT}/diagnostics/{{device}}/summary"),
            GET="Sums up a device's last vitals.",
        ),
        # Devices: protection, backups, eSIM profiles
        *_later(
            (f"{DEVICE}/unprotect", f"{PRODUCT_DEVICE}/unprotect", f"{ORGANIZATION}/devices/{{device}}/unprotect"),
            PUT="Takes a device's protection away for a while.",
        ),
        *_later(f"{DEVICE}/backup_files", PUT="Stores a backup of a device's files."),
        *_later(f"{PRODUCT_DEVICE}/target_profile", PUT="Chooses the profile of a device's eSIM."),
        # SIM cards
        *_later(f"{PRODUCT}/sims", POST="Imports SIM cards."),
        *_later(
            ("/v1/sims/{iccid}", f"{PRODUCT}/sims/{{iccid}}"),
            GET="Shows a SIM card.",
            PUT="Activates or deactivates a SIM card.",
            DELETE="Releases a SIM card.",
        ),
        *_later(
            ("/v1/sims/{iccid}/data_usage", f"{PRODUCT}/sims/{{iccid}}/data_usage"),
            GET="Tells how much data a SIM card used.",
        ),
        *_later(f"{PRODUCT}/sims/data_usage", GET="Tells how much data a product's SIM cards used."),
        *_later(
            ("/v1/sims/{iccid}/status", f"{PRODUCT}/sims/{{iccid}}/status"),
            GET="Tells whether a SIM card has a connection.",
        ),
        # Mesh networks
        *_later("/v1/networks", GET="Lists mesh networks.", POST="Makes a mesh network."),
        *_later(
            "/v1/networks/{network}",
            GET="Shows a mesh network.",
            PUT="Adds a device to a mesh network, or takes one away.",
            DELETE="Deletes a mesh network.",
        ),
        *_later("/v1/networks/{network}/devices", GET="Lists the devices of a mesh network."),
        *_later(f"{DEVICE}/network", DELETE="Takes a device out of its mesh network."),
        # Provisioning of people by an identity provider
        *_later(
            f"{ORGANIZATION}/team/provision",
            GET="Lists the people whom an identity provider put into the organization.",
            POST="Puts a person into the organization.",
        ),
        *_later(
            f"{ORGANIZATION}/team/provision/{{rest:path}}",
            GET="Shows what an identity provider put into the organization.",
            PUT="Changes what an identity provider put into the organization.",
            PATCH="Changes what an identity provider put into the organization.",
            DELETE="Takes a person out of the organization.",
        ),
        # Contracts and payment
        *_later(("/v1/user/service_agreements", f"{ORGANIZATION}/service_agreements"), GET="Lists service agreements."),
        *_later(
            (
                "/v1/user/service_agreements/{agreement}",
                f"{ORGANIZATION}/service_agreements/{{agreement}}",
            ),
            GET="Shows a service agreement.",
        ),
        *_later(
            (
                "/v1/user/service_agreements/{agreement}/notifications",
                f"{ORGANIZATION}/service_agreements/{{agreement}}/notifications",
            ),
            GET="Lists notices about a service agreement.",
        ),
        *_later(
            ("/v1/user/usage_reports", f"{ORGANIZATION}/usage_reports"),
            GET="Lists reports of use.",
            POST="Asks for a report of use.",
        ),
        *_later(
            ("/v1/user/usage_reports/{report}", f"{ORGANIZATION}/usage_reports/{{report}}"),
            GET="Shows a report of use.",
        ),
        *_later("/v1/card", GET="Shows a payment card.", POST="Stores a payment card.", PUT="Changes a payment card."),
        *_later("/v1/pricing-impact", GET="Tells what a device would cost."),
    ),
)
