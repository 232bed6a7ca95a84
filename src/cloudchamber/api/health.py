"""For load balancers and whoever runs the server."""

from typing import Any

from cloudchamber import __version__
from cloudchamber.api.call import Call
from cloudchamber.api.reply import Reply
from cloudchamber.api.services import Readiness


class HealthResource:
    def __init__(self, ready: Readiness) -> None:
        self._ready = ready

    async def live(self, _call: Call) -> Any:
        """The process answers."""
        return {"ok": True}

    async def ready(self, _call: Call) -> Any:
        """All that serving needs can be used; 503 with the parts that cannot."""
        parts = dict(await self._ready())
        is_ready = all(parts.values())
        return Reply({"ok": is_ready, **parts}, 200 if is_ready else 503)

    async def version(self, _call: Call) -> Any:
        return {"name": "cloudchamber", "version": __version__}
