"""The benchmarks still run. What they measure in slices this short says nothing."""

import datetime as dt
import io
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rich.console import Console

from bench import beside, compare, filling, http_peers, report, run, tcp
from bench.benchmarks import HELLO
from bench.life import memory
from bench.load import at, corrected
from bench.paced import quantiles_ms
from bench.processes import CannotStart, listening
from bench.report import OURS, Circumstances, Curve, Goal, Results, Row, Section
from bench.suites import GROUPS, SUITES
from bench.tcp_devices import TcpDevices

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another process's CPU clock is read")


def measured(folder: Path, *arguments: str) -> dict[str, Section]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments, "--rounds", "1", "--results", str(folder)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (samples,) = folder.glob("*.json")
    (page,) = folder.glob("*.md")
    sections = msgspec.json.decode(samples.read_bytes(), type=Results).sections
    for section in sections.values():
        assert f"## {section.title}" in page.read_text()
    return sections


def test_requests_are_measured_beside_a_bare_application(tmp_path: Path):
    names = ["token", "variable"]
    sections = measured(tmp_path, *names, "--seconds", "0.1")
    assert list(sections) == names
    for section in sections.values():
        assert [row.subject for row in section.rows] == [OURS, HELLO]
        for row in section.rows:
            (found,) = row.rounds
            assert found["per_s"] > 0
            assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["p999_ms"]
            # The writer's thread works beside the loop's.
            assert 0 < found["cpu_us"] * found["per_s"] < 2e6


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed: `make bench` does that")
def test_servers_are_measured_beside_each_other_and_those_that_are_not_there_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(beside, "CONNECTIONS", (2,))

    def absent(_folder: Path, _about: http_peers.Told):
        raise CannotStart("it is not on this machine")

    monkeypatch.setitem(http_peers.PEERS, "Authlib", absent)
    with run.progress() as bars:
        section = beside.measure(
            "introspection", run.Run(0.1, 1, 10, 1.0, None, tmp_path, run.Steps(bars, "introspection"))
        )
    assert section.missing["Authlib"] == "it is not on this machine"
    # Those that `make bench` installed, and none of them twice.
    subjects = [row.subject for row in section.rows]
    assert subjects[0] == OURS
    assert len(subjects) == 4 - len(section.missing) == len(set(subjects))
    for row in section.rows:
        (found,) = row.rounds
        assert found["per_s"] > 0
        assert 0 < found["p50_ms"] <= found["p99_ms"] <= found["p999_ms"]


def test_one_round_in_which_some_failed_is_enough_to_miss_a_goal(tmp_path: Path):
    reads = Row("reads", "16", OURS, [{"failed": 0.0}, {"failed": 6.25}, {"failed": 0.0}])
    section = Section("reads", "Reads", "What was asked.", [reads], goals=[Goal("reads", "failed", 0.0)], plotted=())
    section = msgspec.structs.replace(section, circumstances=Circumstances(1.0, 0.0, 0.0, 0.0, "--count 100"))
    text = report.save([section], tmp_path, dt.date(2026, 11, 27), ["reads"]).read_text()
    assert "| [reads](#reads) | 16 | ≤ 0 failed % | 6.25 failed % | **no** |" in text, "the median would be 0"


def test_a_page_has_figures_ratios_goals_and_plots(tmp_path: Path):
    ours = Row("tokens", "16", OURS, [{"per_s": 3_000.0 * times, "cpu_us": 100.0} for times in (1, 2, 3)])
    theirs = Row("tokens", "16", "peer 1.0", [{"per_s": 1_000.0 * times, "cpu_us": 200.0} for times in (1, 2, 3)])
    goals = [
        Goal("tokens", "per_s", 2.5, "peer", bound="bare", otherwise="it is reached."),
        Goal("tokens", "cpu_us", 99.0, otherwise="what stands in the way."),
        Goal("tokens", "per_s", 1.0, "a peer that is not there"),
        Goal("tokens", "per_s", 1.0, "other"),
        Goal("what nobody did", "failed", 0.0),
        Goal("tokens", "per_s", 1.0, subject=f"{OURS} over UDP"),
    ]
    curve = Curve("cost", "devices", "µs", {"GET": [(100, 3.0), (10_000, 3.5)]})
    udp = Row("tokens", "16", f"{OURS} over UDP", [{"per_s": 0.5}])
    bare = Row("tokens", "16", "bare", [{"per_s": 9_000.0 * times} for times in (1, 2, 3)])
    section = Section(
        "tokens",
        "Tokens",
        "What was asked.",
        [ours, theirs, bare, udp],
        [curve],
        goals,
        ("per_s",),
        {"other 2.0": "no compiler"},
    )
    section = msgspec.structs.replace(section, circumstances=Circumstances(1.0, 0.0, 0.0, 0.0, "--count 100"))
    page = report.save([section], tmp_path, dt.date(2026, 11, 27), ["tokens", "storm"])
    text = page.read_text()
    assert "| tokens | 16 | cloudchamber | 6,000 (3,000…9,000) | 100.0 (100.0…100.0) |  |" in text
    assert "|  |  | peer 1.0 | 2,000 (1,000…3,000) | 200.0 (200.0…200.0) | 3.00 (3.00…3.00) |" in text
    assert "| [tokens](#tokens) | 16 | ≥ 2.5 times peer, per s | 3.00 times peer (bare: 9.00) | yes |" in text
    assert "| [tokens](#tokens) | 16 | ≤ 99 CPU µs | 100.0 CPU µs | **no** |" in text
    assert "| [tokens](#tokens) |  | ≥ 1 times other, per s | other is missing | not measured |" in text
    assert "| [tokens over UDP](#tokens) | 16 | ≥ 1 per s | 0 per s | **no** |" in text
    assert "What is not reached:\n\n* tokens, 16: what stands in the way.\n\n" in text
    # What was not measured is not left out.
    assert (
        "| [tokens](#tokens) |  | ≥ 1 times a peer that is not there, per s | no such figure | not measured |" in text
    )
    assert "| [what nobody did](#tokens) |  | ≤ 0 failed % | no such figure | not measured |" in text
    assert "1 of 6 are reached." in text
    assert "With a --count below 10,000, which the goals are meant for: tokens." in text
    assert "Not measured on this day: storm." in text
    assert "*other 2.0* is not in it: no compiler." in text
    for plot in ("tokens-per_s.svg", "tokens-curve-1.svg"):
        assert f"(2026-11-27/{plot})" in text
        drawn = (tmp_path / "2026-11-27" / plot).read_text()
        assert "<svg" in drawn
        assert "<script" not in drawn


