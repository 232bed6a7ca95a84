"""`cloudchamber firmware`."""

from pathlib import Path

from click.testing import CliRunner

from cloudchamber.cli.main import main
from cloudchamber.simulator.firmware import Tinker, in_module
from cloudchamber.wire.update.module import parse_module_untrusted


def test_a_file_is_made_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "v3.bin"
    made = CliRunner().invoke(
        main, ["firmware", "make", "--firmware", "tinker", "--version", "3", "--size", "5000", "--out", str(file)]
    )
    assert made.exit_code == 0, made.output
    data = file.read_bytes()
    module = parse_module_untrusted(data)
    assert (module.platform_id, module.product_id, module.product_version) == (6, 6, 3)
    assert 5000 <= module.size < 5200
    assert in_module(data) is Tinker
    shown = CliRunner().invoke(main, ["firmware", "show", str(file)])
    assert shown.exit_code == 0, shown.output
    assert "user_part 1, version 5" in shown.output
    assert f"sha-256          {module.sha256.hex()}\n" in shown.output
    assert "product version  3\n" in shown.output


def test_what_is_no_firmware_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "main.ino"
    file.write_text("void setup() {}\n" * 20)
    shown = CliRunner().invoke(main, ["firmware", "show", str(file)])
    assert shown.exit_code == 1
    assert "checksum" in shown.output
