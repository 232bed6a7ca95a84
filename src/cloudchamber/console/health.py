"""Fleet health: how a product's fleet did in the last hour, day and fortnight."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

from cloudchamber.access.model import Action
from cloudchamber.clock import DAY, HOUR, MINUTE, Millis
from cloudchamber.console.frame import Ask, Frame
from cloudchamber.console.plots import Kind, Series, ceiling, plot
from cloudchamber.console.section import PRODUCT, Nav, Section, page
from cloudchamber.statistics.model import Bucket, Metric
from cloudchamber.tally import Figure

ROUTES: Final = (
    page(f"{PRODUCT}/health", Action.METRICS_ONLINE_GET, "health.show", "Shows how a product's fleet did over time."),
)

_MOST_VERSIONS: Final = 12


@dataclass(frozen=True, slots=True)
class Range:
    """`each` is what a bucket is called, `moment` how its beginning is written."""

    key: str
    text: str
    span_ms: int
    bucket_s: int
    each: str
    moment: str


RANGES: Final = (
    Range("hour", "Last hour", HOUR, 60, "minute", "%H:%M"),
    Range("day", "Last day", DAY, 900, "quarter of an hour", "%a %H:%M"),
    Range("fortnight", "Last fortnight", 14 * DAY, 4 * 3600, "four hours", "%d %b %H:%M"),
)
_USUAL: Final = RANGES[1]


@dataclass(frozen=True, slots=True)
class Line:
    """A series of a plot: the sum of `figures`."""

    name: str
    kind: Kind
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """`unit` is what is counted. `is_rate`: by the minute, however long the buckets are. `link`: where more of it is
    to be seen, below the product, with its text and what it takes."""

    key: str
    title: str
    unit: str
    metrics: tuple[Metric, ...]
    lines: tuple[Line, ...]
    note: str = ""
    is_rate: bool = False
    link: tuple[str, str, Action] | None = None


CARDS: Final = (
    Card(
        "online",
        "Devices online",
        "devices",
        (Metric.ONLINE,),
        (Line("Online", "main", (Figure.ONLINE,)),),
        link=("devices", "Devices", Action.DEVICES_LIST),
    ),
    Card(
        "events",
        "Events per minute",
        "events a minute",
        (Metric.EVENTS,),
        (Line("From devices", "main", (Figure.EVENTS,)),),
        is_rate=True,
        link=("events", "Events as they happen", Action.EVENTS_GET),
    ),
    Card(
        "connections",
        "Connections",
        "connections",
        (Metric.CONNECTIONS,),
        (
            Line("Came online", "good", (Figure.CONNECTED,)),
            Line("Failed handshakes", "bad", (Figure.REFUSED,)),
        ),
        note="A handshake fails when somebody says to be a device of the product, and cannot prove its key, or when the"
        " device is denied.",
    ),
    Card(
        "calls",
        "Calls and reads",
        "calls and reads",
        (Metric.FUNCTIONS, Metric.VARIABLES),
        (
            Line("Answered", "good", (Figure.FUNCTIONS_OK, Figure.VARIABLES_OK)),
            Line("Device offline", "warn", (Figure.FUNCTIONS_OFFLINE, Figure.VARIABLES_OFFLINE)),
            Line("Failed", "bad", (Figure.FUNCTIONS_FAILED, Figure.VARIABLES_FAILED)),
        ),
    ),
    Card(
        "webhooks",
        "Webhooks",
        "deliveries",
        (Metric.INTEGRATIONS,),
        (
            Line("Delivered", "good", (Figure.HOOKS_OK,)),
            Line("Skipped", "warn", (Figure.HOOKS_SKIPPED,)),
            Line("Failed", "bad", (Figure.HOOKS_FAILED,)),
        ),
        link=("integrations", "Integrations", Action.INTEGRATIONS_LIST),
    ),
    Card(
        "tokens",
        "Use of tokens",
        "requests a minute",
        (Metric.TOKENS,),
        (Line("Requests", "main", (Figure.TOKENS,)),),
        note="Requests with tokens of the product's clients, customers and API users; not those of people in its team.",
        is_rate=True,
        link=("authentication", "Authentication", Action.CLIENTS_LIST),
    ),
)


@dataclass(frozen=True, slots=True)
class Told:
    """One series in words: its name, and what it came to."""

    name: str
    kind: Kind
    text: str
    is_bad: bool


@dataclass(frozen=True, slots=True)
class View:
    """A card as it is shown. `rows`: the beginning of a bucket and its numbers, of those that somebody looked in."""

    card: Card
    picture: Markup
    top: str
    half: str
    told: Sequence[Told]
    rows: Sequence[tuple[str, Sequence[str]]]


class HealthPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services

    async def show(self, ask: Ask) -> Any:
        product, requester = ask.the_product, ask.requester
        chosen = next((each for each in RANGES if each.key == ask.query.get("range")), _USUAL)
        cards = [card for card in CARDS if all(ask.may(metric.action) for metric in card.metrics)]
        now = self._services.clock.now()
        until = Millis(now - now % MINUTE)
        window = self._services.statistics.window(Millis(until - chosen.span_ms), until, chosen.bucket_s)
        metrics = {metric for card in cards for metric in card.metrics}
        course = await self._services.statistics.course(requester, product, window, *metrics)
        found = {bucket.at: bucket for bucket in course.buckets}
        times = [Millis(at) for at in range(window.since, window.until, window.size_ms)]
        buckets = [found.get(at) for at in times]
        online = len(self._services.presence.online_in(requester, product))
        versions = self._services.presence.versions_in(requester, product)
        listed = sorted(versions.items(), key=lambda each: (-each[1], -1 if each[0] is None else each[0]))
        return await self._frame.page(
            ask,
            "health.html",
            title="Fleet health",
            section="health",
            ranges=RANGES,
            chosen=chosen,
            views=[view(card, chosen, times, buckets) for card in cards] if found else [],
            ends=[_moment(at, chosen.moment) for at in (times[0], times[len(times) // 2], until)],
            gaps=sum(bucket is None for bucket in buckets),
            online=online,
            versions=listed[:_MOST_VERSIONS],
            others=sum(count for _, count in listed[_MOST_VERSIONS:]),
        )


def view(card: Card, chosen: Range, times: Sequence[Millis], buckets: Sequence[Bucket | None]) -> View:
    """Pure."""
    series = [Series(line.name, line.kind, [_value(card, line, bucket) for bucket in buckets]) for line in card.lines]
    told = [_told(card, line, each, buckets) for line, each in zip(card.lines, series, strict=True)]
    moments = [_moment(at, chosen.moment) for at in times]
    numbers = [[_number(each.values[index]) for each in series] for index in range(len(times))]
    seen = [bucket is not None for bucket in buckets]
    hints = [
        f"{moment}: " + (_hint(card, texts) if is_seen else "not known")
        for moment, texts, is_seen in zip(moments, numbers, seen, strict=True)
    ]
    title = f"{card.title}, {chosen.text.lower()}"
    described = ". ".join(f"{each.name}: {each.text}" for each in told) + f". One step is a {chosen.each}."
    top = ceiling(series)
    picture = plot(card.key, title, described, series, hints, level=Figure.ONLINE in card.lines[0].figures)
    rows = [(moment, texts) for moment, texts, is_seen in zip(moments, numbers, seen, strict=True) if is_seen]
    return View(card, picture, f"{top:,}", f"{top // 2:,}", told, rows)


def _value(card: Card, line: Line, bucket: Bucket | None) -> float | None:
    if bucket is None:
        return None
    value = sum(bucket.value(figure) for figure in line.figures)
    return value / bucket.minutes if card.is_rate else value


def _told(card: Card, line: Line, series: Series, buckets: Sequence[Bucket | None]) -> Told:
    seen = series.seen or [0]
    if Figure.ONLINE in line.figures:
        low, high = _number(min(seen)), _number(max(seen))
        text = f"always {low}" if low == high else f"from {low} to {high}, most recently {_number(seen[-1])}"
        return Told(line.name, line.kind, text, is_bad=False)
    total = sum(bucket.value(figure) for bucket in buckets if bucket is not None for figure in line.figures)
    text = f"{total:,}"
    if card.is_rate and total:
        text += f", at most {_number(max(seen))} a minute"
    return Told(line.name, line.kind, text, is_bad=line.kind == "bad" and total > 0)


def _hint(card: Card, texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return f"{texts[0]} {card.unit}"
    named = zip(texts, card.lines, strict=True)
    return ", ".join(f"{line.name} {text}" for text, line in named if text != "0") or "none"


def _number(value: float | None) -> str:
    """`12,345`; with one decimal where it is small and has some."""
    if value is None:
        return ""
    return f"{value:,.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"


def _moment(at: Millis, form: str) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime(form)


SECTION: Final = Section(
    "health", "Fleet health", Nav("product", "health", Action.METRICS_ONLINE_GET), ROUTES, HealthPages
)
