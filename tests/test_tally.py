"""What is counted is counted once."""

from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.ids import ProductId
from cloudchamber.tally import FIGURES, Figure, Tally

NOTES = st.tuples(st.none() | st.integers(1, 4).map(ProductId), st.sampled_from(Figure))


@given(st.lists(NOTES | st.just("take")))
def test_nothing_is_lost_and_nothing_counted_twice(steps) -> None:
    tally, found, expected = Tally(), {}, {}
    for step in [*steps, "take"]:
        if step == "take":
            for product, counts in tally.take().items():
                assert len(counts) == FIGURES
                assert any(counts), "a product in which nothing happened is not there"
                for figure, count in enumerate(counts):
                    found[product, figure] = found.get((product, figure), 0) + count
        else:
            product, figure = step
            tally.note(product, figure)
            if product is not None:
                expected[product, figure] = expected.get((product, figure), 0) + 1
    assert {each: count for each, count in found.items() if count} == expected


def test_the_places_on_record_stay_what_they_are() -> None:
    """Rows of earlier versions are read by them: a new figure goes to the end."""
    assert [figure.name for figure in sorted(Figure)][:14] == [
        "ONLINE",
        "EVENTS",
        "FUNCTIONS_OK",
        "FUNCTIONS_FAILED",
        "FUNCTIONS_OFFLINE",
        "VARIABLES_OK",
        "VARIABLES_FAILED",
        "VARIABLES_OFFLINE",
        "HOOKS_OK",
        "HOOKS_FAILED",
        "HOOKS_SKIPPED",
        "CONNECTED",
        "REFUSED",
        "TOKENS",
    ]
    assert list(map(int, sorted(Figure))) == list(range(FIGURES))
