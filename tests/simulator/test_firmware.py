"""Application firmware of virtual devices, without any device."""

import pytest

from cloudchamber.simulator.firmware import FIRMWARE, Counter, Later, PublishLimit, Tinker
from cloudchamber.wire.values import VariableType, encode


class Bench:
    """A board on the table."""

    id = "0123456789abcdef01234567"

    def __init__(self) -> None:
        self.published: list[tuple[str, str | None, bool]] = []
        self.printed: list[str] = []

    def publish(self, name: str, data: str | None, *, is_private: bool = True) -> bool:
        self.published.append((name, data, is_private))
        return True

    def println(self, line: str) -> None:
        self.printed.append(line)


@pytest.fixture
def board() -> Bench:
    return Bench()


def test_counter_counts_seconds(board: Bench) -> None:
    counter = Counter(board, 100.0)
    assert [counter.read("counter", now) for now in (100.0, 100.9, 101.0, 160.5)] == [0, 0, 1, 60]
    assert counter.read("nothing", 100.0) is None


def test_every_variable_has_a_value_of_its_type(board: Bench) -> None:
    counter = Counter(board, 0.0)
    assert {kind for kind, _ in counter.variables.values()} == set(VariableType)
    for name, (kind, _) in counter.variables.items():
        value = counter.read(name, 1.0)
        assert value is not None
        encode(kind, value)
    assert counter.application.variables["temperature"] is VariableType.DOUBLE


def test_counter_functions(board: Bench) -> None:
    counter = Counter(board, 0.0)
    assert counter.call("lightsOn", "a", 0) == 1
    assert counter.call("lightsOn", "a", 0) == 1
    assert counter.call("lightsOn", "b", 0) == 2
    assert counter.call("brew", "12", 0) == 12
    assert counter.call("brew", "tea", 0) == -1
    assert isinstance(counter.call("fail", "", 0), int)
    assert counter.call("fail", "", 0) < 0  # type: ignore[operator]
    assert counter.call("slow", "1.5", 0) == Later(1.5, 1500)
    for senseless in ("soon", "-1", "nan", "inf", "1e9"):
        assert counter.call("slow", senseless, 0) == -1
    with pytest.raises(RuntimeError, match="explode"):
        counter.call("explode", "", 0)


def test_counter_publishes(board: Bench) -> None:
    counter = Counter(board, 0.0)
    assert [counter.call("publish", argument, 0) for argument in ("a=b=c", "a=", "a", "!a=b", "", "=x")] == [
        0, 0, 0, 0, -1, -1,
    ]  # fmt: skip
    counter.tick(61.0)
    assert board.published == [
        ("a", "b=c", True), ("a", "", True), ("a", None, True), ("a", "b", False), ("tick", "61", True),
    ]  # fmt: skip


def test_counter_hears(board: Bench) -> None:
    Counter(board, 0.0).heard("testEvent", "testing!")
    assert board.printed == ["testEventHandler called testing!"]


@pytest.mark.parametrize(
    ("calls", "result"),
    [
        ([("digitalwrite", "D7 HIGH"), ("digitalread", "D7")], 1),
        ([("digitalwrite", "D7 HIGH"), ("digitalwrite", "d7,low"), ("digitalread", "D7")], 0),
        ([("digitalread", "D0")], 0),
        ([("analogwrite", "A3 1000"), ("analogread", "A3")], 1000),
        ([("analogwrite", "A3 1000")], 1),
        ([("digitalread", "X1")], -1),
        ([("digitalread", "")], -1),
        ([("analogread", "A8")], -1),
        ([("digitalwrite", "D0 MAYBE")], -2),
        ([("analogwrite", "A0 5000")], -2),
        ([("analogwrite", "A0 -1")], -1),
    ],
)
def test_tinker(board: Bench, calls: list[tuple[str, str]], result: int) -> None:
    tinker = Tinker(board, 0.0)
    assert [tinker.call(name, argument, 0) for name, argument in calls][-1] == result


def test_names_fit_the_oldest_firmware() -> None:
    """Twelve characters before 0.8 and on the Core."""
    for kind in FIRMWARE.values():
        firmware = kind(Bench(), 0.0)
        assert all(len(name) <= 12 for name in (*firmware.functions, *firmware.variables))


def test_the_publish_limit_is_four_at_once_then_one_a_second() -> None:
    limit = PublishLimit()
    assert [limit.allow(1000.0) for _ in range(5)] == [True] * 4 + [False]
    assert [limit.allow(now) for now in (1000.5, 1001.0, 1001.5, 1002.0)] == [False, True, False, True]
    assert [limit.allow(2000.0) for _ in range(5)] == [True] * 4 + [False]
