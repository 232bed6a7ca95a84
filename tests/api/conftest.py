"""A whole cloud on free ports for each module, and clients that speak to it over real sockets."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cloudchamber.app import Cloud
from cloudchamber.settings import Address, Settings
from tests.loops import Uvloop
from tests.people import token_without_password_grant


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as in production; what concerns the server itself runs on asyncio's own loop, too."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": Uvloop}
    return loops | {"asyncio": asyncio.new_event_loop} if item.path.name == "test_server.py" else loops


ANY_PORT = Address("127.0.0.1", 0)


def settings_in(folder: Path, migrated_file: Path, **changes: Any) -> Settings:
    """Settings of a cloud on a fresh database."""
    shutil.copy(migrated_file, folder / "cloudchamber.db")
    return Settings(
        **{"data": folder, "http": ANY_PORT, "tcp": ANY_PORT, "udp": ANY_PORT, "metrics": ANY_PORT, **changes}
    )


class Api(httpx.AsyncClient):
    """A client of one cloud, and the cloud's other side: what only its operator does."""

    def __init__(self, cloud: Cloud, profile: str = "vendor") -> None:
        super().__init__(base_url=f"http://{cloud.listening.http}", timeout=20)
        self.cloud = cloud
        self.profile = profile

    @property
    def is_strict(self) -> bool:
        return self.profile == "strict"


@dataclass(frozen=True, slots=True)
class Maker:
    """Somebody with an account, a product and its two-legged client, and the requests that tests repeat."""

    http: httpx.AsyncClient
    username: str
    password: str
    token: str
    product: int
    slug: str
    client: tuple[str, str]
    product_token: str

    async def customer(self, name: str) -> str:
        """A shadow customer's token."""
        answer = await self.http.post(
            f"/v1/products/{self.product}/customers",
            data={"email": name, "no_password": "true"},
            auth=httpx.BasicAuth(*self.client),
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["access_token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def log_in(http: httpx.AsyncClient, username: str, password: str, **more: str) -> str:
    """A person's token. The strict profile has no password grant: there it comes from the services, by a client of the
    person's own."""
    if isinstance(http, Api) and http.is_strict:
        lifetime_s = int(more.get("expires_in", "3600"))
        return await token_without_password_grant(http.cloud, username, password, lifetime_s)
    answer = await http.post(
        "/oauth/token",
        data={"grant_type": "password", "username": username, "password": password, **more},
        auth=("particle", "particle"),
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def make_maker(http: httpx.AsyncClient, username: str) -> Maker:
    password = "correct horse"
    if isinstance(http, Api) and http.is_strict:
        await http.cloud.users.create(username, password)
    else:
        made = await http.post("/v1/users", json={"username": username, "password": password})
        assert made.json() == {"ok": True}
    token = await log_in(http, username, password)
    product = {"name": f"Product of {username}", "platform_id": 6}
    made = (await http.post("/v1/user/products", json={"product": product}, headers=bearer(token))).json()["product"]
    path = f"/v1/products/{made['id']}/clients"
    client = (await http.post(path, data={"name": "two", "type": "installed"}, headers=bearer(token))).json()["client"]
    credentials = (client["id"], client["secret"])
    issued = await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=credentials)
    return Maker(http, username, password, token, made["id"], made["slug"], credentials, issued.json()["access_token"])


@pytest.fixture
def migrated_cloud(tmp_path: Path, migrated_file: Path) -> Callable[..., Cloud]:
    """Makes a cloud with other settings, to be entered by the test."""
    return lambda **changes: Cloud(settings_in(tmp_path, migrated_file, **changes))


@pytest.fixture(scope="module", params=["vendor", "strict"])
def profile(request: pytest.FixtureRequest) -> str:
    """Everything that takes `http` runs in both: what only the vendor's ways allow asserts its refusal in the other."""
    return str(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path, profile: str) -> AsyncIterator[Cloud]:
    async with Cloud(settings_in(tmp_path_factory.mktemp("cloud"), migrated_file, profile=profile)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict_cloud(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> AsyncIterator[Cloud]:
    """Beside the other one, for tests that speak to both; it writes the access log."""
    folder = tmp_path_factory.mktemp("strict")
    async with Cloud(settings_in(folder, migrated_file, profile="strict", access_log=True)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(cloud: Cloud, profile: str) -> AsyncIterator[Api]:
    async with Api(cloud, profile) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict_http(strict_cloud: Cloud) -> AsyncIterator[Api]:
    async with Api(strict_cloud, "strict") as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def maker(http: httpx.AsyncClient) -> Maker:
    return await make_maker(http, "maker@example.com")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stranger(http: httpx.AsyncClient) -> Maker:
    """Another maker, who must not reach anything of the first one's."""
    return await make_maker(http, "stranger@example.com")
