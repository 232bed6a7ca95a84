"""`cloudchamber user`: accounts made by whoever runs the cloud, while it runs or before its first start."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from cloudchamber.app import open_migrated, user_passwords
from cloudchamber.audit.store import AuditStore
from cloudchamber.cli.options import data_option, failed, settings_from
from cloudchamber.clock import SystemClock
from cloudchamber.datafolder import prepare_data_folder
from cloudchamber.errors import CloudError
from cloudchamber.identity.model import UserAccount
from cloudchamber.identity.passwords import Passwords
from cloudchamber.identity.service import Users
from cloudchamber.identity.store import FactorStore, UserStore
from cloudchamber.oauth.store import TokenStore
from cloudchamber.oauth.switching import AccountSwitch
from cloudchamber.settings import Settings
from cloudchamber.storage.database import Transaction


@click.group()
def user() -> None:
    """Accounts of people."""


@user.command()
@click.argument("email")
@click.option("--admin", is_flag=True, help="The account may administer the whole cloud.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of asking for it.")
@data_option
@click.option("--database", help="Database URL, where it is not the data folder's.")
def create(email: str, *, admin: bool, password_stdin: bool, data: Path | None, database: str | None) -> None:
    """Make an account for EMAIL. There is no default password: you choose it."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    settings = settings_from({"data": data, "database": database})
    try:
        account = asyncio.run(_create(settings, email, password, is_admin=admin))
    except CloudError as error:
        raise failed(error) from error
    click.echo(f"{account.username} can log in now (user id {account.id}).")


async def _create(settings: Settings, email: str, password: str, *, is_admin: bool) -> UserAccount:
    prepare_data_folder(settings.data)
    db = await open_migrated(settings)
    passwords = Passwords(1)
    try:
        users = Users(db, UserStore(), passwords, SystemClock(), is_open=False, policy=user_passwords(settings))
        return await users.create(email, password, is_admin=is_admin)
    finally:
        passwords.close()
        await db.close()


@user.command()
@click.argument("email")
@data_option
@click.option("--database", help="Database URL, where it is not the data folder's.")
def disable(email: str, *, data: Path | None, database: str | None) -> None:
    """Shut EMAIL out, within a second: no log-in, and none of its tokens counts any more.

    What the account has stays: its devices connect, and its products go on with their teams, clients and customers.
    """
    name = _switched(email, AccountSwitch.disable, data, database)
    click.echo(f"{name} is shut out; `cloudchamber user enable {name}` lets it in again.")


@user.command()
@click.argument("email")
@data_option
@click.option("--database", help="Database URL, where it is not the data folder's.")
def enable(email: str, *, data: Path | None, database: str | None) -> None:
    """Let EMAIL log in again. Its old tokens stay dead."""
    name = _switched(email, AccountSwitch.enable, data, database)
    click.echo(f"{name} can log in again.")


@user.command("log-out")
@click.argument("email")
@data_option
@click.option("--database", help="Database URL, where it is not the data folder's.")
def log_out(email: str, *, data: Path | None, database: str | None) -> None:
    """End every log-in and token of EMAIL, within a second."""
    name = _switched(email, AccountSwitch.log_out, data, database)
    click.echo(f"{name} is logged out everywhere.")


Switching = Callable[[AccountSwitch, str], Awaitable[str | None]]


def _switched(email: str, switching: Switching, data: Path | None, database: str | None) -> str:
    """The account's name."""
    settings = settings_from({"data": data, "database": database})
    try:
        name = asyncio.run(_switch(settings, email, switching))
    except CloudError as error:
        raise failed(error) from error
    if name is None:
        raise click.ClickException(f"There is no account {email}.")
    return name


async def _switch(settings: Settings, email: str, switching: Switching) -> str | None:
    prepare_data_folder(settings.data)
    db = await open_migrated(settings)
    try:
        switch = AccountSwitch(db, UserStore(), FactorStore(), TokenStore(), AuditStore(), SystemClock())
        return await switching(switch, email)
    finally:
        await db.close()


@user.command("mfa-off")
@click.argument("email")
@data_option
@click.option("--database", help="Database URL, where it is not the data folder's.")
def mfa_off(email: str, *, data: Path | None, database: str | None) -> None:
    """Take EMAIL's second factors away, for somebody who has lost their apps and their recovery codes.

    Whoever talks you into this needs only the password afterwards: make sure by another way that it is them.
    """
    settings = settings_from({"data": data, "database": database})
    try:
        found = asyncio.run(_mfa_off(settings, email))
    except CloudError as error:
        raise failed(error) from error
    if found is None:
        raise click.ClickException(f"There is no account {email}.")
    click.echo(f"{found} logs in with the password alone now.")


async def _mfa_off(settings: Settings, email: str) -> str | None:
    """The account's name."""
    prepare_data_folder(settings.data)
    db = await open_migrated(settings)
    try:
        account = await UserStore().by_username(db, email.strip().lower())
        if account is None:
            return None
        user = account.id

        async def write(tx: Transaction) -> None:
            await FactorStore().delete_all(tx, user)

        await db.transaction(write)
        return account.username
    finally:
        await db.close()
