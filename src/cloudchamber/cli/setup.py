"""`cloudchamber setup`: a new Photon, from listening mode to its owner, in a terminal.

The same walk as a set-up app's: claim code from the cloud, device and Wi-Fi from the person, both to the device, then
asking the cloud until the device is there. Between the second and the third step a real device wants this machine in
its own Wi-Fi, so nothing is asked of the cloud then.
"""

import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import click
import httpx
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from rich.console import Console

from cloudchamber.settings import Address
from cloudchamber.wire.errors import WireError
from cloudchamber.wire.softap import (
    CLAIM_CODE_KEY,
    DEFAULT_TCP_PORT,
    AccessPoint,
    Eap,
    Security,
    encode_request,
    parse_json_untrusted,
    public_key_untrusted,
    result_untrusted,
    scan_untrusted,
)

# The device's own access point, and the port of its plain TCP form.
DEVICE_ADDRESS: Final = f"192.168.0.1:{DEFAULT_TCP_PORT}"
_DEVICE_TIMEOUT_S: Final = 8.0
_SCAN_TIMEOUT_S: Final = 30.0
_JOIN_TIMEOUT_S: Final = 120.0
_START_TIMEOUT_S: Final = 30.0
_ONLINE_TIMEOUT_S: Final = 90.0
# A device that was told to connect closes its access point within this time; one that answers later listens anew.
_LEAVES_S: Final = 2.0
_LISTENS_AGAIN_TIMEOUT_S: Final = 1.0
_MAX_REPLY_BYTES: Final = 64 * 1024


