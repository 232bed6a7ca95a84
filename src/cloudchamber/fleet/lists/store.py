"""SQL of lists of devices.

A list has two parts: devices that have something to be sorted by, in the order of an index, and behind them those that
have not, by id. Each is a range of the same index (`product_id, <what it is sorted by>, id`). They are read apart,
because the two databases put NULLs on different ends.
"""

from collections.abc import Sequence
from copy import copy
from typing import cast

from cloudchamber.fleet.lists.model import DeviceFilter, Hit, Order, Span
from cloudchamber.fleet.model import DeviceRecord
from cloudchamber.fleet.store import DEVICE, record_of
from cloudchamber.ids import DeviceId, ProductId
from cloudchamber.storage.database import Reader, Value
from cloudchamber.storage.sql import in_steps, places


class Conditions:
    """A WHERE and its values, put together from what a filter names."""

    def __init__(
        self, product: ProductId, wanted: DeviceFilter, groups: Sequence[str], *, are_at_hand: bool = False
    ) -> None:
        """`are_at_hand`: it is asked of devices whose ids are known, and the index of ids finds them."""
        self.product = product
        self.values: list[Value] = [product]
        # With a sign, no index of the product is entered by it.
        self._parts = ["+d.product_id = $1" if are_at_hand else "d.product_id = $1"]
        if wanted.device_id is not None:
            self._parts.append(f"d.id LIKE {self._contains(wanted.device_id)}")
        if wanted.name is not None:
            self._parts.append(f"d.name_key LIKE {self._contains(wanted.name)}")
        if wanted.serial_number is not None:
            self._parts.append(f"lower(d.serial_number) LIKE {self._contains(wanted.serial_number)}")
        if wanted.is_quarantined is not None:
            self._parts.append(f"d.is_quarantined = {self.bind(int(wanted.is_quarantined))}")
        if wanted.is_denied is not None:
            self._parts.append(f"d.is_denied = {self.bind(int(wanted.is_denied))}")
        if wanted.text is not None:
            part = self._contains(wanted.text)
            serial_number = f"lower(d.serial_number) LIKE {part}"
            # Ids and names stand in one index, serial numbers in another; three columns of an OR would read the table.
            if not are_at_hand:
                serial_number = (
                    "d.id IN (SELECT id FROM devices WHERE product_id = $1"
                    f" AND serial_number IS NOT NULL AND lower(serial_number) LIKE {part})"
                )
            self._parts.append(f"(d.id LIKE {part} OR d.name_key LIKE {part} OR {serial_number})")
        self._groups = [self.bind(group) for group in groups]

    def copy(self) -> "Conditions":
        """To bind more to."""
        other = copy(self)
        other.values = [*self.values]
        return other

    def bind(self, value: Value) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def _contains(self, text: str) -> str:
        return f"{self.bind(f'%{_escaped(text)}%')} ESCAPE '\\'"

    def source(self) -> str:
        """FROM and WHERE, for reading every hit: the members of a group are found by the group."""
        if not self._groups:
            return f"devices d WHERE {' AND '.join(self._parts)}"
        return (
            f"(SELECT DISTINCT device_id FROM group_members WHERE group_id IN ({', '.join(self._groups)})) m"
            f" JOIN devices d ON d.id = m.device_id WHERE {' AND '.join(self._parts)}"
        )

    def walk(self) -> str:
        """FROM and WHERE, for reading hits in the order of an index until there are enough."""
        where = " AND ".join(self._parts)
        if self._groups:
            where += (
                f" AND EXISTS (SELECT 1 FROM group_members m WHERE m.group_id IN ({', '.join(self._groups)})"
                " AND m.device_id = d.id)"
            )
        return f"devices d WHERE {where}"


def _sort(order: Order, direction: str) -> str:
    return f"d.id {direction}" if order is Order.ID else f"d.{order} {direction}, d.id {direction}"


def _escaped(text: str) -> str:
    """For LIKE, in lower case."""
    return text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


