"""Plots of fleet health: what they draw, and what they say in words."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudchamber.clock import MINUTE, Millis
from cloudchamber.console.health import CARDS, RANGES, view
from cloudchamber.console.plots import Series, ceiling, plot
from cloudchamber.statistics.model import Bucket
from cloudchamber.tally import FIGURES, Figure

NOON = Millis(1_700_000_040_000)
HOUR_RANGE = RANGES[0]
NUMBERS = st.integers(0, 100_000) | st.floats(0, 1e6)
GAPS = st.lists(st.booleans(), min_size=1, max_size=20)
SVG = "{http://www.w3.org/2000/svg}"


def paths(svg: str) -> dict[str, str]:
    root = ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314 - our own
    return {str(each.get("class")): str(each.get("d")) for each in root.iter(f"{SVG}path")}


@settings(max_examples=50)
@given(GAPS, st.integers(1, 3), st.data())
def test_a_plot_stays_in_its_frame_and_draws_nothing_where_nobody_looked(gaps, count, data) -> None:
    kinds = ("good", "warn", "bad")[:count]
    series = [Series(kind, kind, [None if gap else data.draw(NUMBERS) for gap in gaps]) for kind in kinds]
    svg = str(plot("x", "T", "D", series, [""] * len(gaps), level=count == 1))
    drawn = paths(svg)
    for shape in drawn.values():
        ys = [float(y) for y in re.findall(r"[ML]\d+ (-?\d+)", shape)]
        assert all(0 <= y <= 100 for y in ys)
        xs = [float(x) for x in re.findall(r"[MLH](\d+)", shape)]
        assert all(0 <= x <= 10 * len(gaps) for x in xs)
    assert ("gap" in drawn) is any(gaps)
    for index, gap in enumerate(gaps):
        if gap and count > 1:
            assert not any(f"M{10 * index + 1} " in drawn.get(kind, "") for kind in kinds)


@pytest.mark.parametrize(
    ("most", "top"), [(0, 2), (1, 2), (2, 2), (3, 4), (5, 10), (10, 10), (11, 20), (39, 40), (41, 100), (2001, 4000)]
)
def test_the_top_of_the_axis_and_its_half_are_round(most: int, top: int) -> None:
    assert ceiling([Series("a", "main", [most, None, 0])]) == top


def test_little_beside_much_is_seen() -> None:
    drawn = paths(str(plot("x", "T", "D", [Series("a", "good", [9_000]), Series("b", "bad", [1])], [""], level=False)))
    assert drawn["good"] == "M1 100v-90h8v90z"
    assert drawn["bad"] == "M1 10v-3h8v3z"


def test_what_is_in_words_is_text_and_no_markup() -> None:
    svg = str(plot("x", "<b>", "&", [Series("a", "main", [1])], ["<i>"], level=True))
    assert "<b>" not in svg
    assert "<i>" not in svg
    assert "style" not in svg
    assert "script" not in svg


def test_a_card_says_what_it_shows() -> None:
    figures = [0] * FIGURES
    figures[Figure.FUNCTIONS_OK], figures[Figure.VARIABLES_FAILED], figures[Figure.ONLINE] = 1_200, 1, 7
    figures[Figure.EVENTS] = 5
    times = [Millis(NOON + index * MINUTE) for index in range(3)]
    buckets = [Bucket(times[0], 1, figures), None, Bucket(times[2], 2, [2 * each for each in figures])]
    cards = {card.key: view(card, HOUR_RANGE, times, buckets) for card in CARDS}
    calls = cards["calls"]
    told = [(each.name, each.text, each.is_bad) for each in calls.told]
    assert told == [("Answered", "3,600", False), ("Device offline", "0", False), ("Failed", "3", True)]
    # Who sees no plot has it in numbers; in the minute that nobody looked in there are none.
    assert calls.rows == [("22:14", ["1,200", "0", "1"]), ("22:16", ["2,400", "0", "2"])]
    assert "22:15: not known" in calls.picture
    assert "22:14: Answered 1,200, Failed 1" in calls.picture
    assert [each.text for each in cards["online"].told] == ["always 7"]
    assert [each.text for each in cards["events"].told] == ["15, at most 5 a minute"]
    assert [texts for _, texts in cards["events"].rows] == [["5"], ["5"]]
