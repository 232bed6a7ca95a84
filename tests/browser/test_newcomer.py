"""From `make demo` to the variable of a customer's device on screen, by what the demo prints and the pages say."""

import re

from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.conftest import DESKTOP, PHONE, check
from tests.processes import cloudchamber

ANYWHERE = [word for listener in ("--http", "--tcp", "--udp") for word in (listener, "127.0.0.1:0")]
# Below the fields of the sign-in, nothing is further away.
MOST_TABS = 40


async def go_to(page: Page, target: Locator) -> None:
    """With the Tab key alone, seeing where one is."""
    for _ in range(MOST_TABS):
        await page.keyboard.press("Tab")
        if await target.evaluate("each => each === document.activeElement"):
            break
    await expect(target).to_be_focused()
    assert await target.evaluate("each => getComputedStyle(each).outlineStyle") != "none"


async def test_a_newcomer_gets_from_the_demo_to_a_variable_on_screen(chrome: Browser) -> None:
    with cloudchamber.start("demo", *ANYWHERE) as demo:
        demo.wait_for("curl -N", 90)
        said = "\n".join(demo.lines)
        console = re.search(r"^ +(http\S+)/console$", said, re.MULTILINE)
        name, password = (re.search(rf"^ +{each} +(\S+)$", said, re.MULTILINE) for each in ("e-mail", "password"))
        device = re.search(r"^ +(http\S+/console/products/\S+)$", said, re.MULTILINE)
        assert console
        assert name
        assert password
        assert device
        await by_keyboard(await chrome.new_page(viewport=DESKTOP), console[1], name[1], password[1])
        in_the_dark = {"viewport": PHONE, "color_scheme": "dark", "is_mobile": True, "has_touch": True}
        await by_phone(await chrome.new_page(**in_the_dark), device[1], name[1], password[1])
        assert demo.stop() == 0


async def by_keyboard(page: Page, server: str, name: str, password: str) -> None:
    """The server's bare address, and then the way that the demo tells."""
    await page.goto(server)
    await go_to(page, page.get_by_label("E-mail"))
    await page.keyboard.type(name)
    await go_to(page, page.get_by_label("Password"))
    await page.keyboard.type(password)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console")
    main = page.locator("main")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(main).to_be_focused()
    await go_to(page, main.get_by_role("link", name="Lamp"))
    await page.keyboard.press("Enter")
    await go_to(page, page.get_by_role("link", name="Customers"))
    await page.keyboard.press("Enter")
    await go_to(page, page.get_by_role("link", name="jane@example.com"))
    await page.keyboard.press("Enter")
    await go_to(page, main.get_by_role("link", name=re.compile("^e00f")).first)
    await page.keyboard.press("Enter")
    read = page.get_by_role("button", name="Read counter")
    await go_to(page, read)
    await page.keyboard.press("Enter")
    shown = page.locator("#variables output")
    await expect(shown).to_contain_text(re.compile(r"^\d+ \d+ ms$"))
    # The button that was pressed was swapped with the answer, and still one is on it.
    await expect(read).to_be_focused()
    before = await shown.inner_text()
    # It counts once a second, and a read takes a millisecond: two of them may well show the same.
    for _ in range(40):
        await page.keyboard.press("Enter")
        await page.wait_for_timeout(100)
        await expect(read).to_be_focused()
        if await shown.inner_text() != before:
            break
    await expect(shown).not_to_have_text(before)


async def by_phone(page: Page, device: str, name: str, password: str) -> None:
    """The short way: the address of a device."""
    await page.goto(device)
    await page.get_by_label("E-mail").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(device)
    await page.get_by_role("button", name="Read all").click()
    await expect(page.locator("#variables output")).to_have_count(4)
    # Without scrolling past forms that change the device.
    places = await page.get_by_role("heading", level=2).all_inner_texts()
    assert places[:3] == ["Device", "Variables", "Functions"]
    await check(page, "console-newcomer")