class ListStore:
    async def count(self, db: Reader, conditions: Conditions) -> int:
        # With fetch_all, because it is no look-up: it may read a hundred thousand entries of an index.
        rows = await db.fetch_all(f"SELECT count(*) FROM {conditions.source()}", *conditions.values)
        return int(rows[0][0])

    async def count_unknown(self, db: Reader, conditions: Conditions, order: Order) -> int:
        sql = f"SELECT count(*) FROM {conditions.source()} AND d.{order} IS NULL"
        rows = await db.fetch_all(sql, *conditions.values)
        return int(rows[0][0])

    async def hits(self, db: Reader, conditions: Conditions, order: Order, limit: int) -> list[Hit]:
        """In no order."""
        rows = await db.fetch_all(
            f"SELECT d.id, d.{order} FROM {conditions.source()} LIMIT {limit}", *conditions.values
        )
        return [Hit(DeviceId(row[0]), row[1]) for row in rows]

    async def hits_among(self, db: Reader, conditions: Conditions, order: Order, ids: Sequence[DeviceId]) -> list[Hit]:
        """Those of `ids` that are let through, in no order; `conditions` are made for devices that are at hand."""
        found: list[Hit] = []
        for part in in_steps(ids):
            first = len(conditions.values) + 1
            rows = await db.fetch_all(
                f"SELECT d.id, d.{order} FROM {conditions.walk()} AND d.id IN ({places(len(part), first)})",
                *conditions.values,
                *part,
            )
            found += [Hit(DeviceId(row[0]), row[1]) for row in rows]
        return found

    async def all_ids(self, db: Reader, conditions: Conditions) -> list[DeviceId]:
        """Of every hit, in no order; read as one value, for a hundred thousand rows take longer than finding them."""
        rows = await db.fetch_all(f"SELECT string_agg(d.id, ',') FROM {conditions.source()}", *conditions.values)
        return cast("list[DeviceId]", rows[0][0].split(",")) if rows[0][0] else []

    async def named(self, db: Reader, product: ProductId, text: str, limit: int) -> frozenset[DeviceId]:
        """Devices with `text` in their id, name or serial number: at least `limit` of them, where there are as many.

        Read from the two indexes that hold these three, whatever else the list is asked for.
        """
        part = f"%{_escaped(text)}%"
        rows = await db.fetch_all(
            f"SELECT id FROM devices WHERE product_id = $1 AND (id LIKE $2 ESCAPE '\\' OR name_key LIKE $2 ESCAPE '\\')"
            f" LIMIT {limit}",
            *(product, part),
        )
        rows += await db.fetch_all(
            "SELECT id FROM devices WHERE product_id = $1 AND serial_number IS NOT NULL"
            f" AND lower(serial_number) LIKE $2 ESCAPE '\\' LIMIT {limit}",
            *(product, part),
        )
        return frozenset(DeviceId(row[0]) for row in rows)

    async def span(
        self, db: Reader, conditions: Conditions, order: Order, span: Span, *, descending: bool
    ) -> list[Hit]:
        """Part of a list, in order; read from the index alone."""
        known, direction = ("IS NOT NULL", "DESC" if descending else "ASC") if span.known else ("IS NULL", "ASC")
        rows = await db.fetch_all(
            f"SELECT d.id, d.{order} FROM {conditions.walk()} AND d.{order} {known}"
            f" ORDER BY {_sort(order, direction)} LIMIT {int(span.limit)} OFFSET {int(span.offset)}",
            *conditions.values,
        )
        return [Hit(DeviceId(row[0]), row[1]) for row in rows]

    async def after(
        self, db: Reader, conditions: Conditions, order: Order, last: Hit, limit: int, *, descending: bool
    ) -> list[Hit]:
        """As `span`, of what follows `last` in its part of the list."""
        conditions = conditions.copy()
        direction, beyond = ("DESC", "<") if descending and last.key is not None else ("ASC", ">")
        sort = _sort(order, direction)
        if last.key is None:
            position = f"d.{order} IS NULL AND d.id > {conditions.bind(last.id)}"
        else:
            # With the first condition of its own, which an index can be entered by.
            key, id_ = conditions.bind(last.key), conditions.bind(last.id)
            position = f"d.{order} {beyond}= {key} AND (d.{order} {beyond} {key} OR d.id {beyond} {id_})"
        rows = await db.fetch_all(
            f"SELECT d.id, d.{order} FROM {conditions.walk()} AND {position} ORDER BY {sort} LIMIT {int(limit)}",
            *conditions.values,
        )
        return [Hit(DeviceId(row[0]), row[1]) for row in rows]

    async def by_ids(self, db: Reader, ids: Sequence[DeviceId]) -> list[DeviceRecord]:
        """In the order of `ids`; without those that are not there any more."""
        found: dict[DeviceId, DeviceRecord] = {}
        for part in in_steps(ids):
            rows = await db.fetch_all(f"{DEVICE} WHERE d.id IN ({places(len(part))})", *part)
            found.update((record.id, record) for record in map(record_of, rows))
        return [found[id_] for id_ in ids if id_ in found]
