"""Bytes that real firmware sent or was tested with. Data only."""

import json
from pathlib import Path
from typing import Any


def load(name: str) -> Any:
    return json.loads((Path(__file__).parent / name).read_text())
