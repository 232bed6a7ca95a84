import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudchamber.settings import Address, Compat, Settings, SettingsError, load_settings


def file(folder: Path, text: str) -> Path:
    path = folder / "cloud.toml"
    path.write_text(text)
    return path


def test_without_anything_the_defaults_hold() -> None:
    assert load_settings({}, {}) == Settings()
    assert load_settings({}, {"PATH": "/bin", "CLOUDCHAMBER_NONSENSE": "1"}) == Settings()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    config = file(tmp_path, 'public_url = "file"\nmax_streams = 3\nmax_devices = 3\n[compat]\nquery_token = false\n')
    environment = {
        "CLOUDCHAMBER_PUBLIC_URL": "environment",
        "CLOUDCHAMBER_MAX_STREAMS": "2",
        "CLOUDCHAMBER_COMPAT_BODY_TOKEN": "off",
    }
    loaded = load_settings({"public_url": "option"}, environment, config)
    assert (loaded.public_url, loaded.max_streams, loaded.max_devices) == ("option", 2, 3)
    assert loaded.compat == dataclasses.replace(Compat(), query_token=False, body_token=False)
    assert load_settings({}, environment | {"CLOUDCHAMBER_CONFIG": str(config)}).max_devices == 3


def test_every_setting_has_a_help_text() -> None:
    for kind in (Settings, Compat):
        assert all(item.metadata["help"] for item in dataclasses.fields(kind))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense = 1", "unknown key nonsense"),
        ("[compat]\nnonsense = true", "unknown key compat.nonsense"),
        ("compat = 1", "compat is a table"),
        ('http = "nowhere"', "http in the configuration file cannot be 'nowhere'"),
        ("http = 8080", "http in the configuration file cannot be 8080"),
        ("max_streams = -1", "cannot be negative"),
        ('max_streams = "many"', "max_streams in the configuration file"),
        ("max_streams = [1]", "max_streams in the configuration file"),
        ("max_streams = 1.5", "a whole number"),
        ("max_streams = true", "a whole number"),
        ("max_streams = inf", "max_streams in the configuration file"),
        ("function_timeout_s = nan", "function_timeout_s in the configuration file"),
        ("function_timeout_s = inf", "function_timeout_s in the configuration file"),
        ("data = 5", "data in the configuration file"),
        ("public_url = 5", "public_url in the configuration file"),
        ('registration = "maybe"', "it is one of '', 'open', 'closed'"),
        ('access_log = "perhaps"', "it is true or false"),
        ("[compat]\nquery_token = 2", "compat.query_token in the configuration file"),
        ("= 1", "cannot read the configuration file"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as failed:
        load_settings({}, {}, file(tmp_path, text))
    assert message in str(failed.value)


def test_the_source_of_a_wrong_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--http cannot be 'x'"):
        load_settings({"http": "x"}, {})
    with pytest.raises(SettingsError, match="CLOUDCHAMBER_COMPAT_BODY_TOKEN cannot be 'x'"):
        load_settings({}, {"CLOUDCHAMBER_COMPAT_BODY_TOKEN": "x"})
    with pytest.raises(SettingsError, match="cannot read the configuration file"):
        load_settings({}, {}, tmp_path / "missing.toml")


def test_the_profile_sets_every_switch_that_is_not_named(tmp_path: Path) -> None:
    assert Settings().compat == Compat.of("vendor") == Compat()
    strict = Settings(profile="strict").compat
    assert strict == Compat.of("strict")
    assert not any(dataclasses.asdict(strict).values())
    config = file(tmp_path, 'profile = "strict"\n[compat]\nquery_token = true\n')
    loaded = load_settings({}, {"CLOUDCHAMBER_COMPAT_TOKEN_LISTING": "on"}, config).compat
    assert loaded == dataclasses.replace(strict, query_token=True, token_listing=True)
    assert load_settings({"profile": "vendor"}, {}, config).compat == Compat()


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"compat\.anonymous_registration"):
        load_settings({"registration": "open", "profile": "strict"}, {})
    for wrong in ("10.0.0.0/33", "proxy.example.com", "10.0.0.1/8"):
        with pytest.raises(SettingsError, match="trusted_proxies"):
            load_settings({"trusted_proxies": wrong}, {})
    assert load_settings({"trusted_proxies": "127.0.0.1, 10.0.0.0/8,::1"}, {}).trusted_proxies
    with pytest.raises(SettingsError, match="password_min_length"):
        load_settings({"password_min_length": "65"}, {})


@pytest.mark.parametrize("text", ["1", "true", "YES", "on"])
def test_truth_is_written_in_many_ways(text: str) -> None:
    assert load_settings({}, {"CLOUDCHAMBER_ACCESS_LOG": text}).access_log is True


@pytest.mark.parametrize(
    ("text", "host", "port", "is_loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("[::1]:0", "::1", 0, True),
        ("localhost:65535", "localhost", 65_535, True),
        ("0.0.0.0:80", "0.0.0.0", 80, False),  # noqa: S104
        ("[::]:80", "::", 80, False),
        ("127.example.com:80", "127.example.com", 80, False),
    ],
)
def test_addresses(text: str, host: str, port: int, is_loopback: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.is_loopback, str(address)) == (host, port, is_loopback, text)


@pytest.mark.parametrize("text", ["", ":", "host", "host:", ":80", "host:-1", "host:65536", "host:1.0", "80"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse(text)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert 0 <= address.port <= 65_535


def test_what_follows_from_others() -> None:
    assert Settings(data=Path("/x")).database_url == "sqlite:////x/cloudchamber.db"
    assert Settings(database="postgresql:///d").database_url == "postgresql:///d"
    assert Settings().registration_is_open
    wide = Settings(http=Address("0.0.0.0", 80))  # noqa: S104
    assert not wide.registration_is_open
    assert dataclasses.replace(wide, registration="open").registration_is_open
    assert not Settings(registration="closed").registration_is_open
    # Behind a proxy on the same machine the listener tells nothing.
    assert not Settings(public_url="https://cloud.example").registration_is_open
    assert Settings(public_url="http://127.0.0.1:8080").registration_is_open
    assert not Settings(profile="strict").registration_is_open
    assert not Settings().limits_rates
    assert Settings(rate_limits="on").limits_rates
    assert wide.limits_rates
    assert not dataclasses.replace(wide, rate_limits="off").limits_rates
