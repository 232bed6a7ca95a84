"""Statements 14 and 60 of the security checklist: what the audit log tells, what it never tells, that it is whole."""

import re
import sqlite3
from pathlib import Path

import httpx

from cloudchamber.audit.model import Outcome
from cloudchamber.audit.rules import Check
from cloudchamber.audit.service import MAX_WAITING, AuditLog
from cloudchamber.audit.store import AuditStore
from cloudchamber.clock import DAY
from cloudchamber.ids import hash_secret
from cloudchamber.storage.errors import StorageUnavailable
from tests.processes import cloudchamber
from tests.world import World

PASSWORD = "correct horse"


def log_of(folder: Path) -> list[str]:
    ran = cloudchamber.run("audit", "list", "--last", "1000", "--data", str(folder / "data"))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_14_60_what_happens_is_written_down_without_a_secret(tmp_path: Path) -> None:
    with cloudchamber.serve(tmp_path) as cloud, httpx.Client(base_url=cloud.url) as http:
        secrets = [PASSWORD, "wrong password"]
        ann = {"username": "ann@example.com", "password": PASSWORD}
        assert http.post("/v1/users", json=ann).status_code == 200
        form = {"grant_type": "password", **ann}
        issued = http.post("/oauth/token", data=form, auth=("particle", "particle")).json()
        secrets += [issued["access_token"], issued["refresh_token"]]
        bearer = {"Authorization": f"Bearer {issued['access_token']}"}
        http.post("/oauth/token", data=form | {"password": "wrong password"}, auth=("particle", "particle"))
        stolen = {"grant_type": "refresh_token", "refresh_token": issued["refresh_token"]}
        answer = http.post("/oauth/token", data=stolen, auth=("spark", "spark"))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        made = http.post("/v1/clients", json={"name": "app", "type": "installed"}, headers=bearer).json()["client"]
        secrets.append(made["secret"])
        product = {"product": {"name": "P", "platform_id": 6}}
        product_id = http.post("/v1/products", json=product, headers=bearer).json()["product"]["id"]
        http.request("DELETE", f"/v1/products/{product_id}/team/kim@example.com", headers=bearer)
        http.get("/v1/devices", headers=bearer)
        http.request("DELETE", f"/v1/access_tokens/{'5' * 40}", headers=bearer)
    lines = log_of(tmp_path)
    text = "\n".join(lines)
    user = re.search(r"by (user:[0-9a-f]{24})", text)
    assert user
    token = f"token='sha256:{hash_secret(issued['access_token']).hex()[:12]}' ip='127.0.0.1'"
    said = [line.partition("Z ")[2] for line in lines]
    assert said[0] == f"done log-in by {user[1]} ip='127.0.0.1' detail='password'"
    assert said[1] == "refused oauth.token by anonymous ip='127.0.0.1' detail='invalid_grant'"
    # 14: somebody has what was given to another client.
    assert said[2] == (
        "refused oauth.token by anonymous ip='127.0.0.1'"
        " detail='invalid_grant: client spark showed a refresh token of client particle'"
    )
    assert said[3] == f"done clients:create by {user[1]} {token}"
    assert said[4] == f"done products:create by {user[1]} {token}"
    assert re.fullmatch(
        rf"refused teams\.users:remove by {user[1]} {token} about='product={product_id} username=sha256:[0-9a-f]{{12}}'"
        r" detail='\w+'",
        said[5],
    )
    assert len(said) == 6, "what is read is not in it, nor what knows no requester"
    for secret in [*secrets, "5" * 12, "ann@example.com", "kim@example.com"]:
        assert secret not in text
    verified = cloudchamber.run("audit", "verify", "--data", str(tmp_path / "data"))
    assert re.match(r"6 lines, the last is number 6 with hash [0-9a-f]{64}\n", verified.stdout)
    with sqlite3.connect(tmp_path / "data" / "cloudchamber.db") as db:
        db.execute("DELETE FROM audit WHERE seq = 3")
    db.close()
    verified = cloudchamber.run("audit", "verify", "--data", str(tmp_path / "data"))
    assert verified.returncode == 1
    assert "not as it was written: lines are missing between 2 and 4" in verified.stderr


async def test_60_what_cannot_be_written_waits_and_what_is_too_much_is_counted(world: World) -> None:
    class Down:
        async def transaction(self, _body: object) -> None:
            raise StorageUnavailable("down")

    log = AuditLog(Down(), AuditStore(), world.clock)  # type: ignore[arg-type]
    for number in range(MAX_WAITING + 3):
        log.note("event", Outcome.DONE, f"user:{number}", detail="x" * 1_000)
    for _ in range(2):
        try:
            await log.write()
        except StorageUnavailable:
            continue
        raise AssertionError("it was written to nowhere")
    log._db = world.db
    assert await log.write() == MAX_WAITING + 1
    assert log.waiting == 0
    check, after = Check(), 0
    while lines := await AuditStore().after(world.db, after, 5_000):
        check.read(lines)
        after = lines[-1].seq
    last = check.end()
    assert last is not None
    assert (check.fault, check.count, last.entry.event, last.entry.detail) == (None, MAX_WAITING + 1, "audit.lost", "3")
    assert [len(line.entry.detail or "") for line in await AuditStore().after(world.db, 0, 2)] == [300, 300]


async def test_60_old_lines_go_and_the_rest_still_holds(world: World) -> None:
    log = AuditLog(world.db, AuditStore(), world.clock, keep_days=10)
    for _ in range(4):
        log.note("event", Outcome.DONE, "user:1")
        await log.write()
        world.clock.advance(5 * DAY)
    assert await log.purge() == 1
    assert await log.purge() == 0
    lines = await AuditStore().after(world.db, 0, 100)
    check = Check()
    check.read(lines)
    check.end()
    assert ([line.seq for line in lines], check.fault) == ([2, 3, 4, 5], None)
