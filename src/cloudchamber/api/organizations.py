"""Organizations. There are none yet; clients ask for the list when they choose where to make a product."""

from typing import Any

from cloudchamber.access.model import Account, Action
from cloudchamber.access.requester import Bearer
from cloudchamber.access.service import require
from cloudchamber.api.call import Call


class OrganizationsResource:
    async def list_own(self, _call: Call, requester: Bearer) -> Any:
        require(requester, Action.ORGANIZATIONS_LIST, Account())
        return {"organizations": []}
