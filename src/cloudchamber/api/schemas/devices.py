"""Devices, as those who own them see them."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct

from cloudchamber.api.schemas.common import Date, DeviceId, File, Maybe, ObjectId


class Device(Struct, kw_only=True):
    """Functions and variables are shown while the device is online."""

    id: DeviceId
    name: str | None
    owner: str | None
    last_app: str | None
    last_ip_address: str | None
    last_heard: Date | None
    last_handshake_at: Date | None
    product_id: int | None
    platform_id: int | None
    connected: bool
    online: bool
    cellular: bool
    notes: str | None
    functions: list[str]
    variables: dict[str, str]
    status: str
    serial_number: str | None
    system_firmware_version: str | None
    current_build_target: str | None
    default_build_target: str | None
    pinned_build_target: str | None
    firmware_updates_enabled: bool
    firmware_updates_forced: bool
    iccid: str | Maybe = UNSET
    last_iccid: str | Maybe = UNSET
    imei: str | Maybe = UNSET
    cc3000_patch_version: str | Maybe = UNSET


class DeviceDetail(Device, kw_only=True):
    mobile_secret: str | None


class Claim(Struct):
    """`request_transfer` asks the present owner for the device. With a `product_id` and no `id` the product gets a
    device with a new id, for hardware that came without one."""

    id: DeviceId | Maybe = UNSET
    request_transfer: bool | Maybe = UNSET
    product_id: int | str | Maybe = UNSET


class Claimed(Struct):
    """`user_id` or `customer_id` is the new owner."""

    id: DeviceId
    product_id: int | None
    updated_at: Date
    connected: bool
    ok: bool
    user_id: ObjectId | Maybe = UNSET
    customer_id: ObjectId | Maybe = UNSET


class TransferRequested(Struct):
    """The device is somebody else's, who was asked for it."""

    id: DeviceId
    ok: bool
    transfer_id: ObjectId
    expires_at: Date


class DeviceChanges(Struct):
    """One thing at a time: a file or a known app to flash, a signal, or fields to change."""

    name: str | Maybe | None = UNSET
    notes: str | Maybe | None = UNSET
    firmware_updates_enabled: bool | Maybe = UNSET
    firmware_updates_forced: bool | Maybe = UNSET
    signal: Annotated[bool, Meta(description="Starts or stops shouting rainbows; also `1` and `0`.")] | Maybe = UNSET
    file: File | Maybe = UNSET
    app: str | Maybe = UNSET
    app_id: str | Maybe = UNSET


class DeviceChanged(Struct):
    """What was changed, as it is now."""

    id: DeviceId
    updated_at: Date
    name: str | Maybe | None = UNSET
    notes: str | Maybe | None = UNSET
    firmware_updates_enabled: bool | Maybe = UNSET
    firmware_updates_forced: bool | Maybe = UNSET


class Signaled(Struct):
    id: DeviceId
    connected: bool
    signaling: bool


class Pinged(Struct):
    online: bool
    ok: bool


class FormatQuery(Struct):
    format: Annotated[str, Meta(description="`raw`: the value alone, as text.")] | Maybe = UNSET


class FunctionCall(Struct):
    """The argument, by whichever name the client has for it."""

    arg: str | Maybe = UNSET
    args: str | Maybe = UNSET
    params: str | Maybe = UNSET
    format: Annotated[str, Meta(description="`raw`: the value alone, as text.")] | Maybe = UNSET


class FunctionReturn(Struct):
    id: DeviceId
    name: str | None
    last_app: str
    connected: bool
    return_value: int


class CoreInfo(Struct):
    name: str | None
    last_app: str
    last_heard: Date | None
    connected: bool
    last_handshake_at: Date | None
    deviceID: DeviceId
    product_id: int | None


class VariableReturn(Struct):
    """`result` has the variable's JSON type."""

    cmd: Literal["VarReturn"]
    name: str
    result: Any
    coreInfo: CoreInfo
