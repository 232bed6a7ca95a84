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

GROUPS: Final[dict[str, dict[str, str]]] = {
    "HTTP, beside oidc-provider, Fastify, Node, nginx, django-oauth-toolkit, Authlib, spark-server": {
        "tokens": "durable tokens of customers and clients",
        "bearer": "token-checked GET of a device",
        "list": "token-checked GET of 25 devices",
        "introspection": "token introspection (RFC 7662)",
    },
    "HTTP, beside a bare ASGI application": {
        "token": "a client's token",
        "devices": "GET of one's devices",
        "device": "GET of a device",
        "variable": "a variable of a device over TCP",
    },
    "Devices over TCP, beside spark-server": {
        "tcp-handshakes": "Photon handshakes for a core, beside the RSA limit",
        "storm": "10,000 Photons at once after a restart",
        "device-reads": "variables read through devices, over TCP and UDP",
        "device-calls": "functions called through devices, over TCP and UDP",
        "tcp-memory": "memory of 10,000 connected Photons",
    },
    "Devices over UDP, beside a bare echo": {
        "handshakes": "DTLS handshakes",
        "exchange": "confirmable events and their acknowledgements",
        "sessions": "memory of 10,000 sessions",
        "flood": "50,000 hellos of strangers",
    },
    "Events, beside mosquitto, NATS, Node, spark-server": {
        "fanout": "deliveries to 1, 100 and 1,000 listeners",
        "events-in": "events of devices, with and without a webhook that waits for them",
        "webhooks": "events out to webhooks",
    },
    "Life of a cloud": {
        "start": "cold start with 100,000 devices, beside the HTTP peers",
        "idle": "idle memory, beside the HTTP peers",
        "under-flood": "everybody's latencies under a flood of log-ins",
        "growth-devices": "costs with 100 to 100,000 devices on record",
        "growth-connected": "costs and memory with 100 to 10,000 devices connected",
        "growth-tokens": "costs with 10,000 to a million tokens on record",
    },
}
"""What each NAME is, as `--help` has it."""
