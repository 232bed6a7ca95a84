"""wrk, which drives servers that are compared with each other: in C, it leaves the machine to them."""

import json
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from bench.load import LoadFailed, Sample, cpu_time
from bench.processes import CannotStart

# wrk counts what it did and tells it to the script's `done`, in microseconds.
_DONE: Final = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,"failed":%d,"refused":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status
  ))
end
"""


_NUMBERED: Final = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["X-Number"] = tostring(number)
  return wrk.format()
end
"""

_IN_TURN: Final = """
local requests, last = {}, 0
init = function()
  for number, path in ipairs(paths) do
    requests[number] = wrk.format(nil, path)
  end
end
request = function()
  last = last % #requests + 1
  return requests[last]
end
"""

# A disk that others use as well can let a commit wait for seconds.
_TIMEOUT: Final = "30s"


class Request(msgspec.Struct, frozen=True):
    url: str
    headers: dict[str, str]
    method: str = "GET"
    body: str = ""
    is_numbered: bool = False
    """Each has a number in a header of its own, so that no two of them are alike."""
    urls: tuple[str, ...] = ()
    """Of the same server, asked for in turn in place of `url`."""
    may_fail: bool = False
    """What fails is counted apart; else it ends the run."""


def find() -> str:
    """Raises CannotStart."""
    found = shutil.which("wrk")
    if found is None:
        raise CannotStart("wrk is not on this machine: `make bench` installs it (Debian: apt-get install wrk)")
    return found


def run(request: Request, connections: int, seconds: float, server_pid: int, folder: Path) -> Sample:
    """`connections` ask for `seconds`, each again as soon as it has its answer. Raises LoadFailed, CannotStart."""
    script = folder / "request.lua"
    # A JSON string of plain ASCII is a Lua string as well.
    lines = [f"wrk.method = {json.dumps(request.method)}"]
    if request.body:
        lines.append(f"wrk.body = {json.dumps(request.body)}")
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in request.headers.items()]
    if request.is_numbered:
        lines.append(_NUMBERED)
    if request.urls:
        paths = ", ".join(json.dumps(urlsplit(url).path) for url in request.urls)
        lines += [f"local paths = {{{paths}}}", _IN_TURN]
    script.write_text("\n".join(lines) + _DONE)
    command = [find(), "-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s"]
    command += ["--timeout", _TIMEOUT, "-s", str(script)]
    cpu, own = cpu_time(server_pid), _childrens_cpu()
    ended = subprocess.run([*command, request.url], capture_output=True, text=True, check=False)
    cpu, own = cpu_time(server_pid) - cpu, _childrens_cpu() - own
    last = ended.stdout.strip().rpartition("\n")[2]
    where = f"{request.method} {urlsplit(request.url).path}"
    if ended.returncode or not last.startswith("{"):
        raise LoadFailed(f"wrk, {where}: {ended.stdout}{ended.stderr}")
    told = json.loads(last)
    failed = told["failed"] + told["refused"]
    if (failed and not request.may_fail) or not told["requests"]:
        raise LoadFailed(
            f"wrk, {where}: {told['requests']} answers, {told['refused']} refusals, {told['failed']} failures"
        )
    return Sample(
        requests=max(1, told["requests"] - told["refused"]),
        seconds=told["us"] / 1e6,
        server_cpu_seconds=cpu,
        client_cpu_seconds=own,
        p50_ms=told["p50_us"] / 1e3,
        p99_ms=told["p99_us"] / 1e3,
        p999_ms=told["p999_us"] / 1e3,
        failed=failed,
    )


def _childrens_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
