"""Products: making them, finding them by id or slug, changing and removing them.

A product is kept in memory with its team, and dropped on every change of either (organizations/service.py says more).
"""

import contextlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from cloudchamber.access.model import Account, Action, ProductResource
from cloudchamber.access.requester import ApiUser, OrganizationClient, ProductClient, Requester, User
from cloudchamber.access.service import require
from cloudchamber.bus.inprocess import InProcessBus
from cloudchamber.clock import Clock, Millis
from cloudchamber.fleet.errors import ProductInvalid, ProductNotEmpty, ProductNotFound, product_not_found
from cloudchamber.fleet.model import Product
from cloudchamber.fleet.rules import product_id_in, slugs
from cloudchamber.fleet.store import ProductStore
from cloudchamber.identity.ports import USER_RENAMED
from cloudchamber.identity.service import USER_CREATED
from cloudchamber.ids import MAX_PRODUCT_ID, OrganizationId, ProductId, SecretHash, UserId
from cloudchamber.oauth.tokens import Tokens
from cloudchamber.organizations.model import TEAM_CHANGED, Organization, TeamChanged
from cloudchamber.organizations.service import Organizations, kept_until
from cloudchamber.storage.database import Database, Transaction
from cloudchamber.storage.errors import BrokenReference, Duplicate

PRODUCT_CREATED: Final = "product.created"
"""Bus subject; the message is the Product."""

PRODUCT_CHANGED: Final = "product.changed"
"""Bus subject; the message is the Product as it is now."""

PRODUCT_REMOVED: Final = "product.removed"
"""Bus subject; the message is the Product as it was."""

# Below are the numbers of platforms, which devices outside of any product show as their product id.
_FIRST_PRODUCT_ID: Final = 1_000
_MAX_NAME_LENGTH: Final = 100
_MAX_DESCRIPTION_LENGTH: Final = 2_000
_ATTEMPTS: Final = 50
_MAX_CACHED: Final = 10_000
_DEFAULT_SETTINGS: Final = {"location": {}, "known_application": {"opt_in": False}, "quarantine": True}


@dataclass(frozen=True, slots=True)
class ProductChanges:
    """What a request wants changed; None leaves a field as it is, and so does each setting that is not there."""

    name: str | None = None
    description: str | None = None
    type: str | None = None
    hardware_version: str | None = None
    settings: dict[str, Any] | None = None