def test_help_names_all_that_can_be_measured():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(SUITES)


def test_a_busy_machine_and_a_busy_load_generator_are_named(tmp_path: Path):
    busy = Row("GET", "16", OURS, [{"per_s": 1.0, "load_percent": 40.0}, {"per_s": 1.0, "load_percent": 97.0}])
    section = Section("get", "GET", "", [busy], circumstances=Circumstances(90.0, 1.0, 1_000.0))
    text = report.save([section], tmp_path, dt.date(2026, 11, 27)).read_text()
    assert "**The machine had other work** during get" in text
    assert "1 min 30 s; others kept 1000.0 cores busy before it. **So these figures are rough**" in text
    assert "GET, 16, cloudchamber: the load generator took 97 % of a core" in text
    assert "a core |" not in text


def test_a_narrow_terminal_gets_whole_words_and_figures():
    rows = [
        Row(
            "GET of a device",
            "16 connections",
            f"{name} 12.9.0",
            [{"per_s": 100_000.0, "p99_ms": 1_234.0, "failed": 0.5}],
        )
        for name in (OURS, "django-oauth-toolkit")
    ]
    console = Console(width=60, file=io.StringIO())
    console.print(report.table(Section("get", "GET", "", rows), is_narrow=True))
    shown = console.file.getvalue()
    for word in ("GET of a device", "connections", "django-oauth-toolkit 12.9.0", "100,000", "1,234.00", "0.50"):
        assert word in shown
    assert "…" not in shown


def test_a_pause_counts_for_all_that_would_have_been_asked_in_it():
    assert corrected([1.0] * 100 + [10.5], 2.0) == [1.0] * 100 + [2.5, 4.5, 6.5, 8.5, 10.5]
    assert corrected([1.0, 3.9], 2.0) == [1.0, 3.9]
    assert corrected([0.0], 0.0) == [0.0]
    # One of a hundred took 100 times as long: half of the time nobody would have been answered.
    assert at(corrected([1.0] * 99 + [100.0], 1.0), 0.99) > 90
    assert quantiles_ms([], 10.0) == []
    assert quantiles_ms([1.0] * 99 + [100.0], 10.0)[1] > 60


def test_a_curve_is_flat_or_it_grows():
    rows, goals = report.grown([("GET", [(100.0, 10.0), (1_000.0, 30.0), (10_000.0, 12.0)])], "devices")
    assert [row.setting for row in rows] == ["100 → 10,000 devices"]
    assert rows[0].median("growth") == 1.2
    assert [(goal.work, goal.metric, goal.limit) for goal in goals] == [("GET: growth", "growth", 1.3)]


def test_two_runs_are_compared_by_what_their_rounds_do_not_explain():
    def results(*cpu: float) -> Results:
        rows = [
            Row("GET", "16", OURS, [{"cpu_us": each, "per_s": 100.0} for each in cpu]),
            Row("GET", "16", "peer 1.0", [{"cpu_us": 100 * each} for each in cpu]),
        ]
        return Results(report.machine(), {"get": Section("get", "GET", "", rows)})

    assert compare.changes(results(10, 11, 12), results(11.5, 20, 21), ["get"]) == []
    assert compare.changes(results(10, 11, 12), results(20, 22, 24), ["other"]) == []
    assert compare.changes(results(10, 11, 12), results(20, 22, 24), ["get"]) == [
        "worse  get, GET, 16: 11.0 (10.0…12.0) -> 22.0 (20.0…24.0) CPU µs, +100%"
    ]
    assert compare.changes(results(20, 22, 24), results(10, 11, 12), ["get"])[0].startswith("better get, GET, 16:")


