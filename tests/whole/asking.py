"""Asks one thing over and over: `URL PATH TOKEN COUNT`. Says "there", begins with the first line on its input, and
prints how many milliseconds each took. An answer that is no 200 ends it with status 1."""

import http.client
import sys
import time
from urllib.parse import urlsplit


def main(url: str, path: str, token: str, count: int) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    say("there")
    sys.stdin.readline()
    taken = []
    for _ in range(count):
        before = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        taken.append((time.perf_counter() - before) * 1000)
        if answer.status != 200:
            say(f"{answer.status} {answer.reason}")
            return 1
    connection.close()
    say(" ".join(map(str, taken)))
    return 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
