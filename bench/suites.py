"""Everything that can be measured: which module measures what."""

from typing import Final, Protocol

from bench import benchmarks, beside, events, growth, life, tcp, udp, under_flood
from bench.report import Section
from bench.run import Run


class Suite(Protocol):
    @property
    def NAMES(self) -> tuple[str, ...]: ...  # noqa: N802 (a module's constant)

    def measure(self, name: str, run: Run) -> Section:
        """One of NAMES. Raises CannotStart, LoadFailed, httpx.HTTPError."""


_MODULES: Final[tuple[Suite, ...]] = (beside, benchmarks, udp, tcp, events, life, under_flood, growth)

SUITES: Final[dict[str, Suite]] = {name: module for module in _MODULES for name in module.NAMES}
