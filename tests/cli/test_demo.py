"""`cloudchamber demo`, as `make demo` runs it."""

from tests.processes import cloudchamber

ANYWHERE = [word for listener in ("--http", "--tcp", "--udp") for word in (listener, "127.0.0.1:0")]


def test_the_demo_walks_the_story_and_ends() -> None:
    ran = cloudchamber.run("demo", "--once", *ANYWHERE, timeout_s=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "$ curl http://127.0.0.1:" in ran.stdout
    assert '"cmd":"VarReturn","name":"counter"' in ran.stdout
    assert "testEventHandler called testing!" in ran.stdout
    assert "Every answer was as it should be." in ran.stdout
