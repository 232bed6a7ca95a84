"""The console as a part of the HTTP server: its rows, and the handlers that they name, each behind its row's guard."""

from types import SimpleNamespace

from cloudchamber.api.app import Part
from cloudchamber.api.faults import FailurePages
from cloudchamber.api.routes import Console
from cloudchamber.api.services import Services
from cloudchamber.console.entrance import Entrance
from cloudchamber.console.frame import Frame
from cloudchamber.console.section import PREFIX
from cloudchamber.console.sections import ROUTES, SECTIONS


def console_part(services: Services) -> Part:
    frame = Frame(services, SECTIONS)
    pages: dict[str, object] = {f"console_{section.key}": section.make(frame) for section in SECTIONS}
    pages["console_entrance"] = Entrance(frame)
    objects: dict[str, SimpleNamespace] = {}
    for row in ROUTES:
        owner, _, name = row.handler.partition(".")
        handler = getattr(pages[owner], name)
        if isinstance(row.access, Console):
            handler = frame.guarded(row, row.access, handler)
        namespace = objects.setdefault(owner, SimpleNamespace())
        assert not hasattr(namespace, name), f"{row.handler} stands in two rows, which may take two actions"
        setattr(namespace, name, handler)
    return Part(ROUTES, objects, frame.stop, FailurePages(PREFIX, frame.failed))
