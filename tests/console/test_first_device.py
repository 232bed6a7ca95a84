"""A new product's empty list says how a device comes into it, and so it does."""

import asyncio
import html
import re
import shlex
from pathlib import Path

from cloudchamber.console.frame import SIGN_IN
from cloudchamber.testing import Cloud
from tests.pages.browser import Browser
from tests.processes import cloudchamber
from tests.whole.story import PASSWORD, Story


async def test_the_command_of_an_empty_list_brings_a_device(tmp_path: Path) -> None:
    async with Cloud(rate_limits="off") as cloud, Story(cloud) as story, Browser(cloud.url) as browser:
        product = await story.product(await story.user(), platform_id=13)
        await browser.submit(await browser.get(SIGN_IN), username="maker@example.com", password=PASSWORD)
        devices = f"/console/products/{product.id}/devices"
        page = await browser.get(devices)
        found = re.search(r'<code id="simulate">(.*?)</code>', page.text)
        assert found
        program, *words = shlex.split(html.unescape(found[1]))
        assert program == "cloudchamber"
        with cloudchamber.start(*words, "--data", str(cloud.data), "--keys", str(tmp_path)) as running:
            await asyncio.to_thread(running.wait_for, "online")
            page = await browser.get(devices)
            assert "1 device " in page.text
            assert "quarantine" in page.text
            device = next(link for link in page.links() if re.search("/devices/[0-9a-f]{24}$", link))
            page = await browser.get(device)
            approve = next(i for i, form in enumerate(page.forms()) if form.action.endswith("/approve"))
            page = await browser.submit(page, form=approve)
            assert "It may take part now." in page.text
            assert "Boron" in page.text
            read = next(i for i, form in enumerate(page.forms()) if form.action.endswith("/read"))
            page = await browser.submit(page, form=read)
            assert '<output class="good">' in page.text
