"""A real browser: the system's Chromium, driven by Playwright. Screenshots are kept in `test-artefacts/`."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "test-artefacts"
AXE = (ROOT / "tests/peers/node_modules/axe-core/axe.min.js").read_text()
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
# It asks the network for things of its own otherwise; as root it needs the sandbox off.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "no Chromium on the PATH: `make setup-dev` installs it, or name one in CHROMIUM"
    return found


@pytest.fixture
async def chrome() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(params=["desktop", "phone"])
def screen(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def page(chrome: Browser, screen: str) -> AsyncIterator[Page]:
    """A fresh page; what its console complains of fails the test."""
    phone = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2}
    options: dict[str, Any] = {"viewport": PHONE, **phone} if screen == "phone" else {"viewport": DESKTOP}
    context = await chrome.new_context(**options)
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.complaints = complaints  # type: ignore[attr-defined]
    yield opened
    await context.close()
    assert complaints == []


async def check(page: Page, name: str) -> None:
    """Accessible, no wider than the screen, and kept as a picture."""
    ARTEFACTS.mkdir(exist_ok=True)
    width = page.viewport_size["width"]  # type: ignore[index]
    # What sticks to the top of the screen would stand in the middle of the picture.
    await page.evaluate("scrollTo(0, 0)")
    await page.screenshot(path=ARTEFACTS / f"{name}-{width}.png", full_page=True)
    overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{name} is {overflow} px wider than the screen"
    # Not by a script tag: the pages' policy allows none.
    found = await page.evaluate(f"async () => {{ {AXE}; return await axe.run({{resultTypes: ['violations']}}); }}")
    serious = [
        f"{violation['id']}: {violation['help']} {[node['html'] for node in violation['nodes']][:3]}"
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
    ]
    assert serious == [], name
