"""Every public method of particle-api-js, unmodified, in Node, against a running cloud: the calls are compiled against
the package's own type declarations, and each answer is held to the type that its method declares."""

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any, Final

from cloudchamber.simulator.firmware import as_module
from cloudchamber.testing import Cloud
from tests.whole.story import PASSWORD, Story

HERE = Path(__file__).parent
NODE = str(Path(sys.executable).parent / "node")
DEVICE = "0123456789abcdef01234567"
RUNS = "0123456789abcdef01234600"
DENIED = "0123456789abcdef012345aa"

ASKS_NOTHING: Final = {
    # They set something in the client, or put a path together.
    *("setContext", "setDefaultAuth", "deviceUri", "client", "setBaseUrl", "Client.ready"),
    # Each hands on to the method of `Particle` with the like name, which is called.
    *("Client.libraries", "Client.library", "Client.libraryVersions", "Client.contributeLibrary"),
    *("Client.publishLibrary", "Client.deleteLibrary", "Client.downloadFile", "Client.compileCode"),
}

LATER: Final = {
    *("createLedger", "getLedger", "updateLedger", "archiveLedger", "listLedgers", "getLedgerInstance"),
    *("setLedgerInstance", "deleteLedgerInstance", "listLedgerInstances", "listLedgerInstanceVersions"),
    "getLedgerInstanceVersion",
    *("executeLogic", "createLogicFunction", "getLogicFunction", "updateLogicFunction", "deleteLogicFunction"),
    *("listLogicFunctions", "listLogicRuns", "getLogicRun", "getLogicRunLogs"),
    *("listEnvVars", "updateEnvVars", "setEnvVar", "deleteEnvVar", "renderEnvVars", "reviewEnvVarsRollout"),
    "startEnvVarsRollout",
    *("listLibraries", "getLibrary", "getLibraryVersions", "contributeLibrary", "publishLibrary", "deleteLibrary"),
    "patch",  # of a library: nothing else takes it
    *("getProductConfiguration", "getProductConfigurationSchema", "getProductDeviceConfiguration"),
    *("getProductDeviceConfigurationSchema", "setProductConfiguration", "setProductDeviceConfiguration"),
    *("getSIMDataUsage", "getFleetDataUsage", "removeSIM"),
    *("unprotectDevice", "downloadManufacturingBackup"),
    "compileCode",
}
"""501: what this server does not do yet (`api/routes/later.py`), and what it has no compiler for."""

NOTHING_THERE: Final = {
    "getDeviceOsVersion": "this server has no list of releases",
    "getProductDeviceLocations": "the device has told no location",
    "lookupSerialNumber": "no device has the number",
    "downloadFirmwareBinary": "it compiles nothing, so there is no binary",
}
"""404, by what the server is."""

_PARTIAL: Final = "recorded: an update answers with the id and what it changed, not with the whole device"
_NO_CONTENT: Final = "recorded: 204 without a body"
_WRAPPED: Final = "recorded: the object is below a key of its own"

