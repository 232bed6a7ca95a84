"""Versions of a product's firmware: upload, description, release with a look at who gets it, and how far it is."""

import re
from collections.abc import Sequence
from typing import Any, Final

from cloudchamber.access.model import Action
from cloudchamber.api.routes.model import FIRMWARE_BODY_LIMIT
from cloudchamber.console.frame import Ask, Frame
from cloudchamber.console.section import PRODUCT, Nav, Section, form, page
from cloudchamber.errors import CloudError
from cloudchamber.firmware.model import Firmware
from cloudchamber.firmware.service import Details
from cloudchamber.fleet.lists.model import DeviceFilter

_HERE: Final = f"{PRODUCT}/firmware"
_VERSION: Final = f"{_HERE}/{{version}}"
ROUTES: Final = (
    page(_HERE, Action.FIRMWARE_LIST, "firmware.list", "Shows the versions of a product's firmware."),
    form(
        f"{_HERE}/upload", Action.FIRMWARE_CREATE, "firmware.upload", "Uploads a version.",
        body_limit=FIRMWARE_BODY_LIMIT,
    ),
    page(_VERSION, Action.FIRMWARE_GET, "firmware.show", "Shows a version, who has it and who gets it."),
    form(f"{_VERSION}/edit", Action.FIRMWARE_UPDATE, "firmware.edit", "Describes a version."),
    form(f"{_VERSION}/release", Action.FIRMWARE_RELEASE, "firmware.release", "Releases a version."),
    form(f"{_VERSION}/remove", Action.FIRMWARE_REMOVE, "firmware.remove", "Deletes a version."),
)  # fmt: skip
_WORDS: Final = re.compile(r"[\s,]+")


class FirmwarePages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services
        self._firmware = frame.services.firmware

    async def list(self, ask: Ask) -> Any:
        return await self._list(ask)

    async def upload(self, ask: Ask) -> Any:
        files = [(file.filename, file.content) for file in ask.call.files if file.content]
        version = ask.form.get("version", "").strip()
        details = Details(ask.form.get("title", ""), ask.form.get("description", ""))
        try:
            made = await self._firmware.upload(
                ask.requester, ask.the_product, _number(version), files[0] if files else None, details
            )
        except CloudError as error:
            return await self._list(ask, error)
        done = f"Version {made.version} is there. Flash it to a device of yours first, then release it."
        return self._frame.redirect(ask, self._url(ask, made), done)

    async def show(self, ask: Ask) -> Any:
        return await self._page(ask, await self._one(ask, Action.FIRMWARE_GET))

    async def edit(self, ask: Ask) -> Any:
        details = Details(ask.form.get("title", ""), ask.form.get("description", ""))
        try:
            made = await self._firmware.update(ask.requester, ask.the_product, _number(ask.params["version"]), details)
        except CloudError as error:
            return await self._page(ask, await self._one(ask, Action.FIRMWARE_GET), error)
        return self._frame.redirect(ask, self._url(ask, made), "Saved.")

    async def release(self, ask: Ask) -> Any:
        to_all, groups = ask.form.get("to") == "all", _words(ask.form.get("groups", ""))
        try:
            made = await self._firmware.release(
                ask.requester, ask.the_product, _number(ask.params["version"]),
                to_all=to_all, groups=() if to_all else groups, is_intelligent=ask.form.get("now") == "1",
            )  # fmt: skip
        except CloudError as error:
            return await self._page(ask, await self._one(ask, Action.FIRMWARE_GET), error)
        whom = "all devices" if to_all else ", ".join(groups)
        return self._frame.redirect(ask, self._url(ask, made), f"Version {made.version} is released to {whom}.")

    async def remove(self, ask: Ask) -> Any:
        try:
            await self._firmware.delete(ask.requester, ask.the_product, _number(ask.params["version"]))
        except CloudError as error:
            return await self._page(ask, await self._one(ask, Action.FIRMWARE_GET), error)
        done = f"Version {ask.params['version']} is deleted."
        return self._frame.redirect(ask, f"{ask.base}/firmware", done)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _one(self, ask: Ask, action: Action) -> Firmware:
        return await self._firmware.get(ask.requester, ask.the_product, _number(ask.params["version"]), action)

    def _url(self, ask: Ask, firmware: Firmware) -> str:
        return f"{ask.base}/firmware/{firmware.version}"

    async def _list(self, ask: Ask, error: CloudError | None = None) -> Any:
        versions = await self._firmware.of_product(ask.requester, ask.the_product)
        return await self._frame.page(
            ask,
            "firmware.html",
            title="Firmware",
            section="firmware",
            error=error,
            versions=list(reversed(versions)),
            next_version=max((each.version for each in versions), default=0) + 1,
        )

    async def _page(self, ask: Ask, firmware: Firmware, error: CloudError | None = None) -> Any:
        groups, everybody = await self._groups(ask), 0
        if ask.may(Action.DEVICES_LIST):
            _, everybody = await self._services.device_lists.of_product(
                ask.requester, ask.the_product, DeviceFilter(is_quarantined=False), per_page=1
            )
        reached = everybody if firmware.is_product_default else None
        if reached is None and firmware.groups and ask.may(Action.DEVICES_LIST):
            _, reached = await self._services.device_lists.of_product(
                ask.requester, ask.the_product, DeviceFilter(groups=firmware.groups, is_quarantined=False), per_page=1
            )
        return await self._frame.page(
            ask,
            "firmware_version.html",
            title=f"Version {firmware.version}",
            section="firmware",
            back=(f"{ask.base}/firmware", "Firmware"),
            error=error,
            firmware=firmware,
            url=self._url(ask, firmware),
            groups=groups,
            everybody=everybody,
            reached=reached,
            percent=round(100 * min(firmware.device_count, reached) / reached) if reached else 0,
            is_released=firmware.is_product_default or bool(firmware.groups),
            may_be_released=firmware.has_run or bool(firmware.device_count),
            waiting=self._services.firmware_updates.waiting,
            running=self._services.firmware_updates.running,
        )

    async def _groups(self, ask: Ask) -> Sequence[Any]:
        if not ask.may(Action.GROUPS_LIST):
            return ()
        return await self._services.groups.of_product(ask.requester, ask.the_product)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in _WORDS.split(text.strip()) if word)


SECTION: Final = Section(
    "firmware", "Firmware", Nav("product", "firmware", Action.FIRMWARE_LIST), ROUTES, FirmwarePages
)
