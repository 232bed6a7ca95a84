"""The page on which somebody allows an application to act for them: client, rights, devices, for how long."""

from cloudchamber.access.requester import UNLIMITED
from cloudchamber.api.pages.account import People
from cloudchamber.api.pages.permissions import permissions
from cloudchamber.api.pages.shell import Shell, Visit
from cloudchamber.api.pages.sign_in import Place
from cloudchamber.api.reply import Reply
from cloudchamber.fleet.service import Devices
from cloudchamber.oauth.model import Client, Principal, PrincipalKind

_MAX_NAMED_DEVICES = 10


class Consents:
    def __init__(self, shell: Shell, people: People, devices: Devices) -> None:
        self._shell = shell
        self._people = people
        self._devices = devices

    async def page(
        self,
        visit: Visit,
        place: Place,
        principal: Principal,
        scope: str | None,
        *,
        lifetime: str,
        return_host: str | None = None,
        form_target: str | None = None,
    ) -> Reply:
        records = await self._devices.mine(principal.requester(place.client.id, UNLIMITED, None))
        names = [record.name or record.id for record in records]
        return self._shell.page(
            visit,
            "consent.html",
            title=f"Allow {place.client.name}?",
            brand=place.realm.brand,
            form_target=form_target,
            action=place.action,
            client_name=place.client.name,
            username=await self._people.username(principal),
            permissions=permissions(scope or _own_scope(place.client, principal), principal),
            devices=names[:_MAX_NAMED_DEVICES],
            more_devices=max(0, len(names) - _MAX_NAMED_DEVICES),
            lifetime=lifetime,
            return_host=return_host,
        )


def _own_scope(client: Client, principal: Principal) -> str | None:
    """What a client is limited to limits users who act through it, and no customers (oauth/rules.py)."""
    return None if principal.kind is PrincipalKind.CUSTOMER else client.scope
