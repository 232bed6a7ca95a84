"""`cloudchamber demo`, as `make demo` runs it."""

import re

from tests.pages.browser import Browser
from tests.processes import cloudchamber

ANYWHERE = [word for listener in ("--http", "--tcp", "--udp") for word in (listener, "127.0.0.1:0")]


def test_the_demo_walks_the_story_and_ends() -> None:
    ran = cloudchamber.run("demo", "--once", *ANYWHERE, timeout_s=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "$ curl http://127.0.0.1:" in ran.stdout
    assert '"cmd":"VarReturn","name":"counter"' in ran.stdout
    assert "testEventHandler called testing!" in ran.stdout
    assert "Every answer was as it should be." in ran.stdout


async def test_a_newcomer_gets_from_the_demo_to_a_variable_on_screen() -> None:
    """By what the demo prints, and nothing else."""
    with cloudchamber.start("demo", *ANYWHERE) as demo:
        console = demo.wait_for("/console", 60).strip()
        found = re.search(r"e-mail (\S+), password (\S+)", demo.wait_for("e-mail"))
        assert found
        demo.wait_for("curl -N")
        device = next(line.strip() for line in demo.lines if "/console/products/" in line)
        async with Browser(console.removesuffix("/console")) as browser:
            page = await browser.get(device)
            page = await browser.submit(page, username=found[1], password=found[2])
            assert page.url == device
            read = next(i for i, form in enumerate(page.forms()) if form.fields.get("name") == "counter")
            page = await browser.submit(page, form=read)
        assert re.search(r"<output class=\"good\">\d+ <span", page.text)
        assert demo.stop() == 0
