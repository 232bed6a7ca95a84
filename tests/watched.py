"""The command `cloudchamber` with the watch of tests/contract.py on the application that it makes:
`python -m tests.watched FILE WORDS...`. What the route table does not declare is a line each in FILE, at once."""

import sys
from pathlib import Path

from cloudchamber.cli import serve, serving
from cloudchamber.cli.main import main as cloudchamber
from tests.contract import watch_applications


def main() -> None:
    file, *words = sys.argv[1:]
    with Path(file).open("a", buffering=1) as faults:
        watch_applications(lambda fault: faults.write(fault + "\n"))
        # Here, and not as a program of its own, in which nobody watches.
        serve.become_server = lambda words: sys.exit(serving.main(words))
        cloudchamber(words)


if __name__ == "__main__":
    main()