class Products:
    def __init__(
        self,
        db: Database,
        store: ProductStore,
        organizations: Organizations,
        tokens: Tokens,
        bus: InProcessBus,
        clock: Clock,
    ) -> None:
        self._db = db
        self._store = store
        self._organizations = organizations
        self._tokens = tokens
        self._bus = bus
        self._clock = clock
        self._cache: OrderedDict[str, tuple[Product, Millis | None]] = OrderedDict()
        self._changes = 0
        self._organization_of: dict[ProductId, OrganizationId] = {}
        bus.subscribe(PRODUCT_CREATED, self._created)
        bus.subscribe(TEAM_CHANGED, self._team_changed)
        bus.subscribe(USER_CREATED, self._joined)
        bus.subscribe(USER_RENAMED, self._renamed)
        bus.subscribe(PRODUCT_CHANGED, self._changed)
        bus.subscribe(PRODUCT_REMOVED, self._removed)

    async def start(self) -> None:
        """Reads which organization each product is in; `organization_now` knows it from then on."""
        self._organization_of.update(await self._store.organizations(self._db))

    # -- finding ------------------------------------------------------------------------------------------------------

    async def find(self, reference: str) -> Product:
        """A product by id or slug; who may see it is the caller's question. Raises ProductNotFound."""
        kept = self.find_now(reference)
        if kept is not None:
            return kept
        changes = self._changes
        number = product_id_in(reference)
        # No slug is a number (rules.slugs): what a number finds never depends on how somebody named a product.
        found = await (
            self._store.by_slug(self._db, reference) if number is None else self._store.by_id(self._db, number)
        )
        if found is None:
            raise product_not_found()
        # A change while we read would have dropped nothing: then this answer is for this request alone.
        if changes == self._changes:
            self._cache[reference] = (
                found,
                kept_until(self._clock.now(), has_open_invitations=found.has_open_invitations),
            )
            if len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return found

    def find_now(self, reference: str) -> Product | None:
        """As `find`, from memory; None where only the database can tell."""
        kept = self._cache.get(reference)
        return kept[0] if kept is not None and (kept[1] is None or self._clock.now() < kept[1]) else None

    async def by_id(self, product: ProductId) -> Product:
        """Raises ProductNotFound."""
        return await self.find(str(product))

    async def below(self, organization: str, reference: str) -> Product:
        """A product by an older path, on which its organization stands before it.

        Raises OrganizationNotFound, ProductNotFound.
        """
        above = await self._organizations.find(organization)
        found = await self.find(reference)
        if found.organization != above.id:
            raise product_not_found()
        return found

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

    def organization_now(self, product: ProductId) -> OrganizationId | None:
        """Without waiting, for every event that passes: there are at most 65,535 products, and all are in memory."""
        return self._organization_of.get(product)

    async def organization_of(self, product: ProductId | None) -> OrganizationId | None:
        return (await self.by_id(product)).organization if product is not None else None

    async def of_requester(self, requester: Requester) -> list[Product]:
        """A user's products: their own, and those whose team they are in. For a client or an API user, what it belongs
        to: its product, or its organization's products.

        Raises AccessRefused.
        """
        match requester:
            case ProductClient(product=own) | ApiUser(product=own) if own is not None:
                product = await self.by_id(own)
                require(requester, Action.PRODUCTS_LIST, product.resource(requester))
                return [product]
            case OrganizationClient(organization=organization) | ApiUser(organization=organization) if organization:
                return await self.of_organization(requester, await self._organizations.by_id(organization))
        require(requester, Action.PRODUCTS_LIST, Account())
        assert isinstance(requester, User)
        return await self._all(await self._store.of_user(self._db, requester.id))

    async def of_organization(self, requester: Requester, organization: Organization) -> list[Product]:
        """Raises AccessRefused."""
        require(requester, Action.PRODUCTS_LIST, organization.resource(requester))
        return await self._all(await self._store.of_organization(self._db, organization.id))

    async def ids_in(self, organization: OrganizationId) -> list[ProductId]:
        """Whoever asks; rights are the caller's question."""
        return await self._store.of_organization(self._db, organization)

    async def _all(self, ids: Iterable[ProductId]) -> list[Product]:
        found = []
        for product in ids:
            with contextlib.suppress(ProductNotFound):  # removed since it was listed
                found.append(await self.by_id(product))
        return found

    async def resource(self, requester: Requester, reference: str) -> ProductResource:
        """Raises ProductNotFound."""
        return (await self.find(reference)).resource(requester)

    # -- changing -----------------------------------------------------------------------------------------------------

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
        organization: Organization | None = None,
    ) -> Product:
        """A product of `organization`; without one, in the personal one of the user who asks.

        Raises AccessRefused, ProductInvalid.
        """
        if organization is None:
            require(requester, Action.PRODUCTS_CREATE, Account())
        else:
            require(requester, Action.PRODUCTS_CREATE, organization.resource(requester))
        _check(name, description, platform_id)
        _check_branding((settings or {}).get("branding"))
        if organization is None:
            assert isinstance(requester, User)
            organization = await self._organizations.personal(requester.id)
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
                organization=organization.id,
                organization_slug=organization.slug,
                is_personal=organization.is_personal,
                owner=organization.owner,
                owner_name=organization.owner_name,
                settings={**_DEFAULT_SETTINGS, **(settings or {})},
                team=organization.team,
                has_open_invitations=organization.has_open_invitations,
                created_at=now,
                updated_at=now,
            )
            if await self._insert(product):
                self._bus.publish(PRODUCT_CREATED, product)
                return product
        raise ProductInvalid("Too many products have this name: choose another")

    async def update(self, requester: Requester, reference: str, changes: ProductChanges) -> Product:
        """Its slug, platform and owner stay. Raises ProductNotFound, AccessRefused, ProductInvalid."""
        product = await self.get(requester, reference, Action.PRODUCTS_UPDATE)
        _check_branding((changes.settings or {}).get("branding"))
        now = self._clock.now()

        async def write(tx: Transaction) -> Product:
            # Read here: what somebody else has just changed must not come back.
            known = await self._store.by_id(tx, product.id)
            if known is None:
                raise product_not_found()
            changed = replace(
                known,
                name=known.name if changes.name is None else changes.name,
                description=known.description if changes.description is None else changes.description,
                type=known.type if changes.type is None else changes.type,
                hardware_version=known.hardware_version
                if changes.hardware_version is None
                else changes.hardware_version,
                settings={**known.settings, **(changes.settings or {})},
                updated_at=now,
            )
            _check(changed.name, changed.description, changed.platform_id)
            await self._store.update(tx, changed)
            return changed

        changed = await self._db.transaction(write)
        self._bus.publish(PRODUCT_CHANGED, changed)
        return changed

    async def remove(self, requester: Requester, reference: str) -> None:
        """With its team, clients, API users, customers and webhooks, and every token of theirs; not while it has
        devices, as somebody holds them in their hands.

        Raises ProductNotFound, AccessRefused, ProductNotEmpty.
        """
        product = await self.get(requester, reference, Action.PRODUCTS_REMOVE)
        now = self._clock.now()

        async def write(tx: Transaction) -> list[SecretHash] | None:
            if await self._store.has_devices(tx, product.id):
                return None
            ended = await self._tokens.end_in_product(tx, product.id)
            await self._store.delete(tx, product.id, now)
            return ended

        not_empty = ProductNotEmpty("The product has devices: remove them first")
        try:
            ended = await self._db.transaction(write)
        except BrokenReference as error:
            raise not_empty from error
        if ended is None:
            raise not_empty
        self._bus.publish(PRODUCT_REMOVED, product)
        self._tokens.announce(ended)

    async def _insert(self, product: Product) -> bool:
        """False when its slug or its number is taken."""

        async def insert(tx: Transaction) -> None:
            await self._store.insert(tx, product)

        try:
            await self._db.transaction(insert)
        except Duplicate:
            return False
        return True

    # -- hearing of changes -------------------------------------------------------------------------------------------

    async def changed_elsewhere(self, product: ProductId) -> None:
        """Another process made the product or changed it. Raises CloudError."""
        found = await self._store.by_id(self._db, product)
        if found is not None:
            self._created(found)
            self._bus.publish(PRODUCT_CHANGED, found)

    def _created(self, product: Product) -> None:
        self._organization_of[product.id] = product.organization

    def _changed(self, product: Product) -> None:
        self._tokens.clients.forget()
        self._drop(lambda kept: kept.id == product.id)

    def _removed(self, product: Product) -> None:
        self._organization_of.pop(product.id, None)
        self._changed(product)

    def _renamed(self, user: UserId) -> None:
        self._drop(lambda kept: kept.owner == user or kept.has_open_invitations)

    def _team_changed(self, change: TeamChanged) -> None:
        self._drop(
            lambda kept: (
                kept.id == change.product if change.product is not None else kept.organization == change.organization
            )
        )
        if change.is_gone and change.product is not None:
            self._organization_of.pop(change.product, None)
            self._tokens.forget_in(product=change.product)

    def _joined(self, _user: UserId) -> None:
        """Somebody made an account, and may be in a team by an invitation now."""
        self._drop(lambda kept: kept.has_open_invitations)

    def _drop(self, is_concerned: Callable[[Product], bool]) -> None:
        self._changes += 1
        for reference in [reference for reference, (kept, _) in self._cache.items() if is_concerned(kept)]:
            del self._cache[reference]


def _check_branding(branding: object) -> None:
    if branding is None:
        return
    name = branding.get("name", "") if isinstance(branding, dict) else None
    if not isinstance(name, str) or len(name) > _MAX_NAME_LENGTH:
        raise ProductInvalid(f'settings.branding is {{"name": "..."}}, with at most {_MAX_NAME_LENGTH} characters')


def _check(name: str, description: str, platform_id: int) -> None:
    if not name.strip():
        raise ProductInvalid("Missing fields: name")
    if len(name) > _MAX_NAME_LENGTH or len(description) > _MAX_DESCRIPTION_LENGTH:
        raise ProductInvalid(
            f"A name has at most {_MAX_NAME_LENGTH} characters, a description {_MAX_DESCRIPTION_LENGTH}"
        )
    if not 0 <= platform_id <= MAX_PRODUCT_ID:
        raise ProductInvalid("platform_id must be a number from 0 to 65535")