def test_what_was_measured_again_replaces_what_was_measured_before(tmp_path: Path):
    today = dt.date(2026, 11, 27)
    old, other, new = (Section(name, name, what) for name, what in (("a", "old"), ("b", "other"), ("a", "new")))
    report.save([old, other], tmp_path, today)
    text = report.save([new], tmp_path, today).read_text()
    assert "new" in text
    assert "other" in text
    assert "old" not in text


def test_an_answer_other_than_200_fails_the_run():
    done = subprocess.run(
        [sys.executable, "-c", _AGAINST_A_REFUSAL],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode
    assert "HTTP/1.1 401 No" in done.stderr


_AGAINST_A_REFUSAL = """
import os, socket, threading
from bench.load import Load, Order

def refuse(listener):
    connection, _ = listener.accept()
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 401 No\\r\\ncontent-length: 0\\r\\n\\r\\n")

listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=refuse, args=(listener,), daemon=True).start()
host, port = listener.getsockname()
with Load() as load:
    load.run(Order(host, port, b"GET / HTTP/1.1\\r\\n\\r\\n", 1, 5.0, 0.0, os.getpid()))
"""


def test_the_benchmarks_over_udp_run(tmp_path: Path) -> None:
    sections = measured(tmp_path, "handshakes", "exchange", "flood", "--count", "100")
    for name in ("handshakes", "exchange"):
        by_loop = {row.setting: row for row in sections[name].rows if row.subject == OURS}
        assert set(by_loop) == {"uvloop", "asyncio"}
        for echo in sections[name].rows:
            if echo.subject != OURS:
                assert 0 < echo.median("cpu_us") < by_loop[echo.setting].median("cpu_us")
    hellos, *_ = sections["flood"].rows
    assert hellos.setting == "500"
    # Nothing of a stranger is kept.
    for figure in ("sessions", "strangers", 'handshakes_total{result="started"}'):
        assert not any(note.startswith(figure) for note in sections["flood"].notes)


def test_the_benchmarks_over_tcp_run(tmp_path: Path) -> None:
    (section,) = measured(tmp_path, "tcp-memory", "--count", "40").values()
    silent, *_ = section.rows
    assert silent.setting == "40 devices"
    assert silent.median("used_b") > 0


@pytest.mark.soak
def test_a_storm_is_measured(tmp_path: Path) -> None:
    (section,) = measured(tmp_path, "storm", "--count", "40").values()
    storm, meanwhile = section.rows
    assert storm.median("failed") == 0
    assert storm.median("s") > 0
    assert 0 < meanwhile.median("p50_ms") <= meanwhile.median("p99_ms")


def test_photons_shake_hands_with_a_cloud(tmp_path: Path) -> None:
    with tcp.serving(tmp_path / "ours", core=0) as server, TcpDevices() as devices:
        done = devices.run(server.order("handshakes", 40, 8))
        assert (done.done, done.failed) == (40, 0)
        # The operations alone are part of it.
        assert 0 < tcp.rsa_alone(0.05) < done.cpu_us


def test_a_handshake_that_fails_is_counted(tmp_path: Path) -> None:
    with tcp.serving(tmp_path / "ours") as server, TcpDevices() as devices:
        (tmp_path / "other.pem").write_bytes(
            rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        done = devices.run(
            msgspec.structs.replace(server.order("hellos", 3, 3), server_key_file=str(tmp_path / "other.pem"))
        )
        assert (done.done, done.failed) == (0, 3)
        assert sum(done.reasons.values()) == 3


def test_a_cloud_serves_what_was_written_down_for_it(tmp_path: Path) -> None:
    filled = filling.made(tmp_path / "data")
    done: list[int] = []
    filling.fill(filled, 20, 4, done.append)
    known = filling.new_tokens(2)
    filling.put_tokens(filled, known)
    assert sum(done) == 20
    with (
        listening(filling.serve(filled.data), tmp_path / "serve.log") as (pid, addresses),
        httpx.Client(base_url=addresses["http"], trust_env=False) as http,
    ):
        for token in (filled.customer_token, *known):
            answer = http.get(f"/v1/devices/{filled.device}", headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == 200, answer.text
            assert answer.json()["id"] == filled.device
        product = http.post("/oauth/token", auth=filled.client, data={"grant_type": "client_credentials"}).json()
        listed = http.get(
            f"/v1/products/{filled.product}/devices",
            headers={"authorization": f"Bearer {product['access_token']}"},
        ).json()
        assert len({device["owner"] for device in listed["devices"]}) == 5
        assert 20 < memory(pid)["proportional_mb"] <= memory(pid)["resident_mb"] < 200


@pytest.mark.soak
def test_the_life_of_a_cloud_is_measured(tmp_path: Path) -> None:
    sections = measured(tmp_path, "start", "idle", "under-flood", "--count", "10", "--seconds", "0.5")
    assert all(row.median("s") > 0 for row in sections["start"].rows)
    assert all(row.median("resident_mb") > 0 for row in sections["idle"].rows)
    assert sum(row.median("per_s") for row in sections["under-flood"].rows) > 0
