"""Carries deliveries out: a shell around `rules`, `requests` and `responses`.

One lane a host. A lane sends a few requests at a time and keeps the rest waiting, and all lanes together are bounded,
in turns: a host that never answers holds up its own deliveries, not another's. What memory does not hold waits in the
table, and is fetched when there is room.
"""

import asyncio
import heapq
import logging
import random
from collections import Counter, deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from cloudchamber.clock import Clock, Millis
from cloudchamber.errors import CloudError
from cloudchamber.messaging.events import Events
from cloudchamber.messaging.model import Event
from cloudchamber.webhooks.deliveries import Deliveries
from cloudchamber.webhooks.errors import WebhookInvalid
from cloudchamber.webhooks.model import Delivery, Failed, HookRequest, Outcome, Webhook
from cloudchamber.webhooks.requests import build
from cloudchamber.webhooks.responses import events_of, response_text, shown_request, shown_response
from cloudchamber.webhooks.rules import TryAgain, after_attempt, error_text, is_success
from cloudchamber.webhooks.sending import Sends

# One host gets a few requests at a time, as a browser would send; a maker's server often has one process.
MAX_RUNNING_PER_HOST: Final = 8
MAX_RUNNING: Final = 64
# Ended, and not on record: the next requests need not wait for the disk, but one that is stuck must not have answers of
# 100 KB pile up in memory, nor many deliveries to be made again.
MAX_ENDING: Final = 64
# In memory, waiting and running; an event and its names take about a kilobyte. What is more stays in the table.
MAX_HELD: Final = 5_000
# So that one whose host is slow leaves room for the others.
MAX_HELD_PER_HOOK: Final = 500
_FLUSH_INTERVAL_S: Final = 2.0
_STOP_S: Final = 2.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lane:
    waiting: "deque[tuple[Delivery, Webhook, HookRequest]]" = field(default_factory=deque)
    running: int = 0
    has_turn: bool = False


