"""Application firmware of virtual devices, as a user would flash it: functions, variables, subscriptions.

Pure: a firmware acts through its `Board` and is handed the time. A function that takes its time says so by its result.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from cloudchamber.wire.describe import Application
from cloudchamber.wire.messages import Subscription
from cloudchamber.wire.update.module import build_module, content_of
from cloudchamber.wire.values import Value, VariableType


class Board(Protocol):
    """What firmware runs on."""

    @property
    def id(self) -> str: ...

    def publish(self, name: str, data: str | None, *, is_private: bool = True) -> bool:
        """False when the device publishes too fast: four at once, then one a second."""
        ...

    def println(self, line: str) -> None:
        """The serial port."""
        ...


@dataclass(frozen=True, slots=True)
class Later:
    """The function returns `value` after `delay_s` seconds."""

    delay_s: float
    value: int


Function = Callable[[str, float], int | Later]
Variable = tuple[VariableType, Callable[[float], Value]]


class Firmware:
    """By itself no application at all: what a device in safe mode runs.

    `now` is monotonic, in float seconds. What a function raises is a crash: the caller gets -1, the log the cause.
    """

    subscriptions: tuple[Subscription, ...] = ()
    tick_s: float | None = None
    """How often `tick` is to be called while the device is connected."""

    def __init__(self, board: Board, now: float) -> None:
        self.board = board
        self.booted_at = now

    @property
    def functions(self) -> Mapping[str, Function]:
        return {}

    @property
    def variables(self) -> Mapping[str, Variable]:
        return {}

    def heard(self, name: str, data: str) -> None:
        """An event that one of the subscriptions wants."""

    def tick(self, now: float) -> None: ...

    @property
    def application(self) -> Application:
        return Application(tuple(self.functions), {name: kind for name, (kind, _) in self.variables.items()})

    def call(self, name: str, argument: str, now: float) -> int | Later:
        return self.functions[name](argument, now)

    def read(self, name: str, now: float) -> Value | None:
        variable = self.variables.get(name)
        return None if variable is None else variable[1](now)


class Tinker(Firmware):
    """The firmware that devices are sold with: pins `D0` to `D7` and `A0` to `A7`, read and written from afar.

    Every function returns -1 for a pin that does not exist, and -2 for a value that makes no sense.
    """

    _PIN = re.compile(r"([AD][0-7])[ ,:=]*(\w*)")

    def __init__(self, board: Board, now: float) -> None:
        super().__init__(board, now)
        self._pins: dict[str, int] = {}

    @property
    def functions(self) -> Mapping[str, Function]:
        return {
            "digitalread": self._digital_read,
            "digitalwrite": self._digital_write,
            "analogread": self._analog_read,
            "analogwrite": self._analog_write,
        }

    def _parse(self, argument: str) -> tuple[str, str]:
        found = self._PIN.fullmatch(argument.strip().upper())
        return (found[1], found[2]) if found else ("", "")

    def _digital_read(self, argument: str, _now: float) -> int:
        pin, _ = self._parse(argument)
        return int(self._pins.get(pin, 0) > 0) if pin else -1

    def _digital_write(self, argument: str, _now: float) -> int:
        pin, level = self._parse(argument)
        if not pin:
            return -1
        if level not in ("HIGH", "LOW"):
            return -2
        self._pins[pin] = 4095 if level == "HIGH" else 0
        return 1

    def _analog_read(self, argument: str, _now: float) -> int:
        pin, _ = self._parse(argument)
        return self._pins.get(pin, 0) if pin else -1

    def _analog_write(self, argument: str, _now: float) -> int:
        pin, level = self._parse(argument)
        if not pin:
            return -1
        if not level.isdecimal() or int(level) > 4095:
            return -2
        self._pins[pin] = int(level)
        return 1


class Counter(Firmware):
    """Something of everything: variables of all four types; functions that succeed, fail, crash and dawdle; events both
    ways."""

    subscriptions = (Subscription("testEvent", own_devices=True),)
    tick_s = 60.0
    max_slow_s = 3600.0

    def __init__(self, board: Board, now: float) -> None:
        super().__init__(board, now)
        self._lights: set[str] = set()

    @property
    def functions(self) -> Mapping[str, Function]:
        return {
            "lightsOn": self._lights_on,
            "brew": self._brew,
            "fail": self._fail,
            "explode": self._explode,
            "slow": self._slow,
            "publish": self._publish,
        }

    @property
    def variables(self) -> Mapping[str, Variable]:
        return {
            "counter": (VariableType.INT, self._count),
            "temperature": (VariableType.DOUBLE, lambda now: 20.0 + self._count(now) % 50 / 10),
            "motd": (VariableType.STRING, lambda _now: "hello from a virtual device"),
            "flag": (VariableType.BOOL, lambda _now: bool(self._lights)),
        }

    def _count(self, now: float) -> int:
        return int(now - self.booted_at)

    def heard(self, name: str, data: str) -> None:
        self.board.println(f"testEventHandler called {data}")

    def tick(self, now: float) -> None:
        self.board.publish("tick", str(self._count(now)))

    def _lights_on(self, room: str, _now: float) -> int:
        """Switches the light of a room on; how many are on then."""
        self._lights.add(room)
        return len(self._lights)

    def _brew(self, argument: str, _now: float) -> int:
        """The argument as a number; -1 when it is none."""
        try:
            return int(argument)
        except ValueError:
            return -1

    def _fail(self, _argument: str, _now: float) -> int:
        return -42

    def _explode(self, argument: str, _now: float) -> int:
        raise RuntimeError(f"asked to explode with {argument!r}")

    def _slow(self, argument: str, _now: float) -> int | Later:
        """Takes so many seconds; returns them in milliseconds, or -1 for what is no time."""
        try:
            seconds = float(argument)
        except ValueError:
            return -1
        return Later(seconds, int(seconds * 1000)) if 0 <= seconds <= self.max_slow_s else -1

    def _publish(self, argument: str, _now: float) -> int:
        """`name=data`, or `name` alone; privately, and in public with a `!` in front. 0 when it went out."""
        is_private = not argument.startswith("!")
        name, has_data, data = argument.lstrip("!").partition("=")
        return 0 if name and self.board.publish(name, data if has_data else None, is_private=is_private) else -1


class Asking(Firmware):
    """Asks the world by webhook: `ask` publishes its argument as the event `ask`, and answers go to the serial port.

    It listens to the answers of a product's hook, which are for this device alone, and to those of a user's hook.
    """

    def __init__(self, board: Board, now: float) -> None:
        super().__init__(board, now)
        topics = (f"{board.id}/hook-response/", f"{board.id}/hook-error/", "hook-response/", "hook-error/")
        self.subscriptions = tuple(Subscription(topic, own_devices=True) for topic in topics)

    @property
    def functions(self) -> Mapping[str, Function]:
        return {"ask": lambda argument, _now: 0 if self.board.publish("ask", argument) else -1}

    def heard(self, name: str, data: str) -> None:
        self.board.println(f"{name} {data}")


FIRMWARE: Mapping[str, type[Firmware]] = MappingProxyType({"counter": Counter, "tinker": Tinker, "asking": Asking})


_IN_MODULE = b"cloudchamber:"


def as_module(
    name: str, *, platform_id: int, product_id: int | None, product_version: int | None, size: int = 0
) -> bytes:
    """A firmware file (`.bin`) that a virtual device takes, and that makes it run `FIRMWARE[name]`. At least `size`
    bytes long."""
    content = _IN_MODULE + name.encode() + b"\n"
    filler = b"".join(
        hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(max(0, size - len(content) + 31) // 32)
    )
    return build_module(
        content + filler, platform_id=platform_id, product_id=product_id, product_version=product_version
    )


def in_module(data: bytes) -> type[Firmware] | None:
    """The firmware that a file names; None for what no virtual device can run, a real one's above all."""
    marker, _, rest = content_of(data).partition(b":")
    name = rest.partition(b"\n")[0].decode("ascii", "replace")
    return FIRMWARE.get(name) if marker + b":" == _IN_MODULE else None


class PublishLimit:
    """The rate limit inside the device: four events at once, then one a second."""

    BURST = 4

    def __init__(self) -> None:
        self._tokens = float(self.BURST)
        self._at = 0.0

    def allow(self, now: float) -> bool:
        self._tokens = min(self.BURST, self._tokens + max(now - self._at, 0.0))
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
