import pytest

from tests.conformance.fuzz_wire import corpus, fuzz_one, run


def test_the_corpus_itself() -> None:
    for data in corpus():
        fuzz_one(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("0e0197b228b1640e0197b208b1640197b228b164", id="a token of 14 bytes"),
    ],
)
def test_what_was_found(data: str) -> None:
    fuzz_one(bytes.fromhex(data))


def test_20_000_changed_messages() -> None:
    run(seed=1, count=20_000)


@pytest.mark.soak
def test_a_million_changed_messages() -> None:
    for seed in range(2, 52):
        run(seed, 20_000)
