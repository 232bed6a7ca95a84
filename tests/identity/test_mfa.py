"""Second factors: enrolling, logging in with them, losing them; what works once works once."""

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cloudchamber.access.errors import AccessRefused
from cloudchamber.access.requester import User
from cloudchamber.clock import DAY, MINUTE, SECOND
from cloudchamber.errors import TooManyRequests
from cloudchamber.identity import mfa
from cloudchamber.identity.errors import ChallengeUnknown, CodeWrong, CurrentPasswordWrong, FactorNotFound
from cloudchamber.identity.mfa import LIFETIME_MS, RECOVERY_CODES, SecondFactors
from cloudchamber.identity.outbox import Outbox
from cloudchamber.identity.store import FactorStore
from cloudchamber.identity.totp import STEP_S, hotp, step_at
from cloudchamber.ids import ClientId, hash_secret
from cloudchamber.oauth.errors import OAuthError
from cloudchamber.sealing import KEY_BYTES, Sealer
from tests.identity.test_accounts import NEW, is_alive, two_log_ins
from tests.world import PASSWORD, World

PARTICLE = ClientId("particle")


class App:
    """An authenticator app."""

    def __init__(self, world: World, secret: str) -> None:
        self._world = world
        self._secret = base64.b32decode(secret)

    def code(self) -> str:
        """The one that it shows now."""
        return hotp(self._secret, step_at(self._world.clock.now()))

    async def next_code(self) -> str:
        """One that was not shown before."""
        self._world.clock.advance(STEP_S * SECOND)
        return self.code()

    def wrong(self) -> str:
        return str((int(self.code()) + 1) % 1_000_000).zfill(6)


async def enrol(world: World, user: User, name: str | None = None) -> tuple[App, list[str] | None]:
    begun = await world.factors.begin_enrolment(user)
    app = App(world, begun.secret)
    return app, await world.factors.confirm_enrolment(user, begun.mfa_token, app.code(), None, name)


async def begin(world: World, user: User, client: ClientId = PARTICLE) -> str:
    return await world.factors.begin_log_in(client, user.id, None, 3600)


async def outcomes(tries: list[Awaitable[Any]]) -> list[str]:
    return sorted(type(answer).__name__ for answer in await asyncio.gather(*tries, return_exceptions=True))


async def test_an_app_counts_once_its_first_code_was_right(world: World) -> None:
    ann = await world.user("ann")
    begun = await world.factors.begin_enrolment(ann)
    uri = parse_qs(urlsplit(begun.uri).query)
    assert uri == {"secret": [begun.secret], "issuer": ["cloud"]}
    assert len(base64.b32decode(begun.secret)) == 20
    assert not await world.factors.is_on(ann.id), "asking alone changes nothing"
    app = App(world, begun.secret)
    with pytest.raises(CodeWrong, match=r"^Could not validate OTP$"):
        await world.factors.confirm_enrolment(ann, begun.mfa_token, app.wrong(), None)
    codes = await world.factors.confirm_enrolment(ann, begun.mfa_token, app.code(), None, "my phone")
    assert codes is not None
    assert len(set(codes)) == RECOVERY_CODES
    assert await world.factors.is_on(ann.id)
    (factor,), left = await world.factors.of_user(ann)
    assert (factor.name, left) == ("my phone", RECOVERY_CODES)
    # The token has done its work.
    with pytest.raises(ChallengeUnknown):
        await world.factors.confirm_enrolment(ann, begun.mfa_token, await app.next_code(), None)


