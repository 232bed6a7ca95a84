"""A data folder as it is after years: devices, customers, their tokens and the sessions of devices over UDP on record.

A cloud makes the product and the first customer. The rest is put into its database by the cloud's own stores, hundreds
of rows to a transaction, while it does not run.
"""

import asyncio
import functools
import os
import secrets
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from bench.processes import listening
from bench.scene import bearer, make_product
from cloudchamber.access.model import OwnedByCustomer
from cloudchamber.clock import DAY, Clock, Millis, SystemClock
from cloudchamber.fleet.imports.store import ImportStore
from cloudchamber.fleet.model import Description, Handshake
from cloudchamber.fleet.store import DeviceStore, KeyStore
from cloudchamber.identity.model import CustomerAccount
from cloudchamber.identity.store import CustomerStore
from cloudchamber.ids import (
    ClientId,
    CustomerId,
    DeviceId,
    ProductId,
    SecretHash,
    hash_secret,
    new_id,
    new_ordered_id,
    new_token,
)
from cloudchamber.oauth.model import AccessToken, LogIn, NewLogIn, RefreshToken, customer_principal
from cloudchamber.oauth.store import TokenStore
from cloudchamber.resumption.model import SavedSession
from cloudchamber.resumption.service import SavedSessions
from cloudchamber.resumption.store import SessionStore
from cloudchamber.sealing import Sealer
from cloudchamber.storage.database import Database, Transaction, open_database

CUSTOMER: Final = "first@example.com"
ELECTRON: Final = 10
PHOTON: Final = 6
_FIRST_DEVICE: Final = 0xE00FCE680000000000000000
_FIRST_OF_A_PHOTON: Final = 0x2A0000000000000000000000
_AT_ONCE: Final = 500
_STATE: Final = 420
"""Bytes of a DTLS association and of what a device told of itself, about."""
_MEMORY: Final = 160
_RSA_KEY: Final = 162
_ECC_KEY: Final = 91

Progressed = Callable[[int], object]
"""Called with the number of rows that are on the disk since the last call."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a request needs: the product's client, and a customer's token with one of the customer's devices."""

    data: Path
    product: int
    client: tuple[str, str]
    customer_token: str
    device: str


def serve(data: Path, *more: str) -> list[str]:
    """The arguments of a cloud on free ports."""
    arguments = ["-m", "cloudchamber", "serve", "--data", str(data), "--log-level", "warning"]
    for listener in ("--http", "--tcp", "--udp", "--metrics"):
        arguments += [listener, "127.0.0.1:0"]
    return [*arguments, *more]


def made(data: Path) -> Filled:
    """A new folder with a product, its client, a customer and the customer's device. Raises CannotStart, HTTPError."""
    device = f"{_FIRST_OF_A_PHOTON:024x}"
    with (
        listening(serve(data), data.with_name(f"{data.name}.log")) as (_, addresses),
        httpx.Client(base_url=addresses["http"], timeout=30, trust_env=False) as http,
    ):
        client, product, product_token = make_product(http)
        of_product = bearer(product_token)
        http.post(f"/v1/products/{product}/devices", headers=of_product, data={"id": device}).raise_for_status()
        form = {"email": CUSTOMER, "no_password": "true"}
        customer = http.post(f"/v1/products/{product}/customers", auth=client, data=form).raise_for_status().json()
        token = customer["access_token"]
    filled = Filled(data, product, client, token, device)

    async def claim(db: Database) -> None:
        account = await CustomerStore().by_username(db, ProductId(product), None, CUSTOMER)
        assert account is not None

        async def body(tx: Transaction) -> None:
            await DeviceStore().set_owner(tx, DeviceId(device), OwnedByCustomer(account.id), SystemClock().now())

        await db.transaction(body)

    _in_database(filled, claim)
    return filled


def fill(filled: Filled, devices: int, customers: int, progressed: Progressed, *, first: int = 0) -> None:
    """Devices that have connected and described themselves, every other one over UDP with its session, and their
    customers, who hold an access and a refresh token each; `first` are there already. Tells of devices."""

    async def work(db: Database) -> None:
        await _fill(db, filled, range(first, devices), customers, progressed)

    _in_database(filled, work)


def add_tokens(filled: Filled, count: int, progressed: Progressed) -> None:
    """So many more log-ins of customers with an access and a refresh token each."""

    async def work(db: Database) -> None:
        now = SystemClock().now()
        row = await db.fetch_one("SELECT username FROM customers LIMIT 1")
        assert row is not None
        account = await CustomerStore().by_username(db, ProductId(filled.product), None, row[0])
        assert account is not None
        for number in _steps(count, 5_000):
            await _put_tokens(db, filled, [account] * number, now)
            progressed(number)

    _in_database(filled, work)


