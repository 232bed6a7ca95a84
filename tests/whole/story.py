"""A product creator's story in a few calls: what most tests of a whole cloud start from."""

from dataclasses import dataclass
from typing import Any

import httpx

from cloudchamber.testing import Cloud
from tests.people import token_without_password_grant

PASSWORD = "a good password"


@dataclass(frozen=True)
class Product:
    id: int
    slug: str
    owner_token: str
    token: str
    client: tuple[str, str]


class Story:
    def __init__(self, cloud: Cloud | str) -> None:
        """`cloud` is its URL where it is another process; else it may be one of the strict profile, too."""
        self._strict = cloud.cloud if not isinstance(cloud, str) and cloud.profile == "strict" else None
        self.http = httpx.AsyncClient(base_url=cloud if isinstance(cloud, str) else cloud.url, timeout=40.0)

    @property
    def is_strict(self) -> bool:
        return self._strict is not None

    async def __aenter__(self) -> "Story":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def ok(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        """The body of an answer that has to be a success."""
        answer = await self.ask(method, path, token, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.http.request(method, path, headers={**headers, **options.pop("headers", {})}, **options)

    async def user(self, name: str = "maker@example.com") -> str:
        """A new user's token."""
        if self._strict is not None:
            await self._strict.users.create(name, PASSWORD)
        else:
            await self.ok("POST", "/v1/users", data={"username": name, "password": PASSWORD})
        return await self.log_in(name)

    async def log_in(self, name: str, client: tuple[str, str] = ("particle", "particle")) -> str:
        if self._strict is not None:
            return await token_without_password_grant(self._strict, name, PASSWORD)
        form = {"grant_type": "password", "username": name, "password": PASSWORD}
        return str((await self.ok("POST", "/oauth/token", data=form, auth=client))["access_token"])

    async def product(self, owner_token: str, name: str = "Lamp", platform_id: int = 6) -> Product:
        wanted = {"product": {"name": name, "description": name, "platform_id": platform_id}}
        made = (await self.ok("POST", "/v1/user/products", owner_token, json=wanted))["product"]
        form = {"name": "server", "type": "installed"}
        client = (await self.ok("POST", f"/v1/products/{made['id']}/clients", owner_token, data=form))["client"]
        pair = (client["id"], client["secret"])
        token = await self.ok("POST", "/oauth/token", data={"grant_type": "client_credentials"}, auth=pair)
        return Product(made["id"], made["slug"], owner_token, token["access_token"], pair)

    async def customer(self, product: Product, email: str) -> str:
        """A new shadow customer's token."""
        form = {"email": email, "no_password": "true"}
        made = await self.ok("POST", f"/v1/products/{product.id}/customers", data=form, auth=product.client)
        return str(made["access_token"])

    async def import_devices(self, product: Product, ids: list[str]) -> None:
        done = await self.ok("POST", f"/v1/products/{product.id}/devices", product.token, json={"ids": ids})
        assert done["updated"] == len(ids), done