async def test_an_enrolment_belongs_to_its_person_and_client_and_ends(world: World) -> None:
    await world.install_client("spark")
    ann, eve = await world.user("ann"), await world.user("eve")
    first = await world.factors.begin_enrolment(ann)
    begun = await world.factors.begin_enrolment(ann)
    app = App(world, begun.secret)
    for requester, token in [
        (eve, begun.mfa_token),
        (User(ann.id, ClientId("spark")), begun.mfa_token),
        (ann, first.mfa_token),  # asking again makes it void
        (ann, "0" * 40),
        (ann, ""),
    ]:
        with pytest.raises(ChallengeUnknown, match=r"^OTP expired$"):
            await world.factors.confirm_enrolment(requester, token, app.code(), None)
    # A log-in's token enrols nothing, nor the other way round.
    with pytest.raises(ChallengeUnknown):
        await world.factors.confirm_enrolment(ann, await begin(world, ann), app.code(), None)
    with pytest.raises(ChallengeUnknown):
        await world.factors.finish_with_code(PARTICLE, begun.mfa_token, app.code())
    world.clock.advance(LIFETIME_MS)
    with pytest.raises(ChallengeUnknown):
        await world.factors.confirm_enrolment(ann, begun.mfa_token, app.code(), None)
    assert not await world.factors.is_on(ann.id)


async def test_a_log_in_is_finished_as_it_was_begun(world: World) -> None:
    ann = await world.user("ann")
    app, _ = await enrol(world, ann)
    token = await world.factors.begin_log_in(PARTICLE, ann.id, "a scope", 77)
    done = await world.factors.finish_with_code(PARTICLE, token, await app.next_code())
    assert (done.user, done.client, done.scope, done.lifetime_s) == (ann.id, PARTICLE, "a scope", 77)
    with pytest.raises(ChallengeUnknown, match=r"^OTP expired$"):
        await world.factors.finish_with_code(PARTICLE, token, await app.next_code())


async def test_a_log_in_is_its_clients_and_ends(world: World) -> None:
    ann = await world.user("ann")
    app, codes = await enrol(world, ann)
    token = await begin(world, ann)
    for client in ("spark", ""):
        with pytest.raises(ChallengeUnknown):
            await world.factors.finish_with_code(ClientId(client), token, await app.next_code())
        with pytest.raises(ChallengeUnknown):
            await world.factors.finish_with_recovery_code(ClientId(client), token, codes[0])
    token = await begin(world, ann)
    world.clock.advance(LIFETIME_MS)
    with pytest.raises(ChallengeUnknown):
        await world.factors.finish_with_code(PARTICLE, token, app.code())
    assert await world.factors.purge() == 1, "the first of the two"
    world.clock.advance(1)
    assert await world.factors.purge() == 1


async def test_54_a_code_counts_once(world: World) -> None:
    ann = await world.user("ann")
    app, _ = await enrol(world, ann)
    # The one that enrolled the app is used up, too.
    with pytest.raises(CodeWrong):
        await world.factors.finish_with_code(PARTICLE, await begin(world, ann), app.code())
    code = await app.next_code()
    tokens = [await begin(world, ann) for _ in range(4)]
    assert await outcomes([world.factors.finish_with_code(PARTICLE, token, code) for token in tokens]) == [
        "Challenge",
        "CodeWrong",
        "CodeWrong",
        "CodeWrong",
    ]
    with pytest.raises(CodeWrong):
        await world.factors.check_code(ann.id, code)
    await world.factors.check_code(ann.id, await app.next_code())


async def test_54_a_log_in_is_finished_once(world: World) -> None:
    ann = await world.user("ann")
    app, codes = await enrol(world, ann)
    token, code = await begin(world, ann), await app.next_code()
    found = await outcomes(
        [
            world.factors.finish_with_code(PARTICLE, token, code),
            world.factors.finish_with_recovery_code(PARTICLE, token, codes[0]),
            world.factors.finish_with_recovery_code(PARTICLE, token, codes[1]),
        ]
    )
    assert found.count("Challenge") == 1
    _, left = await world.factors.of_user(ann)
    assert left >= RECOVERY_CODES - 1, "whoever came second used nothing up"


async def test_54_a_recovery_code_counts_once_and_in_any_spelling(world: World) -> None:
    ann, eve = await world.user("ann"), await world.user("eve")
    _, codes = await enrol(world, ann)
    await enrol(world, eve)
    assert codes is not None
    assert all(len(code.replace("-", "")) == 24 for code in codes)
    with pytest.raises(CodeWrong):
        await world.factors.finish_with_recovery_code(PARTICLE, await begin(world, eve), codes[0])
    typed = [codes[0].upper(), codes[1].replace("-", ""), f" {codes[2].replace('-', ' ')} "]
    for code in typed:
        done = await world.factors.finish_with_recovery_code(PARTICLE, await begin(world, ann), code)
        assert done.user == ann.id
        with pytest.raises(CodeWrong):
            await world.factors.finish_with_recovery_code(PARTICLE, await begin(world, ann), code)
    token = [await begin(world, ann) for _ in range(5)]
    tries = [world.factors.finish_with_recovery_code(PARTICLE, each, codes[3]) for each in token]
    assert (await outcomes(tries)).count("Challenge") == 1
    assert (await world.factors.of_user(ann))[1] == RECOVERY_CODES - 4


