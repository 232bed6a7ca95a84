"""Every compatibility switch is told of and counted."""

import dataclasses
import re
from pathlib import Path

import pytest

from cloudchamber.settings import Compat

ROOT = Path(__file__).parents[2]
SWITCHES = [item.name for item in dataclasses.fields(Compat)]
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "cloudchamber").rglob("*.py"))
TABLE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8").partition("## Switches")[2]


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_says_what_breaks_without_it(switch: str) -> None:
    assert re.search(rf"^\| `{switch}` \| .{{20,}} \|$", TABLE, flags=re.MULTILINE)


@pytest.mark.parametrize("switch", SWITCHES)
def test_the_uses_of_a_switch_are_counted(switch: str) -> None:
    assert re.search(rf'compat_uses\["{switch}"\] \+= ', SOURCE)
