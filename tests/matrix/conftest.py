from collections import Counter

import pytest

from tests.matrix.count import counted


@pytest.fixture(scope="session")
def matrix() -> Counter[str]:
    return counted