async def test_54_several_apps_and_each_has_its_own_codes(world: World) -> None:
    ann = await world.user("ann")
    phone, codes = await enrol(world, ann, "phone")
    world.clock.advance(1)
    tablet, again = await enrol(world, ann, "tablet")
    assert codes is not None
    assert again is None, "the codes of the first time go on"
    world.clock.advance(STEP_S * SECOND)
    for app in (phone, tablet):
        assert await world.factors.finish_with_code(PARTICLE, await begin(world, ann), app.code())
    factors, left = await world.factors.of_user(ann)
    assert ([factor.name for factor in factors], left) == (["phone", "tablet"], RECOVERY_CODES)
    await world.factors.remove(ann, factors[0].id, PASSWORD)
    world.clock.advance(STEP_S * SECOND)
    with pytest.raises(CodeWrong):
        await world.factors.finish_with_code(PARTICLE, await begin(world, ann), phone.code())
    assert await world.factors.finish_with_code(PARTICLE, await begin(world, ann), tablet.code())
    await world.factors.remove(ann, factors[1].id, PASSWORD)
    assert not await world.factors.is_on(ann.id)
    assert await world.factors.of_user(ann) == ([], 0), "no code outlives the last app"


async def test_there_is_an_end_to_apps(world: World, monkeypatch) -> None:
    monkeypatch.setattr(mfa, "MAX_FACTORS", 2)
    ann = await world.user("ann")
    for _ in range(2):
        await enrol(world, ann)
    with pytest.raises(ChallengeUnknown, match="too many"):
        await enrol(world, ann)


async def test_five_tries_of_one_log_in(world: World) -> None:
    ann = await world.user("ann")
    app, codes = await enrol(world, ann)
    token = await begin(world, ann)
    for _ in range(5):
        with pytest.raises(CodeWrong):
            await world.factors.finish_with_code(PARTICLE, token, app.wrong())
    with pytest.raises(TooManyRequests, match=r"^Rate limit exceeded\.$") as refused:
        await world.factors.finish_with_code(PARTICLE, token, await app.next_code())
    assert 0 < refused.value.retry_after_s <= LIFETIME_MS // 1000
    with pytest.raises(TooManyRequests):
        await world.factors.finish_with_recovery_code(PARTICLE, token, codes[0])
    assert await world.factors.finish_with_code(PARTICLE, await begin(world, ann), app.code())


async def test_ten_tries_of_one_person_however_many_log_ins_they_begin(world: World) -> None:
    ann = await world.user("ann")
    app, codes = await enrol(world, ann)
    tokens = [await begin(world, ann) for _ in range(40)]
    # All at once: each is counted before it is looked at.
    found = await outcomes([world.factors.finish_with_code(PARTICLE, token, app.wrong()) for token in tokens])
    assert found.count("CodeWrong") == 10
    assert set(found) <= {"CodeWrong", "TooManyRequests", "ChallengeUnknown"}
    with pytest.raises(TooManyRequests) as refused:
        await world.factors.check_code(ann.id, await app.next_code())
    assert 29 * 60 < refused.value.retry_after_s <= 30 * 60
    with pytest.raises(TooManyRequests):
        await world.factors.finish_with_recovery_code(PARTICLE, await begin(world, ann), codes[0])
    # It is on record: neither a restart nor another process forgets.
    other = SecondFactors(
        *(world.db, FactorStore(), world.users, world.accounts, world.tokens, world.sealer, world.clock), issuer="x"
    )
    with pytest.raises(TooManyRequests):
        await other.check_code(ann.id, app.code())
    world.clock.advance(30 * MINUTE)
    for _ in range(9):
        with pytest.raises(CodeWrong):
            await world.factors.check_code(ann.id, app.wrong())
    await world.factors.check_code(ann.id, app.code())
    with pytest.raises(CodeWrong):
        await world.factors.check_code(ann.id, app.wrong())


