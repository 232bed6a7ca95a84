"""`cloudchamber setup` and `cloudchamber simulate --softap`, as two people's terminals."""

import re
from pathlib import Path

import httpx

from tests.processes import cloudchamber

DEVICE = "0123456789abcdef01234567"
PASSWORD = "a good password"
LOGIN = ("--username", "kim@example.com", "--password", PASSWORD)


def listening_address(line: str) -> str:
    found = re.search(r"at (127\.0\.0\.1:\d+) \(HTTP and TCP\)", line)
    assert found, line
    return found[1]


def test_from_listening_to_its_owner(tmp_path: Path) -> None:
    with (
        cloudchamber.serve(tmp_path) as cloud,
        cloudchamber.simulate(
            tmp_path, "--id", DEVICE, "--softap", "127.0.0.1:0", "--wifi", "Home=long enough"
        ) as device,
    ):
        made = httpx.post(f"{cloud.url}/v1/users", json={"username": "kim@example.com", "password": PASSWORD})
        assert made.json() == {"ok": True}
        address = listening_address(device.wait_for("listening"))
        device.wait_for("LED blinking blue")
        where = ("--url", cloud.url, "--device", address, *LOGIN)

        unknown = cloudchamber.run("setup", *where, "--ssid", "Elsewhere")
        assert unknown.returncode == 1
        assert "does not see the Wi-Fi 'Elsewhere'. It sees: Home." in unknown.stderr

        # The Wi-Fi and its password are asked for, and asked for again where they do not get it in.
        done = cloudchamber.run("setup", *where, stdin="1\ntoo short\n1\nlong enough\n")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "listens again. Is the password right?" in done.stdout
        assert f"{DEVICE} is online and yours" in done.stdout
        for step in ("LED blinking green", "joined Home", "LED blinking cyan", "LED breathing cyan", "claimed"):
            device.wait_for(step)


def test_a_customers_device_in_an_enterprise_network(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path) as cloud, httpx.Client(base_url=cloud.url) as http:
        http.post("/v1/users", json={"username": "kim@example.com", "password": PASSWORD})
        form = {"grant_type": "password", "username": "kim@example.com", "password": PASSWORD}
        token = http.post("/oauth/token", data=form, auth=("particle", "particle")).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        lamp = {"name": "Lamp", "description": "Lamp", "platform_id": 6}
        product = http.post("/v1/user/products", json={"product": lamp}).json()["product"]["id"]
        http.post(f"/v1/products/{product}/devices", json={"id": DEVICE})
        made = http.post(f"/v1/products/{product}/clients", json={"name": "App", "type": "installed"}).json()["client"]
        client = (made["id"], made["secret"])
        del http.headers["Authorization"]
        customer = {"email": "lee@example.com", "password": PASSWORD}
        assert http.post(f"/v1/products/{product}/customers", data=customer, auth=client).status_code == 201

        options = ("--softap", "127.0.0.1:0", "--product", str(product), "--wifi", "enterprise:Campus=lee@pw-of-lee")
        with cloudchamber.simulate(tmp_path, "--id", DEVICE, *options) as device:
            address = listening_address(device.wait_for("listening"))
            where = ("--url", cloud.url.removeprefix("http://"), "--device", address, "--product", str(product))
            user = cloudchamber.run("setup", *where, *LOGIN)
            assert user.returncode == 1
            assert "log in as one, with one of its clients (--client)" in user.stderr
            lee = ("--client", ":".join(client), "--username", "lee@example.com", "--password", PASSWORD)
            done = cloudchamber.run("setup", *where, *lee, "--ssid", "Campus", stdin="lee\npw-of-lee\n")
            assert done.returncode == 0, done.stdout + done.stderr
            assert f"{DEVICE} is online and yours" in done.stdout
            device.wait_for("claimed")


def test_what_goes_wrong_says_what_to_do(tmp_path: Path) -> None:
    nobody = cloudchamber.run("setup", "--url", "http://127.0.0.1:9", *LOGIN)
    assert nobody.returncode == 1
    assert "does not answer" in nobody.stderr
    assert "--url" in nobody.stderr
    with cloudchamber.serve(tmp_path) as cloud:
        wrong = cloudchamber.run("setup", "--url", cloud.url, *LOGIN)
        assert wrong.returncode == 1
        assert "The cloud refused: User credentials are invalid. Check e-mail and password." in wrong.stderr
        refused = cloudchamber.run("setup", "--url", cloud.url, "--token", "x" * 40)
        assert refused.returncode == 1
        assert "Get another token, or leave --token out to log in." in refused.stderr
    both = cloudchamber.run("simulate", "--softap", "127.0.0.1:0", "--count", "2")
    assert both.returncode == 2
    assert "--softap is for one device" in both.stderr
