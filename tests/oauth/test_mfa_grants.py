"""The token endpoint with second factors: two steps, their messages, and no way around the second."""

import pytest

from cloudchamber.access.requester import User
from cloudchamber.errors import TooManyRequests
from cloudchamber.ids import ClientId
from cloudchamber.oauth.errors import MfaRequired, OAuthError
from tests.identity.test_mfa import App, enrol
from tests.world import CLI, PASSWORD, World

OTP, RECOVERY = "urn:custom:mfa-otp", "urn:custom:recovery-code"


async def first_step(world: World, name: str = "ann", client: tuple[str, str] = CLI, **more: str) -> str:
    """The password is right; the token of the challenge."""
    form = {"grant_type": "password", "username": name, "password": PASSWORD, **more}
    with pytest.raises(MfaRequired) as required:
        await world.endpoint.answer(form, client)
    error = required.value
    assert (error.http_status, error.error, error.message) == (
        *(403, "mfa_required"),
        "Multi-factor authentication required",
    )
    assert error.mfa_token
    return error.mfa_token


async def failure(world: World, client: tuple[str, str] = CLI, **form: str) -> tuple[int, str, str]:
    with pytest.raises(OAuthError) as failed:
        await world.endpoint.answer(form, client)
    return failed.value.http_status, failed.value.error, failed.value.message


@pytest.fixture
async def ann(world: World) -> tuple[App, list[str]]:
    """Her app and her recovery codes."""
    app, codes = await enrol(world, await world.user("ann"))
    assert codes is not None
    return app, codes


async def test_8_a_password_alone_gives_no_token(world: World, ann: tuple[App, list[str]]) -> None:
    app, _ = ann
    token = await first_step(world, expires_in="3600")
    form = {"grant_type": OTP, "mfa_token": token, "otp": await app.next_code(), "expires_in": "0", "scope": "*:*"}
    issued = await world.endpoint.answer(form, CLI)
    # As the first request asked, whatever the second says.
    assert (issued.expires_in, issued.scope) == (3600, None)
    assert issued.refresh_token
    requester = await world.bearer(issued.access_token)
    assert isinstance(requester, User)
    assert requester.scopes.names is None
    assert await failure(world, **form) == (400, "invalid_grant", "OTP expired")


async def test_a_recovery_code_does_as_well(world: World, ann: tuple[App, list[str]]) -> None:
    _, codes = ann
    form = {"grant_type": RECOVERY, "mfa_token": await first_step(world, expires_in="0"), "recovery_code": codes[0]}
    assert (await world.endpoint.answer(form, CLI)).expires_in == 0
    again = form | {"mfa_token": await first_step(world)}
    assert await failure(world, **again) == (400, "invalid_grant", "Could not validate OTP")


async def test_the_messages(world: World, ann: tuple[App, list[str]]) -> None:
    app, _ = ann
    token = await first_step(world)
    missing_otp = (400, "invalid_request", "You must provide otp and mfa token.")
    missing_code = (400, "invalid_request", "You must provide recovery code and mfa token.")
    for given in ({}, {"mfa_token": token}, {"otp": "123456"}, {"mfa_token": "", "otp": "123456"}):
        assert await failure(world, grant_type=OTP, **given) == missing_otp
    for given in ({}, {"mfa_token": token}, {"recovery_code": "x"}):
        assert await failure(world, grant_type=RECOVERY, **given) == missing_code
    wrong = (400, "invalid_grant", "Could not validate OTP")
    assert await failure(world, grant_type=OTP, mfa_token=token, otp=app.wrong()) == wrong
    assert await failure(world, grant_type=RECOVERY, mfa_token=token, recovery_code="x") == wrong
    unknown = (400, "invalid_grant", "OTP expired")
    assert await failure(world, grant_type=OTP, mfa_token="0" * 40, otp=app.code()) == unknown
    for _ in range(3):
        await failure(world, grant_type=OTP, mfa_token=token, otp=app.wrong())
    with pytest.raises(TooManyRequests, match=r"^Rate limit exceeded\.$"):
        await world.endpoint.answer({"grant_type": OTP, "mfa_token": token, "otp": app.code()}, CLI)


async def test_wrong_codes_count_as_guesses_and_old_tokens_do_not(world: World, ann: tuple[App, list[str]]) -> None:
    app, _ = ann
    for form, is_guess in [
        ({"grant_type": OTP, "mfa_token": await first_step(world), "otp": app.wrong()}, True),
        ({"grant_type": RECOVERY, "mfa_token": await first_step(world), "recovery_code": "x"}, True),
        ({"grant_type": OTP, "mfa_token": "0" * 40, "otp": app.code()}, False),
    ]:
        with pytest.raises(OAuthError) as failed:
            await world.endpoint.answer(form, CLI)
        assert failed.value.is_wrong_guess is is_guess


async def test_the_second_step_takes_the_client_of_the_first(world: World, ann: tuple[App, list[str]]) -> None:
    app, _ = ann
    await world.install_client("spark")
    token = await first_step(world)
    form = {"grant_type": OTP, "mfa_token": token, "otp": await app.next_code()}
    assert await failure(world, ("spark", "spark"), **form) == (400, "invalid_grant", "OTP expired")
    assert await failure(world, ("particle", "wrong"), **form) == (
        *(400, "invalid_client"),
        "Client credentials are invalid",
    )
    issued = await world.endpoint.answer(form, CLI)
    assert (await world.bearer(issued.access_token)).client == ClientId("particle")


async def test_8_a_wrong_password_tells_nothing_of_second_factors(world: World, ann: tuple[App, list[str]]) -> None:
    assert await failure(world, grant_type="password", username="ann", password="wrong") == (
        *(400, "invalid_grant"),
        "User credentials are invalid",
    )


async def test_8_refreshing_needs_no_code_but_ends_with_the_log_in(world: World, ann: tuple[App, list[str]]) -> None:
    app, _ = ann
    form = {"grant_type": OTP, "mfa_token": await first_step(world), "otp": await app.next_code()}
    issued = await world.endpoint.answer(form, CLI)
    refresh = {"grant_type": "refresh_token", "refresh_token": issued.refresh_token or ""}
    assert await world.endpoint.answer(refresh, CLI)


async def test_a_customer_has_no_second_factor_even_with_a_users_name(world: World, ann: tuple[App, list[str]]) -> None:
    bob = await world.user("bob")
    shop = await world.product(bob)
    _, basic = await world.client(bob, shop)
    await world.customers.create(bob, shop.resource(bob), "ann", "a customer's own")
    form = {"grant_type": "password", "username": "ann", "password": "a customer's own"}
    assert (await world.endpoint.answer(form, basic)).scope == "customer=ann"