async def test_a_person_begins_no_endless_number_of_log_ins(world: World) -> None:
    ann = await world.user("ann")
    for _ in range(30):
        await begin(world, ann)
        world.clock.advance(1)
    row = await world.db.fetch_one("SELECT count(*) FROM mfa_challenges")
    assert row == (20,)


@pytest.mark.parametrize(("asked", "mine_lives", "other_lives"), [(None, True, True), ("true", False, False)])
async def test_21_a_second_factor_can_end_other_log_ins(
    world: World, asked: str | None, mine_lives: bool, other_lives: bool
) -> None:
    ann, mine, other = await two_log_ins(world, await world.user("ann"))
    begun = await world.factors.begin_enrolment(ann)
    await world.factors.confirm_enrolment(ann, begun.mfa_token, App(world, begun.secret).code(), asked)
    assert await is_alive(world, mine.access_token) is mine_lives
    assert await is_alive(world, other.access_token) is other_lives


async def test_21_without_lasting_tokens_every_change_ends_the_others(make_world: Callable[..., World]) -> None:
    world = make_world(lasting_tokens=False)
    await world.install_client("particle")
    ann = await world.user("ann")
    for change in ("enrol", "codes", "remove", "enrol", "disable"):
        ann, mine, other = await two_log_ins(world, ann)
        match change:
            case "enrol":
                await enrol(world, ann)
            case "codes":
                await world.factors.new_recovery_codes(ann, PASSWORD)
                continue
            case "remove":
                (factor,), _ = await world.factors.of_user(ann)
                await world.factors.remove(ann, factor.id, PASSWORD)
            case "disable":
                await world.factors.disable(ann, PASSWORD)
        assert await is_alive(world, mine.access_token), change
        assert not await is_alive(world, other.access_token), change


async def test_taking_them_away_takes_the_password(world: World) -> None:
    ann, eve = await world.user("ann"), await world.user("eve")
    app, codes = await enrol(world, ann)
    (factor,), _ = await world.factors.of_user(ann)
    token = await begin(world, ann)
    for refused in (
        world.factors.disable(ann, "wrong"),
        world.factors.remove(ann, factor.id, "wrong"),
        world.factors.new_recovery_codes(ann, "wrong"),
    ):
        with pytest.raises(CurrentPasswordWrong):
            await refused
    with pytest.raises(FactorNotFound):
        await world.factors.remove(eve, factor.id, PASSWORD)
    with pytest.raises(FactorNotFound):
        await world.factors.new_recovery_codes(eve, PASSWORD)
    new = await world.factors.new_recovery_codes(ann, PASSWORD)
    assert not set(new) & set(codes)
    with pytest.raises(CodeWrong):
        await world.factors.finish_with_recovery_code(PARTICLE, token, codes[0])
    await world.factors.disable(ann, PASSWORD)
    assert not await world.factors.is_on(ann.id)
    for code in (app.code(), new[0]):
        with pytest.raises((ChallengeUnknown, CodeWrong)):
            await world.factors.finish_with_recovery_code(PARTICLE, token, code)


async def test_54_no_way_back_to_a_password_turns_them_off(world: World) -> None:
    """Neither a reset by mail nor a new password; and a half-finished log-in with the old one ends."""
    ann = await world.user("ann")
    app, _ = await enrol(world, ann)
    token = await begin(world, ann)
    await world.accounts.set_password(ann, NEW, PASSWORD, None)
    assert await world.factors.is_on(ann.id)
    with pytest.raises(ChallengeUnknown):
        await world.factors.finish_with_code(PARTICLE, token, await app.next_code())


