"""The pages' own files."""

from typing import Any

import falcon

from cloudchamber.api.call import Call
from cloudchamber.api.pages.shell import Shell


class AssetPages:
    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def asset(self, call: Call) -> Any:
        found = self._shell.asset(call.params["name"])
        if found is None:
            raise falcon.HTTPNotFound
        return found
