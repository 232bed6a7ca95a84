"""When a device is asked to describe itself, and when again."""

from cloudchamber.wire.describe import Application, Part, Parts, build_application, parse_untrusted
from cloudchamber.wire.messages import Hello, HelloFlag
from cloudchamber.wire.session.describing import LOOK_AGAIN_S, Describing
from cloudchamber.wire.transport import Transport
from cloudchamber.wire.values import VariableType

OLD = Hello(6, 1, flags=0x06, platform_id=6)
POSTS = Hello(6, 1, flags=HelloFlag.DEVICE_INITIATED_DESCRIBE, platform_id=6)
SYSTEM = {"m": []}
EMPTY, FULL = Application(), Application(("brew",), {})


def asked_and_empty(hello: Hello = OLD) -> Describing:
    describing = Describing(hello, Transport.TCP, 0.0)
    describing.add(Parts(None, SYSTEM), 0.0)
    described = describing.add(Parts(EMPTY, None), 0.0)
    assert described is not None
    assert described.functions == ()
    return describing


def test_a_device_whose_setup_has_not_run_is_asked_again() -> None:
    describing = asked_and_empty()
    assert describing.ask_at == LOOK_AGAIN_S[0]
    assert describing.next_part(0.5) is None
    assert describing.next_part(1.0) is Part.APPLICATION
    described = describing.add(Parts(FULL, None), 1.1)
    assert described is not None
    assert described.functions == ("brew",)
    assert describing.ask_at is None


def test_a_device_that_has_nothing_to_say_is_left_alone_in_the_end() -> None:
    describing = asked_and_empty()
    now, asked = 0.0, 0
    while describing.ask_at is not None:
        now = describing.ask_at
        if describing.next_part(now) is Part.APPLICATION:
            asked += 1
            describing.add(Parts(EMPTY, None), now)
        assert asked <= len(LOOK_AGAIN_S)
    assert asked >= 2
    assert now <= sum(LOOK_AGAIN_S)


def test_an_answer_that_does_not_come_is_left_to_the_next_look() -> None:
    describing = asked_and_empty()
    assert describing.next_part(1.0) is Part.APPLICATION
    assert describing.ask_at == 1.0 + LOOK_AGAIN_S[1]
    assert describing.next_part(5.0) is Part.APPLICATION


def test_a_device_that_posts_by_itself_is_believed() -> None:
    assert asked_and_empty(POSTS).ask_at is None


def test_of_the_system_part_a_digest_is_enough() -> None:
    describing = Describing(POSTS, Transport.UDP, 0.0)
    assert describing.add(Parts(EMPTY, None), 0.0) is None
    described = describing.add(Parts(None, SYSTEM), 0.0)
    assert described is not None
    assert described.system == {"p": 6, "m": []}
    assert describing.add(Parts(EMPTY, SYSTEM), 1.0) is None, "all of it is known"
    known = describing.complete
    for again in (describing, Describing(POSTS, Transport.UDP, 2.0)):
        assert known is not None
        again.know(known)
        changed = again.add(Parts(FULL, None), 2.0)
        assert changed is not None
        assert (changed.functions, changed.system) == (("brew",), None), "the application alone changed"
        updated = again.add(Parts(None, {"m": [], "imei": "1"}), 3.0)
        assert updated is not None
        assert updated.system == {"p": 6, "m": [], "imei": "1"}


def test_devices_of_one_firmware_share_what_it_can_do() -> None:
    posted = build_application(Application(("brew",), {"x": VariableType.INT}))
    first, second = parse_untrusted(posted), parse_untrusted(posted)
    assert first.application is second.application is not None