async def test_only_people_have_them(world: World) -> None:
    ann = await world.user("ann")
    kim = await world.customer(ann, await world.product(ann), "kim")
    for refused in (
        world.factors.begin_enrolment(kim),
        world.factors.confirm_enrolment(kim, "x", "000000", None),
        world.factors.of_user(kim),
        world.factors.disable(kim, PASSWORD),
        world.factors.remove(kim, "x", PASSWORD),
        world.factors.new_recovery_codes(kim, PASSWORD),
    ):
        with pytest.raises(AccessRefused):
            await refused


async def test_what_the_database_keeps_opens_with_the_sealing_key_alone(world: World) -> None:
    ann = await world.user("ann")
    begun = await world.factors.begin_enrolment(ann)
    app = App(world, begun.secret)
    codes = await world.factors.confirm_enrolment(ann, begun.mfa_token, app.code(), None)
    token = await begin(world, ann)
    secret = base64.b32decode(begun.secret)
    kept = []
    for table in ("mfa_factors", "mfa_recovery_codes", "mfa_challenges"):
        kept += [value for row in await world.db.fetch_all(f"SELECT * FROM {table}") for value in row]  # noqa: S608
    everything = b"\n".join(
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in kept
    )
    assert hash_secret(token) in everything, "it is the right place to look"
    for given in (secret, begun.secret.encode(), token.encode(), bytes.fromhex(token), *map(str.encode, codes)):
        assert given not in everything
        assert given.replace(b"-", b"") not in everything
    stranger = SecondFactors(
        *(world.db, FactorStore(), world.users, world.accounts, world.tokens),
        *(Sealer(b"x" * KEY_BYTES), world.clock),
        issuer="x",
    )
    with pytest.raises(ChallengeUnknown):
        await stranger.check_code(ann.id, await app.next_code())


async def test_a_token_alone_sets_up_a_factor_only_where_clients_need_it(world: World, tmp_path: Path) -> None:
    ann = await world.user("ann")
    outbox = Outbox(tmp_path / "mail")
    uses = Counter[str]()
    parts = (world.db, FactorStore(), world.users, world.accounts, world.tokens, world.sealer, world.clock)
    strict, vendor = (
        SecondFactors(*parts, issuer="x", outbox=outbox, by_token=by_token, compat_uses=uses)
        for by_token in (False, True)
    )

    async def confirm(factors: SecondFactors, password: str | None) -> list[str] | None:
        begun = await factors.begin_enrolment(ann)
        app = App(world, begun.secret)
        return await factors.confirm_enrolment(ann, begun.mfa_token, app.code(), None, "phone", password=password)

    for factors, password in ((strict, None), (strict, ""), (strict, "no"), (vendor, ""), (vendor, "no")):
        with pytest.raises(CurrentPasswordWrong):
            await confirm(factors, password)
    assert not await world.factors.is_on(ann.id)
    await outbox.drain()
    assert not (tmp_path / "mail").exists()
    assert await confirm(strict, PASSWORD) is not None
    assert uses.total() == 0
    assert await confirm(vendor, None) is None
    assert uses == {"mfa_by_token": 1}
    # Whose account it is hears of each.
    await outbox.drain()
    outbox.close()
    mails = [path.read_text() for path in (tmp_path / "mail").iterdir()]
    assert len(mails) == 2
    assert all("To: ann" in mail and "authenticator app for ann" in mail and "phone" not in mail for mail in mails)


async def test_a_clock_that_was_set_back_lets_no_old_code_in(world: World) -> None:
    ann = await world.user("ann")
    app, _ = await enrol(world, ann)
    await world.factors.check_code(ann.id, code := await app.next_code())
    world.clock.advance(-DAY)
    for old in (code, app.code()):
        with pytest.raises(CodeWrong):
            await world.factors.check_code(ann.id, old)


async def test_a_deleted_person_leaves_nothing(world: World) -> None:
    ann = await world.user("ann")
    await enrol(world, ann)
    await begin(world, ann)
    with pytest.raises(CodeWrong):
        await world.factors.check_code(ann.id, "000000")
    await world.accounts.delete(ann, PASSWORD)
    for table in ("mfa_factors", "mfa_recovery_codes", "mfa_challenges", "mfa_failures"):
        assert await world.db.fetch_all(f"SELECT * FROM {table}") == []  # noqa: S608
    with pytest.raises(OAuthError):
        await world.log_in("ann")
