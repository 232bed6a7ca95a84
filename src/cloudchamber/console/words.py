"""How pages write times and numbers. Pure."""

from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from cloudchamber.clock import DAY, HOUR, MINUTE, Millis, iso

_UNITS: Final = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"))


def ago(at: Millis, now: Millis) -> str:
    """`3 minutes ago`; the date for what is more than a month away."""
    passed = now - at
    if abs(passed) < MINUTE:
        return "just now" if passed >= 0 else "in a moment"
    if abs(passed) > 30 * DAY:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%d %b %Y")
    length, unit = next((length, unit) for length, unit in _UNITS if abs(passed) >= length)
    count = abs(passed) // length
    text = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{text} ago" if passed > 0 else f"in {text}"


def time_tag(at: Millis | None, now: Millis, never: str = "never") -> Markup:
    """A `<time>` that reads as `ago` does, and tells the exact time to whoever points at it."""
    if at is None:
        return Markup('<span class="muted">{}</span>').format(never)
    exact = datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso(at), exact, ago(at, now))


def clock_tag(at: Millis) -> Markup:
    """A `<time>` with the time of the day alone, in UTC, for what has just happened and stays on the page."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    exact = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso(at), exact, moment.strftime("%H:%M:%S"))


# What Device OS tells where a firmware was built for no product.
_NO_VERSION: Final = 0xFFFF


def version(number: int | None) -> Markup:
    """A product firmware's version; a device may run what is none."""
    if number is None or number == _NO_VERSION:
        return Markup('<span class="muted">{}</span>').format("" if number is None else "not a product's")
    return Markup("{}").format(number)


def grouped(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 device`, `12,345 devices`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
