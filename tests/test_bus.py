import logging

from cloudchamber.bus.inprocess import InProcessBus


def test_subscribers_run_at_once_in_order_until_they_leave() -> None:
    bus, heard = InProcessBus(), []
    leave = bus.subscribe("s", lambda message: heard.append(("first", message)))
    bus.subscribe("s", lambda message: heard.append(("second", message)))
    bus.publish("s", 1)
    bus.publish("other", 2)
    leave()
    bus.publish("s", 3)
    assert heard == [("first", 1), ("second", 1), ("second", 3)]


def test_one_that_fails_keeps_nothing_from_the_others(caplog) -> None:
    bus, heard = InProcessBus(), []
    bus.subscribe("s", lambda message: message.nonsense)
    bus.subscribe("s", heard.append)
    with caplog.at_level(logging.ERROR):
        bus.publish("s", 1)
    assert heard == [1]
    assert "a subscriber of s failed" in caplog.text


def test_a_subscriber_may_leave_while_it_is_told() -> None:
    bus, heard = InProcessBus(), []
    leave = bus.subscribe("s", lambda _: leave())
    bus.subscribe("s", heard.append)
    bus.publish("s", 1)
    bus.publish("s", 2)
    assert heard == [1, 2]
