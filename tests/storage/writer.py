"""A process that writes until it is killed: prints each number once its transaction is acknowledged.

Each transaction makes a user and a line of custody, so that half of one can be told from the whole.
"""

import asyncio
import os
import sys

from cloudchamber.storage.database import Transaction, open_database
from tests.storage.people import INSERT


async def main(url: str, first: int) -> None:
    database = await open_database(url)
    numbers = iter(range(first, sys.maxsize))

    async def client() -> None:
        for number in numbers:

            async def body(transaction: Transaction, name: str = f"{number:09}") -> None:
                await transaction.execute(INSERT, name, name)
                await transaction.execute(
                    "INSERT INTO custody (at, device_id, change, actor, before, after)"
                    " VALUES (1, $1, 'made', 'test', '{}', '{}')",
                    name,
                )

            await database.transaction(body)
            os.write(1, b"%09d\n" % number)

    await asyncio.gather(*(client() for _ in range(20)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
