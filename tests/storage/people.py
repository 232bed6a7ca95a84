"""Bodies that the tests of this package share."""

from cloudchamber.storage.database import Transaction

INSERT = "INSERT INTO users (id, username, created_at, updated_at) VALUES ($1, $2, 1, 1)"


def add(name: str):
    """A body that makes a user whose id is its name."""

    async def body(transaction: Transaction) -> str:
        await transaction.execute(INSERT, name, name)
        return name

    return body


async def names(database) -> list[str]:
    return [row[0] for row in await database.fetch_all("SELECT id FROM users ORDER BY id")]
