"""The sections, in the order of the navigation. A new one is a line here; see the package's docstring."""

from typing import Final

from cloudchamber.api.routes import Route
from cloudchamber.console import (
    authentication,
    customers,
    device,
    devices,
    entrance,
    events,
    firmware,
    health,
    home,
    imports,
    integrations,
    organization,
    settings,
    team,
    tokens,
)
from cloudchamber.console.section import Section

SECTIONS: Final[tuple[Section, ...]] = (
    home.SECTION,
    organization.SECTION,
    home.OVERVIEW,
    organization.OVERVIEW,
    health.SECTION,
    devices.SECTION,
    device.SECTION,
    imports.SECTION,
    customers.SECTION,
    events.SECTION,
    integrations.SECTION,
    firmware.SECTION,
    authentication.SECTION,
    team.SECTION,
    settings.SECTION,
    organization.SETTINGS,
    tokens.SECTION,
)

ROUTES: Final[tuple[Route, ...]] = (*entrance.ROUTES, *(row for section in SECTIONS for row in section.routes))
