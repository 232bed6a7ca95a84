from collections import Counter
from pathlib import Path

import pytest
import pytest_asyncio

from tests.matrix import universe as made
from tests.matrix.count import counted
from tests.matrix.universe import Universe


@pytest.fixture(scope="session")
def matrix() -> Counter[str]:
    return counted


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def universe(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Universe:
    """Never served itself: whoever asks makes a copy (`copy_of`)."""
    return await made.make(tmp_path_factory.mktemp("universe") / "original", migrated_file)
