import pytest

from cloudchamber.access.model import OwnedByUser
from cloudchamber.clock import MINUTE, SECOND, Millis
from cloudchamber.ids import UserId
from cloudchamber.messaging.model import FROM_API, FROM_CLOUD, Event
from cloudchamber.webhooks.model import Answered, Failed
from cloudchamber.webhooks.rules import (
    FAILURES_BEFORE_SLEEP,
    LONGEST_SLEEP_MS,
    MAX_ATTEMPTS,
    WELL,
    Done,
    GiveUp,
    TryAgain,
    after_attempt,
    after_delivery,
    error_text,
    triggers,
)
from cloudchamber.webhooks.targets import is_public

NOW = Millis(1_600_000_000_000)
DEVICE = "0123456789abcdef01234567"


def event(name: str, source: str = DEVICE) -> Event:
    return Event(name, "25", 60, NOW, source, False, OwnedByUser(UserId("u")), None)


@pytest.mark.parametrize(
    ("prefix", "device", "name", "source", "fires"),
    [
        ("temp", None, "temp", DEVICE, True),
        ("temp", None, "temperature/outside", DEVICE, True),
        ("temp", None, "high_temp", DEVICE, False),
        ("temp", None, "Temp", DEVICE, False),
        ("temp", DEVICE, "temp", DEVICE, True),
        ("temp", DEVICE, "temp", "f" * 24, False),
        ("temp", DEVICE, "temp", FROM_API, False),
        ("temp", None, "temp", FROM_API, True),
        ("hook", None, "hook-response/temp/0", DEVICE, False),
        ("hook", None, "hooked", DEVICE, True),
        ("temp", None, "temp", FROM_CLOUD, False),
    ],
)
def test_50_what_fires_a_hook(prefix: str, device: str | None, name: str, source: str, fires: bool) -> None:
    assert triggers(prefix, device, event(name, source)) is fires


def test_what_follows_an_attempt() -> None:
    def after(attempts: int, outcome: Answered | Failed, jitter: float = 0.0):
        return after_attempt(attempts, outcome, NOW, jitter)

    for status in (200, 201, 204, 299):
        assert after(1, Answered(status, (), b"")) == Done()
    for status in (400, 401, 404, 410, 302, 199):
        assert after(1, Answered(status, (), b"")) == GiveUp()
    for outcome in (*(Answered(status, (), b"") for status in (408, 425, 429, 500, 503)), Failed("cannot reach host")):
        assert after(1, outcome) == TryAgain(Millis(NOW + 5 * SECOND))
        assert after(2, outcome) == TryAgain(Millis(NOW + 60 * SECOND))
        assert after(2, outcome, 1.0) == TryAgain(Millis(NOW + 75 * SECOND))
        assert after(MAX_ATTEMPTS, outcome) == GiveUp()
    assert after(1, Failed("refused", is_final=True)) == GiveUp()
    assert after(1, Answered(503, (), b"", retry_after_s=30)) == TryAgain(Millis(NOW + 30 * SECOND))
    assert after(1, Answered(429, (), b"", retry_after_s=1e6)) == TryAgain(Millis(NOW + 5 * MINUTE))


def test_what_is_told_of_a_failure() -> None:
    assert error_text(Answered(404, (), b"")) == "error status 404 from host"
    assert error_text(Failed("no answer from host within 20 s")) == "no answer from host within 20 s"


def test_a_hook_that_fails_again_and_again_sleeps_longer_and_longer() -> None:
    health = WELL
    for _ in range(FAILURES_BEFORE_SLEEP - 1):
        health = after_delivery(health, NOW, succeeded=False)
        assert not health.is_asleep(NOW)
    sleeps = []
    for _ in range(20):
        health = after_delivery(health, NOW, succeeded=False)
        assert health.asleep_until is not None
        assert health.is_asleep(NOW)
        assert not health.is_asleep(health.asleep_until)
        sleeps.append(health.asleep_until - NOW)
    assert sleeps[:3] == [MINUTE, 2 * MINUTE, 4 * MINUTE]
    assert sleeps[-1] == LONGEST_SLEEP_MS
    assert after_delivery(health, NOW, succeeded=True) == WELL


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_48_the_public_internet_may_be_reached(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    """
    127.0.0.1 127.9.9.9 0.0.0.0 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.100.100.200 192.0.0.192 198.18.0.1
    192.0.2.1 224.0.0.1 255.255.255.255 240.0.0.1 :: ::1 ::ffff:127.0.0.1 ::ffff:10.1.2.3 ::127.0.0.1
    64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2001:0:1::1 fd00:ec2::254 fe80::1 fe80::1%lo fec0::1 ff02::1
    2001:db8::1 a.example 127.1 0x7f000001
    """.split(),  # noqa: SIM905 - one a line would be a page
)
def test_48_nothing_else_may(address: str) -> None:
    assert not is_public(address)
