"""`cloudchamber keys`: the server's public key for devices, keys for devices, and devices' keys on record."""

import asyncio
import os
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

from cloudchamber.app import open_migrated
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.cli.options import data_option, failed, settings_from
from cloudchamber.clock import SystemClock
from cloudchamber.datafolder import prepare_data_folder
from cloudchamber.errors import CloudError
from cloudchamber.fleet.keys import DeviceKeys
from cloudchamber.fleet.provisional import ProvisionalDevices
from cloudchamber.fleet.service import Devices
from cloudchamber.fleet.store import DeviceStore, KeyStore
from cloudchamber.gateway.hub import Hub
from cloudchamber.gateway.server_keys import load_or_make
from cloudchamber.ids import DeviceId, parse_device_id
from cloudchamber.settings import Settings
from cloudchamber.wire.keys import DEFAULT_PORTS, ServerAddress, build_server_key_file
from cloudchamber.wire.transport import Transport

_PROTOCOL = click.option(
    "--protocol",
    type=click.Choice(["tcp", "udp"]),
    default="tcp",
    show_default=True,
    help="Photon, P1: tcp; others: udp.",
)


@click.group()
def keys() -> None:
    """Keys of the server and of devices."""


@keys.command()
@_PROTOCOL
@click.option("--host", required=True, help="Name or IPv4 address under which devices reach this server.")
@click.option("--port", type=click.IntRange(1, 65_535), help="The device listener's. [default: 5683 tcp, 5684 udp]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@data_option
def server(protocol: str, host: str, port: int | None, out: Path, data: Path | None) -> None:
    """Write the key file that goes onto a device: the server's public key, and its address."""
    settings = settings_from({"data": data})
    transport = Transport(protocol)
    try:
        prepare_data_folder(settings.data)
        pair = load_or_make(settings.data)
        public = (pair.tcp if transport is Transport.TCP else pair.udp).public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        content = build_server_key_file(transport, der, ServerAddress(host, port or DEFAULT_PORTS[transport]))
    except CloudError as error:
        raise failed(error) from error
    except ValueError as error:
        raise click.UsageError(f"--host {host}: {error}") from error
    out.write_bytes(content)
    click.echo(f"{out}: {len(content)} bytes, to be written to the device's {protocol} server key slot.")


@keys.command()
@_PROTOCOL
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the key pair.")
def device(protocol: str, out: Path) -> None:
    """Make a key pair for a device: device.der goes onto it, device.pub.pem on record with `keys register`."""
    out.mkdir(parents=True, exist_ok=True)
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if protocol == "tcp":
        # The only size and exponent that this generation of devices can hold.
        private = rsa.generate_private_key(65_537, 1024)  # noqa: S505
    else:
        private = ec.generate_private_key(ec.SECP256R1())
    der = private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    with os.fdopen(os.open(out / "device.der", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(der)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (out / "device.pub.pem").write_bytes(public)
    click.echo(f"{out / 'device.der'} (private, {len(der)} bytes) and {out / 'device.pub.pem'}")


@keys.command()
@click.argument("device_id")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@data_option
@click.option("--database", help="Database URL, where it is not the data folder's.")
def register(device_id: str, file: Path, data: Path | None, database: str | None) -> None:
    """Put the key in FILE (PEM or DER, public or private) on record as DEVICE_ID's. No other key will do then."""
    parsed = parse_device_id(device_id)
    if parsed is None:
        raise click.UsageError(f"{device_id} is no device id: it has 24 hexadecimal digits")
    public = _public_key(file)
    settings = settings_from({"data": data, "database": database})
    try:
        asyncio.run(_register(settings, parsed, public))
    except CloudError as error:
        raise failed(error) from error
    click.echo(f"{parsed} is known by this key. A cloud that runs disconnects whoever uses another, within seconds.")


def _public_key(file: Path) -> bytes:
    content = file.read_bytes()
    for load in (load_pem_public_key, load_der_public_key):
        try:
            return load(content).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except ValueError:
            continue
    for load_private in (load_pem_private_key, load_der_private_key):
        try:
            private = load_private(content, None)
        except (ValueError, TypeError):
            continue
        return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raise click.UsageError(f"{file} holds no key that can be read: a PEM or DER file is needed")


async def _register(settings: Settings, device_id: DeviceId, public: bytes) -> None:
    prepare_data_folder(settings.data)
    db = await open_migrated(settings)
    try:
        devices = Devices(
            db,
            DeviceStore(),
            KeyStore(),
            ProvisionalDevices(),
            hub := Hub(),
            InProcessBus(),
        )
        keys = DeviceKeys(db, DeviceStore(), KeyStore(), devices, hub, SystemClock())
        await keys.put_on_record(device_id, public, "command-line")
    finally:
        await db.close()