class Worker:
    def __init__(self, deliveries: Deliveries, sender: Sends, events: Events, clock: Clock) -> None:
        self._deliveries = deliveries
        self._sender = sender
        self._events = events
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}
        self._turns: deque[str] = deque()
        self._later: list[tuple[int, str, Delivery]] = []
        self._held: set[str] = set()
        self._held_of: Counter[str] = Counter()
        # Hooks of which the table has more than memory: those first whose turn it is.
        self._more: dict[str, None] = {}
        # Those of which something was left in the table since it was read last.
        self._left: set[str] = set()
        # Those that ended while the table was read: what was read of them is old.
        self._ended_meanwhile: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._refilling: asyncio.Task[None] | None = None
        self._ending = 0
        self._room = asyncio.Event()
        self._stopped = False
        # Not for secrets: it spreads retries.
        self._random = random.Random()  # noqa: S311
        deliveries.due = self.take

    @property
    def held(self) -> int:
        """Deliveries in memory."""
        return len(self._held)

    async def start(self) -> None:
        """Raises CloudError."""
        self._more = dict.fromkeys(await self._deliveries.start())
        self._refill_soon()
        self._flushing = asyncio.create_task(self._flush())

    async def stop(self) -> None:
        """Requests on their way get a moment; what did not end is made again after the next start."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._flushing, self._refilling):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._running:
            await asyncio.wait(self._running, timeout=_STOP_S)
        for running in tuple(self._running):
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        try:
            await self._deliveries.settle()
        except CloudError:
            _log.warning("the counters of webhooks could not be kept", exc_info=True)
        await self._sender.close()

    def take(self, deliveries: Iterable[Delivery]) -> None:
        """Those on record, due now or later. What memory has no room for stays there, and all that comes after it."""
        now = self._clock.now()
        for delivery in deliveries:
            if delivery.id in self._held:
                continue
            hook = delivery.hook
            if hook in self._more or self._held_of[hook] >= MAX_HELD_PER_HOOK or len(self._held) >= MAX_HELD:
                self._more[hook] = None
                self._left.add(hook)
                continue
            self._held.add(delivery.id)
            self._held_of[hook] += 1
            if delivery.next_at > now:
                heapq.heappush(self._later, (delivery.next_at, delivery.id, delivery))
            else:
                self._enqueue(delivery)
        self._set_timer()
        self._run_lanes()

    async def try_now(self, hook: Webhook, event: Event) -> tuple[bool, str]:
        """One request as `event` would cause it, outside of the queue: whether it worked, and what a device would be
        told."""
        try:
            outcome = await self._sender.send(build(hook, event, "test"))
        except WebhookInvalid as error:
            return False, error.message
        if is_success(outcome):
            assert not isinstance(outcome, Failed), "only an answer is a success"
            return True, response_text(hook, event, "test", outcome)
        return False, error_text(outcome)

    # -- lanes --------------------------------------------------------------------------------------------------------

    def _enqueue(self, delivery: Delivery) -> None:
        hook = self._deliveries.hook(delivery.hook)
        if hook is None:
            self._let_go(delivery)
            self._deliveries.forget(delivery.hook)
            return
        try:
            request = build(hook, delivery.event, delivery.id)
        except WebhookInvalid as error:
            self._end(delivery, hook, None, Failed(error.message, is_final=True))
            return
        host = urlsplit(request.url).netloc.rpartition("@")[2].lower()
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = _Lane()
        if not lane.has_turn:
            lane.has_turn = True
            self._turns.append(host)
        lane.waiting.append((delivery, hook, request))

    def _run_lanes(self) -> None:
        """Starts what may start: hosts take turns, and one that has its share running loses its turn."""
        for _ in range(len(self._turns)):
            if self._stopped or len(self._running) >= MAX_RUNNING:
                return
            host = self._turns.popleft()
            lane = self._lanes[host]
            while lane.waiting and lane.running < MAX_RUNNING_PER_HOST and len(self._running) < MAX_RUNNING:
                lane.running += 1
                self._start(self._send(host, lane, *lane.waiting.popleft()))
            if lane.waiting:
                self._turns.append(host)
            else:
                lane.has_turn = False
                self._drop_idle(host, lane)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a webhook's delivery broke off", exc_info=error)
        self._run_lanes()
        self._refill_soon()

    def _refill_soon(self) -> None:
        if self._more and self._refilling is None and not self._stopped and self._next_to_refill() is not None:
            self._refilling = asyncio.get_running_loop().create_task(self._refill())

    def _next_to_refill(self) -> str | None:
        """A hook of which half has gone, or none while memory has no room."""
        if len(self._held) > MAX_HELD - MAX_HELD_PER_HOOK // 2:
            return None
        return next((hook for hook in self._more if self._held_of[hook] <= MAX_HELD_PER_HOOK // 2), None)

    async def _refill(self) -> None:
        try:
            while (hook := self._next_to_refill()) is not None:
                self._ended_meanwhile.clear()
                self._left.discard(hook)
                found = await self._deliveries.load(hook, MAX_HELD_PER_HOOK)
                del self._more[hook]
                self.take(delivery for delivery in found if delivery.id not in self._ended_meanwhile)
                if len(found) == MAX_HELD_PER_HOOK or hook in self._left:
                    self._more[hook] = None
                if self._deliveries.hook(hook) is None:
                    self._deliveries.forget(hook)
        except CloudError:
            _log.warning("waiting webhooks could not be read", exc_info=True)
        finally:
            self._refilling = None

    async def _send(self, host: str, lane: _Lane, delivery: Delivery, hook: Webhook, request: HookRequest) -> None:
        """One after the other, until a host without any request under way may want this one's place."""
        try:
            while True:
                try:
                    outcome = await self._sender.send(request)
                except Exception:
                    _log.exception("a webhook's request could not be sent")
                    outcome = Failed("the request could not be sent")
                self._end(delivery, hook, request, outcome)
                while self._ending > MAX_ENDING:
                    self._room.clear()
                    await self._room.wait()
                self._refill_soon()
                if not lane.waiting or self._stopped or len(self._running) >= MAX_RUNNING:
                    return
                delivery, hook, request = lane.waiting.popleft()
        finally:
            lane.running -= 1
            self._drop_idle(host, lane)

    def _drop_idle(self, host: str, lane: _Lane) -> None:
        if not lane.running and not lane.has_turn and self._lanes.get(host) is lane:
            del self._lanes[host]

    def _end(self, delivery: Delivery, hook: Webhook, request: HookRequest | None, outcome: Outcome) -> None:
        """Of an attempt."""
        verdict = after_attempt(delivery.attempts + 1, outcome, self._clock.now(), self._random.random())
        if isinstance(verdict, TryAgain):
            self._start(self._postpone(delivery, verdict.at))
            return
        self._ending += 1
        self._deliveries.finish(
            delivery,
            succeeded=is_success(outcome),
            request="" if request is None else shown_request(request),
            response=shown_response(outcome),
            ended=partial(self._tell, delivery, hook, outcome),
        )

    async def _postpone(self, delivery: Delivery, at: Millis) -> None:
        try:
            postponed = await self._deliveries.postpone(delivery, at)
        except CloudError:
            _log.warning("that a webhook's delivery is tried again could not be kept", exc_info=True)
            postponed = replace(delivery, attempts=delivery.attempts + 1, next_at=at)
        heapq.heappush(self._later, (postponed.next_at, postponed.id, postponed))
        self._set_timer()

    def _tell(self, delivery: Delivery, hook: Webhook, outcome: Outcome, error: Exception | None) -> None:
        """Whoever waits for the answer."""
        self._ending -= 1
        self._room.set()
        if error is not None:
            # It stays in the table as pending, so the next start makes it again.
            _log.warning("what became of a webhook's delivery could not be kept", exc_info=error)
        self._let_go(delivery)
        self._refill_soon()
        for name, data in events_of(hook, delivery.event, delivery.id, outcome):
            # A user's hook speaks to the user's devices, a product's to the product's, whoever owns them.
            is_users = hook.owner_kind == "user"
            self._events.tell(
                name,
                data,
                owner=delivery.event.owner if is_users else None,
                product=None if is_users else delivery.event.product,
                organization=None if is_users else delivery.event.organization,
            )

    def _let_go(self, delivery: Delivery) -> None:
        if delivery.id in self._held:
            self._held.discard(delivery.id)
            self._held_of[delivery.hook] -= 1
            if not self._held_of[delivery.hook]:
                del self._held_of[delivery.hook]
        if self._refilling is not None:
            self._ended_meanwhile.add(delivery.id)

    # -- time ---------------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._later and not self._stopped:
            wait_s = max(0.0, (self._later[0][0] - self._clock.now()) / 1000)
            self._timer = asyncio.get_running_loop().call_later(min(wait_s, 60.0), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock.now()
        while self._later and self._later[0][0] <= now:
            self._enqueue(heapq.heappop(self._later)[2])
        self._set_timer()
        self._run_lanes()

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL_S)
            try:
                await self._deliveries.flush()
            except CloudError:
                _log.warning("the counters of webhooks could not be kept now", exc_info=True)
