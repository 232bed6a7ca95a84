"""`cloudchamber audit`: the log of who did what, read by whoever runs the cloud."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from cloudchamber.app import open_migrated
from cloudchamber.audit.model import Line
from cloudchamber.audit.rules import Check
from cloudchamber.audit.store import AuditStore
from cloudchamber.cli.options import data_option, failed, settings_from
from cloudchamber.clock import iso
from cloudchamber.errors import CloudError
from cloudchamber.storage.database import Reader

_PAGE = 1_000
Result = TypeVar("Result")


@click.group()
def audit() -> None:
    """Who did what, and who was refused."""


@audit.command("list")
@click.option("--last", default=50, show_default=True, type=click.IntRange(1), help="How many lines.")
@data_option
@click.option("--database", help="Database URL, where it is not the data folder's.")
def list_(last: int, *, data: Path | None, database: str | None) -> None:
    """Print the last lines, oldest first."""

    async def read(db: Reader) -> None:
        newest = await AuditStore().last(db)
        after = max(0, newest.seq - last) if newest is not None else 0
        while lines := await AuditStore().after(db, after, _PAGE):
            for line in lines:
                click.echo(_text(line))
            after = lines[-1].seq

    _with_database(data, database, read)


@audit.command()
@data_option
@click.option("--database", help="Database URL, where it is not the data folder's.")
def verify(*, data: Path | None, database: str | None) -> None:
    """Check that no line was changed, removed or put in between. Note the last hash somewhere else: only that shows
    that the end of the log is still there."""

    async def read(db: Reader) -> tuple[Check, Line | None]:
        check, after = Check(), 0
        while lines := await AuditStore().after(db, after, _PAGE):
            check.read(lines)
            after = lines[-1].seq
        return check, check.end()

    check, last = _with_database(data, database, read)
    if check.fault is not None:
        raise click.ClickException(f"The audit log is not as it was written: {check.fault}.")
    if last is None:
        click.echo("The audit log is empty.")
    else:
        click.echo(f"{check.count} lines, the last is number {last.seq} with hash {last.chain.hex()}")


def _with_database(data: Path | None, database: str | None, read: Callable[[Reader], Awaitable[Result]]) -> Result:
    settings = settings_from({"data": data, "database": database})

    async def run() -> Result:
        db = await open_migrated(settings)
        try:
            return await read(db)
        finally:
            await db.close()

    try:
        return asyncio.run(run())
    except CloudError as error:
        raise failed(error) from error


def _text(line: Line) -> str:
    entry = line.entry
    more = {"token": entry.token, "ip": entry.ip, "about": entry.subject, "detail": entry.detail}
    words = " ".join(f"{name}={value!r}" for name, value in more.items() if value)
    return f"{line.seq} {iso(entry.at)} {entry.outcome.value} {entry.event} by {entry.actor} {words}".rstrip()
