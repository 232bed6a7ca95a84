"""Products: making them and finding them by id or slug."""

import secrets
from collections import OrderedDict
from itertools import islice
from typing import Any, Final

from cloudchamber.access.model import Account, Action, ProductResource, Role
from cloudchamber.access.requester import ProductClient, Requester, User
from cloudchamber.access.service import require
from cloudchamber.clock import Clock
from cloudchamber.fleet.errors import ProductInvalid, product_not_found
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.rules import product_id_in, slugs
from cloudchamber.fleet.store import ProductStore
from cloudchamber.identity.service import Users
from cloudchamber.ids import MAX_PRODUCT_ID, ProductId, UserId
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import Duplicate

# Below are the numbers of platforms, which devices outside of any product show as their product id.
_FIRST_PRODUCT_ID: Final = 1_000
_MAX_NAME_LENGTH: Final = 100
_MAX_DESCRIPTION_LENGTH: Final = 2_000
_ATTEMPTS: Final = 50
_MAX_CACHED: Final = 10_000
_DEFAULT_SETTINGS: Final = {"location": {}, "known_application": {"opt_in": False}, "quarantine": True}


class Products:
    def __init__(self, db: Database, store: ProductStore, users: Users, clock: Clock) -> None:
        self._db = db
        self._store = store
        self._users = users
        self._clock = clock
        self._cache: OrderedDict[str, Product] = OrderedDict()

    async def find(self, reference: str) -> Product:
        """A product by id or slug; who may see it is the caller's question. Raises ProductNotFound."""
        cached = self._cache.get(reference)
        if cached is not None:
            return cached
        number = product_id_in(reference)
        # No slug is a number (rules.slugs): what a number finds never depends on how somebody named a product.
        found = await (
            self._store.by_slug(self._db, reference) if number is None else self._store.by_id(self._db, number)
        )
        if found is None:
            raise product_not_found()
        self._cache[reference] = found
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        return found

    async def by_id(self, product: ProductId) -> Product:
        """Raises ProductNotFound."""
        return await self.find(str(product))

    async def get(self, requester: Requester, reference: str, action: Action = Action.PRODUCTS_GET) -> Product:
        """Raises ProductNotFound, AccessRefused."""
        product = await self.find(reference)
        require(requester, action, product.resource(requester))
        return product

    async def is_member(self, requester: Requester, product: ProductId | None) -> bool:
        """Is the user who asks in the product's team?"""
        if product is None or not isinstance(requester, User):
            return False
        return requester.id in (await self.by_id(product)).team

    async def of_requester(self, requester: Requester) -> list[Product]:
        """A user's products, their own and those whose team they are in; for a product's client, its product.

        Raises AccessRefused.
        """
        if isinstance(requester, ProductClient):
            product = await self.by_id(requester.product)
            require(requester, Action.PRODUCTS_GET, product.resource(requester))
            return [product]
        require(requester, Action.PRODUCTS_LIST, Account())
        assert isinstance(requester, User)
        return await self._store.of_user(self._db, requester.id)

    async def create(
        self,
        requester: Requester,
        *,
        name: str,
        description: str,
        platform_id: int,
        type_: str | None = None,
        hardware_version: str | None = None,
        settings: dict[str, Any] | None = None,
    ) -> Product:
        """A product that belongs to the user who asks. Raises AccessRefused, ProductInvalid."""
        require(requester, Action.PRODUCTS_CREATE, Account())
        assert isinstance(requester, User)
        _check(name, description, platform_id)
        owner = await self._users.get(requester.id)
        assert owner is not None, "a token outlived its user"
        now = self._clock.now()
        for slug in islice(slugs(name, hardware_version), _ATTEMPTS):
            product = Product(
                id=ProductId(_FIRST_PRODUCT_ID + secrets.randbelow(MAX_PRODUCT_ID + 1 - _FIRST_PRODUCT_ID)),
                name=name,
                slug=slug,
                description=description,
                platform_id=platform_id,
                type=type_,
                hardware_version=hardware_version,
                owner=UserId(owner.id),
                owner_name=owner.username,
                settings={**_DEFAULT_SETTINGS, **(settings or {})},
                team={owner.id: Role.OWNER},
                created_at=now,
                updated_at=now,
            )
            if await self._insert(product):
                return product
        raise ProductInvalid("Too many products have this name: choose another")

    async def _insert(self, product: Product) -> bool:
        """False when its slug or its number is taken."""

        async def insert(tx: Transaction) -> None:
            await self._store.insert(tx, product)

        try:
            await self._db.transaction(insert)
        except Duplicate:
            return False
        return True

    async def resource(self, requester: Requester, reference: str) -> ProductResource:
        """Raises ProductNotFound."""
        return (await self.find(reference)).resource(requester)


def _check(name: str, description: str, platform_id: int) -> None:
    if not name.strip():
        raise ProductInvalid("Missing fields: name")
    if len(name) > _MAX_NAME_LENGTH or len(description) > _MAX_DESCRIPTION_LENGTH:
        raise ProductInvalid(
            f"A name has at most {_MAX_NAME_LENGTH} characters, a description {_MAX_DESCRIPTION_LENGTH}"
        )
    if not 0 <= platform_id <= MAX_PRODUCT_ID:
        raise ProductInvalid("platform_id must be a number from 0 to 65535")
