"""What this server does not do yet: 501, and in words what it would be."""

from typing import Any, Final

from cloudchamber.access.requester import Bearer
from cloudchamber.api.call import Call
from cloudchamber.api.reply import Reply
from cloudchamber.api.routes.later import FAMILY

_SUMMARIES: Final = {(row.method, path): row.summary for row in FAMILY.routes for path in row.paths}


class LaterResource:
    async def answer(self, call: Call, requester: Bearer) -> Any:
        method = "GET" if call.req.method == "HEAD" else call.req.method
        summary = _SUMMARIES[method, call.req.uri_template or ""]
        return Reply({"ok": False, "error": f"Not available on this server yet. What it would do: {summary}"}, 501)