class SetupFailed(click.ClickException):
    """What went wrong, and what to do next."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device in listening mode. Each command is a connection of its own, as on a real one."""

    host: str
    port: int

    def ask(self, command: str, body: Mapping[str, Any] | None = None, timeout_s: float = _DEVICE_TIMEOUT_S) -> bytes:
        """The JSON of the answer. Raises OSError, WireError."""
        with socket.create_connection((self.host, self.port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(encode_request(command, body))
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
                if len(answer) > _MAX_REPLY_BYTES:
                    raise WireError("the answer has no end")
        return answer.strip()

    def identify(self, timeout_s: float = _DEVICE_TIMEOUT_S) -> tuple[str, bool]:
        """The device's id, and whether it says that it belongs to somebody. Raises OSError, WireError."""
        answer = parse_json_untrusted(self.ask("device-id", timeout_s=timeout_s))
        if not isinstance(id_ := answer.get("id"), str):
            raise WireError("the answer has no id")
        return id_.lower(), answer.get("c") == "1"

    @property
    def is_simulated(self) -> bool:
        return self.host != DEVICE_ADDRESS.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Wifi:
    """What the person said of it; the rest is asked for."""

    ssid: str | None
    password: str | None
    identity: str | None


@click.command("setup")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="The cloud's API.")
@click.option("--token", envvar="CLOUDCHAMBER_TOKEN", help="Your access token, instead of a log-in.")
@click.option("--username", help="Whom the device is to belong to.")
@click.option("--client", metavar="ID:SECRET", default="particle:particle", help="OAuth client to log in with.")
@click.option(
    "--product",
    metavar="ID",
    help="The device is for a customer of this product; --client is one of the product's.",
)
@click.option(
    "--device", default=DEVICE_ADDRESS, show_default=True, metavar="HOST:PORT", help="Where the device listens."
)
@click.option("--ssid", help="The Wi-Fi that the device is to join.")
@click.option("--password", envvar="CLOUDCHAMBER_PASSWORD", help="Of the user. It is asked for where it is missing.")
@click.option(
    "--wifi-password", envvar="CLOUDCHAMBER_WIFI_PASSWORD", help="Of the Wi-Fi. It is asked for where it is missing."
)
@click.option("--wifi-identity", help="User name in an enterprise Wi-Fi (PEAP). It is asked for where it is missing.")
def setup(
    url: str,
    token: str | None,
    username: str | None,
    client: str,
    product: str | None,
    device: str,
    ssid: str | None,
    password: str | None,
    wifi_password: str | None,
    wifi_identity: str | None,
) -> None:
    """Set a Photon up, a real one or `cloudchamber simulate --softap`: its Wi-Fi, and whose it is.

    Put it into listening mode first: hold SETUP until the light blinks blue. When asked to, join its own Wi-Fi,
    Photon-XXXX, with this machine.
    """
    try:
        address = Address.parse(device)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--device") from error
    if "://" not in url:
        url = f"http://{url}"
    console = Console(stderr=False, highlight=False, soft_wrap=True)
    listening = Device(address.host, address.port)
    wifi = Wifi(ssid, wifi_password, wifi_identity)
    with httpx.Client(base_url=url, timeout=20) as http:
        cloud = _Cloud(http, token or _log_in(http, username, password, client), product)
        code, owned = cloud.claim_code()
        console.print("[1/4] The cloud gave a claim code.")
        device_id, is_claimed = _find(listening, console)
        console.print(f"[2/4] Found device {device_id}.")
        if is_claimed and device_id not in owned:
            console.print("      It says that it belongs to somebody already: only they can give it away.")
        while True:
            network = _configure(listening, wifi, code)
            console.print("[3/4] It has its Wi-Fi and its claim code, and goes to join.")
            if not listening.is_simulated:
                console.print("      Let this machine go back to its own Wi-Fi.")
            if _await(cloud, console, listening, device_id, was_owned=device_id in owned):
                break
            refused = f"{network} did not let the device in, and it listens again. Is the password right?"
            if wifi.password is not None:
                raise SetupFailed(f"{refused} Start again with another one.")
            console.print(f"      {refused}")
        console.print(f"[4/4] {device_id} is online and yours.")


def _log_in(http: httpx.Client, username: str | None, password: str | None, client: str) -> str:
    username = username or click.prompt("E-mail")
    password = password or _secret("Password")
    name, colon, secret = client.partition(":")
    if not colon:
        raise click.BadParameter("write ID:SECRET", param_hint="--client")
    form = {"grant_type": "password", "username": username, "password": password}
    answer = _sent(http, "POST", "/oauth/token", data=form, auth=(name, secret))
    if answer.status_code == 403 and "mfa_token" in answer.text:
        otp = click.prompt("Code of your authenticator app")
        form = {"grant_type": "urn:custom:mfa-otp", "mfa_token": answer.json()["mfa_token"], "otp": otp}
        answer = _sent(http, "POST", "/oauth/token", data=form, auth=(name, secret))
    return str(_good(answer)["access_token"])


def _secret(what: str) -> str:
    # What is piped in shows nowhere, and there is no terminal to hide it on.
    return str(click.prompt(what, hide_input=sys.stdin.isatty()))


@dataclass(frozen=True, slots=True)
class _Cloud:
    http: httpx.Client
    token: str
    product: str | None

    def claim_code(self) -> tuple[str, list[str]]:
        """A code, and the devices that the person has already."""
        path = f"/v1/products/{self.product}/device_claims" if self.product else "/v1/device_claims"
        answer = _good(_sent(self.http, "POST", path, json={}, headers=self._headers()))
        return str(answer["claim_code"]), list(answer["device_ids"])

    def is_online(self, device_id: str) -> bool:
        """And theirs. Raises httpx.HTTPError."""
        answer = self.http.get(f"/v1/devices/{device_id}", headers=self._headers())
        return answer.status_code == 200 and bool(answer.json().get("online"))

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def _sent(http: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
    try:
        return http.request(method, path, **options)
    except httpx.HTTPError as error:
        raise SetupFailed(
            f"The cloud at {http.base_url} does not answer ({error}). Is it running? Name another with --url."
        ) from error


def _good(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if answer.is_success and isinstance(body, dict):
        return body
    said = body if isinstance(body, dict) else {}
    reason = said.get("error_description") or said.get("error") or f"status {answer.status_code}"
    raise SetupFailed(f"The cloud refused: {reason}.{_remedy(answer)}".replace("..", "."))


def _remedy(answer: httpx.Response) -> str:
    path, text = answer.url.path, answer.text
    if path == "/oauth/token":
        if "invalid_client" in text:
            return " Check --client."
        if "invalid_grant" in text:
            return (
                " Check e-mail and password. Users log in as they are; a product's customers with one of its clients,"
                " --client ID:SECRET."
            )
    if path.endswith("/device_claims"):
        if answer.status_code == 401:
            return " Get another token, or leave --token out to log in."
        if answer.status_code == 403:
            return " A product's devices become its customers': log in as one, with one of its clients (--client)."
        if answer.status_code == 404 and "roduct" in text:
            return " Check --product."
    return " Check --url." if answer.status_code == 404 else ""


def _find(device: Device, console: Console) -> tuple[str, bool]:
    """Waits until the device answers: this machine may have to join its Wi-Fi first."""
    where = f"{device.host}:{device.port}"
    if device.is_simulated:
        remedy = f"Start one: cloudchamber simulate --softap {where}"
        request = f"Waiting for a device in listening mode at {where}. {remedy}"
    else:
        request = "Join the device's own Wi-Fi, Photon-XXXX, with this machine now; waiting for it ..."
        remedy = "Is its light blinking blue, and is this machine in the Wi-Fi Photon-XXXX?"
    deadline = time.monotonic() + (_START_TIMEOUT_S if device.is_simulated else _JOIN_TIMEOUT_S)
    asked = False
    while True:
        try:
            return device.identify()
        except (OSError, WireError) as error:
            if time.monotonic() > deadline:
                raise SetupFailed(f"No device in listening mode answers at {where} ({error}). {remedy}") from error
        if not asked:
            asked = True
            console.print(f"      {request}")
        time.sleep(1)


def _configure(device: Device, wifi: Wifi, code: str) -> str:
    """The network that the device goes to join."""
    try:
        key = load_der_public_key(public_key_untrusted(device.ask("public-key")))
        if not isinstance(key, RSAPublicKey):
            raise WireError("its key is not RSA")
        network = _choose(scan_untrusted(device.ask("scan-ap", timeout_s=_SCAN_TIMEOUT_S)), wifi.ssid)
        configured: dict[str, Any] = {
            "idx": 0,
            "ssid": network.ssid,
            "sec": int(network.security),
            "ch": network.channel,
        }
        if network.security & Security.ENTERPRISE:
            identity = wifi.identity or click.prompt(f"User name in {network.ssid}")
            configured |= {"eap": int(Eap.PEAP), "ii": identity}
        if network.security is not Security.OPEN:
            password = wifi.password or _secret(f"Password of {network.ssid}")
            configured["pwd"] = key.encrypt(password.encode(), PKCS1v15()).hex()
        _done(device, "set", {"k": CLAIM_CODE_KEY, "v": code})
        _done(device, "configure-ap", configured)
        _done(device, "connect-ap", {"idx": 0})
    except OSError as error:
        raise SetupFailed(f"The device went away ({error}). Put it into listening mode and start again.") from error
    except (WireError, ValueError) as error:
        raise SetupFailed(f"The device's answer cannot be read ({error}). Is that a Photon?") from error
    return network.ssid


def _done(device: Device, command: str, body: Mapping[str, Any]) -> None:
    result = result_untrusted(device.ask(command, body))
    if result != 0:
        raise SetupFailed(f"The device refused {command} with code {result}. Start again.")


def _choose(found: list[AccessPoint], ssid: str | None) -> AccessPoint:
    if ssid is not None:
        named = next((network for network in found if network.ssid == ssid), None)
        if named is None:
            seen = ", ".join(network.ssid for network in found) or "nothing"
            raise SetupFailed(f"The device does not see the Wi-Fi {ssid!r}. It sees: {seen}.")
        return named
    if not found:
        raise SetupFailed("The device sees no Wi-Fi. Bring it nearer to the access point and start again.")
    for number, network in enumerate(found, 1):
        lock = "open" if network.security is Security.OPEN else "password"
        click.echo(f"  {number}  {network.ssid}  ({lock}, {network.rssi} dBm)")
    number = click.prompt("Which Wi-Fi", type=click.IntRange(1, len(found)), default=1)
    return found[number - 1]


def _await(cloud: _Cloud, console: Console, device: Device, device_id: str, *, was_owned: bool) -> bool:
    """Is the device online and theirs? False when it listens again, as it does where no Wi-Fi lets it in.

    Raises SetupFailed when neither comes about.
    """
    began = time.monotonic()
    unreached: httpx.HTTPError | None = None
    with console.status("Waiting for the device ...") if sys.stdout.isatty() else console.capture():
        while (waited := time.monotonic() - began) < _ONLINE_TIMEOUT_S:
            try:
                if cloud.is_online(device_id):
                    return True
                unreached = None
            except httpx.HTTPError as error:
                unreached = error  # this machine may still be in the device's Wi-Fi
            if waited > _LEAVES_S and _listens(device, device_id):
                return False
            time.sleep(1)
    if unreached is not None:
        raise SetupFailed(
            f"This machine does not reach the cloud at {cloud.http.base_url} ({unreached}). Is it back in its own"
            " Wi-Fi? The device may be online by now: a light that breathes cyan."
        )
    raise SetupFailed(
        f"{device_id} did not come online within {_ONLINE_TIMEOUT_S:g} s. A light that blinks blue again: the Wi-Fi"
        " password was wrong. Green: it does not reach the Wi-Fi. Cyan: it does not reach this cloud; look at the"
        " server key and address on the device."
        + (
            ""
            if was_owned
            else " Breathing cyan: it is online, and belongs to somebody else, or is not in the product; its team can"
            " import it."
        )
    )


def _listens(device: Device, device_id: str) -> bool:
    try:
        return device.identify(_LISTENS_AGAIN_TIMEOUT_S)[0] == device_id
    except (OSError, WireError):
        return False
