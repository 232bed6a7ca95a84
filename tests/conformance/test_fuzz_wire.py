import pytest

from tests.conformance.fuzz_wire import corpus, fuzz_one, run


def test_the_corpus_itself() -> None:
    for data in corpus():
        fuzz_one(data)


def test_20_000_changed_messages() -> None:
    run(seed=1, count=20_000)


@pytest.mark.soak
def test_a_million_changed_messages() -> None:
    for seed in range(2, 52):
        run(seed, 20_000)