NOT_AS_DECLARED: Final = {
    "addDeviceToProduct": ("recorded: counts and lists of ids", {".body.ok: missing"}),
    "checkSIM": ("an answer to HEAD has no body", {".body.iccid: missing", ".body.status: missing"}),
    "claimDevice": ("recorded: `id` and `connected`", {".body.deviceID: missing", ".body.claimed: missing"}),
    "createOAuthClient": (_WRAPPED, {f".body.{key}: missing" for key in ("name", "type", "id")}),
    "updateOAuthClient": (_WRAPPED, {f".body.{key}: missing" for key in ("name", "type", "id")}),
    "editIntegration": (
        _WRAPPED,
        {f".body.{key}: missing" for key in ("id", "event", "created_at", "integration_type", "url", "requestType")},
    ),
    "createWebhook": ("recorded: a webhook has no name", {".body.name: missing"}),
    **{
        method: (
            "recorded: the date is in `uploaded_on`",
            {f".body{'[]' if 'list' in method else ''}.uploaded_at: missing"},
        )
        for method in ("uploadProductFirmware", "listProductFirmware", "getProductFirmware", "updateProductFirmware")
    },
    **{
        method: ("the reference has neither", {".body.memberships: missing", ".body.tos: missing"})
        for method in ("getUserInfo", "setUserInfo")
    },
    "deleteIntegration": (_NO_CONTENT, {".body.ok: missing"}),
    "deleteOAuthClient": (_NO_CONTENT, {".body.ok: missing"}),
    "deleteWebhook": (_NO_CONTENT, {".body.ok: missing"}),
    "removeDevice": (_NO_CONTENT, {".body.ok: missing"}),
    "flashDevice": ("recorded: `id` and `status` for a binary", {".body.ok: missing"}),
    "provisionDevice": (
        "a device without a name has null, and what it is shows when it comes",
        {".body.name: null for string", ".body.platform_id: null for number"},
    ),
    "sendPublicKey": ("recorded: the bare string", {".body: string for OKResponse"}),
    "releaseProductFirmware": ("documented: the version of the firmware", {".body.ok: missing"}),
    "listDevices": (
        "recorded: a device without a name has null, and a product's list tells only how many pages there are",
        {".body[].name: null for string", ".body.meta.page: missing", ".body.meta.per_page: missing"},
    ),
    "listDeviceOsVersions": ("the command line reads `versions`", {".body: object for DeviceOsVersion[]"}),
    "listSIMs": ("the reference has `sims` and `meta`", {".body: object for SimInfo[]"}),
    "listTeamMembers": ("the reference has `team`", {".body: object for TeamMember[]"}),
    **{
        method: (
            _PARTIAL,
            {
                f".body.{key}: missing"
                for key in (
                    *("name", "last_app", "last_heard", "last_handshake_at", "online", "connected", "platform_id"),
                    *("cellular", "product_id"),
                )
                if key not in answered
            },
        )
        for method, answered in {
            "renameDevice": {"name"},
            "setDeviceNotes": set[str](),
            "updateDevice": {"name"},
            "signalDevice": {"connected"},
            "Client.signalDevice": {"connected"},
            "markAsDevelopmentDevice": set[str](),
            "lockDeviceProductFirmware": set[str](),
            "unlockDeviceProductFirmware": set[str](),
        }.items()
    },
}
"""Where a recorded answer, or the reference, says other than the declarations: why, and in what."""


async def node(*arguments: str, timeout_s: float = 120) -> str:
    process = await asyncio.create_subprocess_exec(
        NODE, *arguments, cwd=HERE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(), timeout_s)
    assert process.returncode == 0, out.decode()[:4000] + errors.decode()[:4000]
    return out.decode()


async def test_the_calls_are_as_the_package_declares_them() -> None:
    options = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext")
    await node("node_modules/typescript/bin/tsc", *options, "api_js_every.mts")


async def test_every_method_of_particle_api_js() -> None:
    async with Cloud() as cloud, Story(cloud.url) as story:
        product = await story.product(await story.user())
        await cloud.start_device(DEVICE)
        await cloud.start_device(RUNS, product_id=product.id)
        files = {
            version: as_module("tinker", platform_id=6, product_id=product.id, product_version=version)
            for version in (1, 2)
        }
        given = {
            "url": cloud.url,
            "user": "maker@example.com",
            "password": PASSWORD,
            "product": product.id,
            "client": product.client,
            "device": DEVICE,
            "denied": DENIED,
            "runs": RUNS,
            "firmware": {version: base64.b64encode(data).decode() for version, data in files.items()},
        }
        walked: dict[str, Any] = json.loads(await node("api_js_every.mts", json.dumps(given)))
    calls: list[dict[str, Any]] = walked["calls"]
    called = {call["method"] for call in calls}
    assert len(walked["methods"]) > 130
    assert set(walked["methods"]) - called == ASKS_NOTHING

    refused: dict[int, set[str]] = {}
    for call in calls:
        if call["status"] not in {200, 201, 202, 204}:
            refused.setdefault(call["status"], set()).add(call["method"])
    assert refused.pop(501) == LATER
    missing = refused.pop(404)
    assert missing == set(NOTHING_THERE), missing
    assert not refused, [call for call in calls if call["method"] in set().union(*refused.values())]
    assert [call for call in calls if call["status"] == 501 and not {"error", "errors"} & set(call["error"])] == []

    problems: dict[str, set[str]] = {}
    for call in calls:
        if call["problems"]:
            problems.setdefault(call["method"], set()).update(call["problems"])
    assert problems == {method: wrong for method, (_why, wrong) in NOT_AS_DECLARED.items()}