def put_tokens(filled: Filled, tokens: Sequence[str]) -> None:
    """Tokens that the caller knows, of the first customer, each with a log-in of its own."""

    async def work(db: Database) -> None:
        account = await CustomerStore().by_username(db, ProductId(filled.product), None, CUSTOMER)
        assert account is not None
        await _put_tokens(db, filled, [account] * len(tokens), SystemClock().now(), tokens)

    _in_database(filled, work)


def forget_keys(filled: Filled, devices: Sequence[str]) -> None:
    """They may come with new keys."""

    async def work(db: Database) -> None:
        async def delete(tx: Transaction) -> None:
            for device in devices:
                await KeyStore().delete(tx, DeviceId(device))

        await db.transaction(delete)

    _in_database(filled, work)


def _in_database(filled: Filled, work: Callable[[Database], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        db = await open_database(f"sqlite:///{filled.data / 'cloudchamber.db'}")
        try:
            await work(db)
        finally:
            await db.close()

    asyncio.run(run())


async def _fill(db: Database, filled: Filled, numbers: range, customers: int, progressed: Progressed) -> None:
    clock: Clock = SystemClock()
    now = Millis(clock.now() - 30 * DAY)
    product, name = ProductId(filled.product), f"{numbers.start}-{{}}@example.com"
    accounts = [
        CustomerAccount(CustomerId(new_id()), product, name.format(number), None, now) for number in range(customers)
    ]
    for first in range(0, customers, _AT_ONCE):
        some = accounts[first : first + _AT_ONCE]

        async def insert(tx: Transaction, some: Sequence[CustomerAccount] = some) -> None:
            for account in some:
                await CustomerStore().insert(tx, account)

        await db.transaction(insert)
        await _put_tokens(db, filled, some, now)
    sealer = Sealer((filled.data / "sealing.key").read_bytes())
    sessions = SavedSessions(db, SessionStore(), sealer, clock)
    for first in range(0, len(numbers), _AT_ONCE):
        ids = [DeviceId(f"{_FIRST_DEVICE + number:024x}") for number in numbers[first : first + _AT_ONCE]]
        owners = [accounts[(first + place) * customers // len(numbers)] for place in range(len(ids))]
        await db.transaction(functools.partial(_put_devices, filled=filled, ids=ids, owners=owners, now=now))
        await sessions.save_all([_session(id_) for id_ in ids[::2]])
        progressed(len(ids))


async def _put_devices(
    tx: Transaction, *, filled: Filled, ids: Sequence[DeviceId], owners: Sequence[CustomerAccount], now: Millis
) -> None:
    product = ProductId(filled.product)
    imports, store, keys = ImportStore(), DeviceStore(), KeyStore()
    await imports.create(tx, ids, product, now)
    for number, (id_, owner) in enumerate(zip(ids, owners, strict=True)):
        await store.set_owner(tx, id_, OwnedByCustomer(owner.id), now)
        is_udp = number % 2 == 0
        await store.set_handshake(
            tx, id_, Handshake("203.0.113.7", ELECTRON if is_udp else PHOTON, product, 1, "4.0.2"), now
        )
        described = Description(("blink", "reset"), {"counter": "int32", "place": "string"}, '{"m":[]}')
        await store.set_described(tx, id_, described)
        size = _ECC_KEY if is_udp else _RSA_KEY
        await keys.insert(tx, id_, "ecc" if is_udp else "rsa", secrets.token_bytes(size), "first-use", now)


def _session(device: DeviceId) -> SavedSession:
    cid = os.urandom(8)
    return SavedSession(os.urandom(16), cid, device, "203.0.113.7:5684", os.urandom(_STATE), os.urandom(_MEMORY))


async def _put_tokens(
    db: Database,
    filled: Filled,
    accounts: Sequence[CustomerAccount],
    now: Millis,
    tokens: Sequence[str] | None = None,
) -> None:
    client = ClientId(filled.client[0])
    new = []
    for number, account in enumerate(accounts):
        principal, family = customer_principal(account), new_ordered_id(now)
        hash_ = SecretHash(os.urandom(32)) if tokens is None else hash_secret(tokens[number])
        new.append(
            NewLogIn(
                LogIn(family, f"client:{client}", now, None),
                AccessToken(hash_, client, principal, None, family, os.urandom(68), now, Millis(now + 400 * DAY)),
                RefreshToken(
                    *(SecretHash(os.urandom(32)), client, principal, None, family, 7_776_000),
                    *(now, Millis(now + 420 * DAY), None),
                ),
                now,
            )
        )
    await db.transaction(lambda tx: TokenStore().insert_new(tx, new))


def new_tokens(count: int) -> list[str]:
    return [new_token() for _ in range(count)]


def _steps(count: int, step: int) -> Iterator[int]:
    while count > 0:
        yield min(step, count)
        count -= step
