"""Second factors: authenticator apps, and recovery codes for whoever lost theirs.

**Enrolling** takes two requests: the first gives a secret and an `mfa_token`, the second brings a code that the app
made of it. Only then does the factor count. With the first one come recovery codes, shown this once. Clients send their
token and no password, so a token that was stolen locks its owner out of the next log-in (switch `mfa_by_token`): the
owner is told by mail, and whoever runs the cloud can turn second factors off (`cloudchamber user mfa-off`).

**Logging in** takes two requests as well: a right password gives no token but an `mfa_token`, bound to the client and
to what the first request asked for; the second brings a code. Every try is counted before it is looked at, so that a
thousand at once are not a thousand tries: five for one `mfa_token`, and ten in a row for one person, however many
log-ins they begin. A code counts once, and so does an `mfa_token`.

Nothing but this turns a second factor off: neither a new password nor a reset by mail does.
"""

import base64
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from cloudchamber.access.model import Account, Action
from cloudchamber.access.requester import Requester, User
from cloudchamber.access.service import require
from cloudchamber.clock import MINUTE, Clock, Millis
from cloudchamber.errors import TooManyRequests
from cloudchamber.identity.accounts import Accounts
from cloudchamber.identity.errors import ChallengeUnknown, CodeWrong, FactorNotFound
from cloudchamber.identity.model import Challenge, ChallengeKind, CodeFailures, Factor
from cloudchamber.identity.outbox import Outbox
from cloudchamber.identity.ports import LogIns
from cloudchamber.identity.rules import MAX_CODES_OF_A_LOG_IN, code_wait_ms
from cloudchamber.identity.service import Users
from cloudchamber.identity.store import FactorStore
from cloudchamber.identity.totp import SECRET_BYTES, as_text, key_uri, matching_step
from cloudchamber.ids import ClientId, SecretHash, UserId, hash_secret, new_id, new_token
from cloudchamber.sealing import Sealer
from cloudchamber.storage.database import Database, Transaction

# From the first request to the second: time to find the phone.
LIFETIME_MS: Final = 10 * MINUTE
MAX_FACTORS: Final = 10
_MAX_OPEN_LOG_INS: Final = 20
_MAX_NAME_LENGTH: Final = 100

RECOVERY_CODES: Final = 10
# 120 random bits: more than the 112 from which a plain hash is enough (OWASP ASVS 6.5.2).
_CODE_BYTES: Final = 15
_GROUP: Final = 4

_CODE_WRONG: Final = "Could not validate OTP"
_TOO_OLD: Final = "OTP expired"


class Enrolment(msgspec.Struct, frozen=True):
    """What an app needs, and the token that brings its first code."""

    mfa_token: str
    secret: str
    uri: str


class SecondFactors:
    def __init__(
        self,
        db: Database,
        store: FactorStore,
        users: Users,
        accounts: Accounts,
        log_ins: LogIns,
        sealer: Sealer,
        clock: Clock,
        *,
        issuer: str,
        outbox: Outbox | None = None,
        by_token: bool = True,
        compat_uses: Counter[str] | None = None,
    ) -> None:
        """`issuer` is the name under which apps list their codes. `by_token`: whoever holds a token may set one up."""
        self._db = db
        self._store = store
        self._users = users
        self._accounts = accounts
        self._log_ins = log_ins
        self._sealer = sealer
        self._clock = clock
        self._issuer = issuer
        self._outbox = outbox
        self._by_token = by_token
        self._compat_uses = Counter[str]() if compat_uses is None else compat_uses

    # -- enrolling ----------------------------------------------------------------------------------------------------

    async def begin_enrolment(self, requester: Requester) -> Enrolment:
        """A secret for one more app. Asking again makes the one before void. Raises AccessRefused."""
        require(requester, Action.ACCOUNT_UPDATE, Account())
        assert isinstance(requester, User)
        account = await self._users.get(requester.id)
        assert account is not None, "a token outlived its user"
        secret, token = os.urandom(SECRET_BYTES), new_token()
        hash_ = hash_secret(token)
        challenge = self._challenge(
            ChallengeKind.ENROLMENT, hash_, account.id, requester.client, sealed=self._sealer.seal(secret, hash_)
        )
        await self._open(challenge, at_most=1)
        return Enrolment(token, as_text(secret), key_uri(secret, account.username, self._issuer))

    async def confirm_enrolment(
        self,
        requester: Requester,
        mfa_token: str,
        otp: str,
        invalidate_tokens: str | None,
        name: str | None = None,
        *,
        password: str | None = None,
    ) -> list[str] | None:
        """The app's first code makes it a factor. Recovery codes with the first factor, else None. A password that is
        given must be right.

        Raises AccessRefused, CurrentPasswordWrong, ChallengeUnknown, CodeWrong, TooManyRequests, PasswordsBusy.
        """
        require(requester, Action.ACCOUNT_UPDATE, Account())
        assert isinstance(requester, User)
        if password is None and self._by_token:
            self._compat_uses["mfa_by_token"] += 1
        else:
            await self._accounts.confirm(requester, password or "")
        user, now = requester.id, self._clock.now()
        challenge = await self._try(mfa_token, ChallengeKind.ENROLMENT, requester.client, user)
        secret = self._secret(challenge.sealed, challenge.hash)
        step = matching_step(secret, otp, now, used=None)
        if step is None:
            raise CodeWrong(_CODE_WRONG)
        id_ = new_id()
        label = (name or "authenticator app")[:_MAX_NAME_LENGTH]
        factor = Factor(id_, user, label, self._sealer.seal(secret, _context(id_)), step, now, None)
        codes = [_new_code() for _ in range(RECOVERY_CODES)]
        hashes = [_hash_code(code) for code in codes]
        end = self._accounts.log_ins_to_end(requester, invalidate_tokens)

        async def write(tx: Transaction) -> tuple[bool, Sequence[SecretHash]] | None:
            if not await self._store.finish(tx, challenge.hash):
                return None
            known = await self._store.of_user(tx, user)
            if len(known) >= MAX_FACTORS:
                return None
            await self._store.insert(tx, factor)
            await self._store.clear_failures(tx, user)
            if not known:
                await self._store.replace_codes(tx, user, hashes, now)
            return not known, await end(tx)

        done = await self._db.transaction(write)
        if done is None:
            raise ChallengeUnknown("This enrolment was finished before, or there are too many apps already")
        is_first, ended = done
        self._log_ins.announce(ended)
        await self._tell(user)
        return codes if is_first else None

    async def _tell(self, user: UserId) -> None:
        account = await self._users.get(user)
        if self._outbox is not None and account is not None:
            self._outbox.send_soon(
                account.username,
                "A second factor was set up",
                f"Somebody, hopefully you, set up an authenticator app for {account.username}.\n"
                "From now on a log-in takes one of its codes.\n\n"
                "If it was not you, somebody else has a token of yours. While you are still\n"
                "logged in: turn second factors off, which takes your password, end all log-ins,\n"
                "and choose another password. If you cannot get in any more, whoever runs this\n"
                "cloud can turn your second factors off.\n",
            )

    # -- logging in ---------------------------------------------------------------------------------------------------

    async def is_on(self, user: UserId) -> bool:
        """Does a log-in of this user take a second factor?"""
        return bool(await self._store.of_user(self._db, user))

    async def begin_log_in(
        self, client: ClientId, user: UserId, scope: str | None, lifetime_s: int, began: Millis | None = None
    ) -> str:
        """The `mfa_token` of a log-in whose password was right; `began` is when it was shown."""
        token = new_token()
        challenge = self._challenge(
            ChallengeKind.LOG_IN, hash_secret(token), user, client, scope=scope, lifetime_s=lifetime_s
        )
        if began is not None:
            challenge = replace(challenge, created_at=began)
        await self._open(challenge, at_most=_MAX_OPEN_LOG_INS)
        return token

    async def finish_with_code(self, client: ClientId, mfa_token: str, otp: str) -> Challenge:
        """Whose log-in it is, and what it asked for. Raises ChallengeUnknown, CodeWrong, TooManyRequests."""
        challenge = await self._try(mfa_token, ChallengeKind.LOG_IN, client, None)
        found = await self._matching(challenge.user, otp)
        await self._finish(challenge.user, challenge.hash, factor=found)
        return challenge

    async def finish_with_recovery_code(self, client: ClientId, mfa_token: str, code: str) -> Challenge:
        """As `finish_with_code`; the code is used up."""
        challenge = await self._try(mfa_token, ChallengeKind.LOG_IN, client, None)
        await self._finish(challenge.user, challenge.hash, code=_hash_code(code))
        return challenge

    async def check_code(self, user: UserId, otp: str) -> None:
        """For requests that bring password and code at once (Basic). Raises CodeWrong, TooManyRequests."""
        await self._count_try(user, None)
        await self._finish(user, None, factor=await self._matching(user, otp))

    async def _matching(self, user: UserId, otp: str) -> tuple[str, int]:
        """The factor whose code this is, and its time step. Raises CodeWrong."""
        now = self._clock.now()
        for factor in await self._store.of_user(self._db, user):
            secret = self._secret(factor.sealed, _context(factor.id))
            step = matching_step(secret, otp, now, used=factor.last_step)
            if step is not None:
                return factor.id, step
        raise CodeWrong(_CODE_WRONG)

    async def _finish(
        self,
        user: UserId,
        challenge: SecretHash | None,
        *,
        factor: tuple[str, int] | None = None,
        code: SecretHash | None = None,
    ) -> None:
        """One transaction uses up the code and the challenge; whoever comes second gets nothing. Raises CodeWrong."""
        now = self._clock.now()

        async def write(tx: Transaction) -> None:
            if factor is not None and not await self._store.use_step(tx, *factor, now):
                raise CodeWrong(_CODE_WRONG)
            if code is not None and not await self._store.use_code(tx, user, code, now):
                raise CodeWrong(_CODE_WRONG)
            if challenge is not None and not await self._store.finish(tx, challenge):
                raise ChallengeUnknown(_TOO_OLD)
            await self._store.clear_failures(tx, user)

        await self._db.transaction(write)

    async def _try(self, token: str, kind: ChallengeKind, client: ClientId, user: UserId | None) -> Challenge:
        """The open challenge of a token, and one try less for it. Raises ChallengeUnknown, TooManyRequests."""
        found = await self._store.challenge(self._db, hash_secret(token))
        if (
            found is None
            or found.kind is not kind
            or found.client != client
            or (user is not None and found.user != user)
            or found.expires_at <= self._clock.now()
        ):
            raise ChallengeUnknown(_TOO_OLD)
        await self._count_try(found.user, found.hash)
        return found

    async def _count_try(self, user: UserId, challenge: SecretHash | None) -> None:
        """Raises TooManyRequests, ChallengeUnknown."""
        now = self._clock.now()

        async def write(tx: Transaction) -> int:
            failures = await self._store.failures(tx, user)
            wait = code_wait_ms(failures, now)
            if wait:
                return wait
            if challenge is not None:
                known = await self._store.challenge(tx, challenge)
                if known is None:
                    raise ChallengeUnknown(_TOO_OLD)
                if known.attempts >= MAX_CODES_OF_A_LOG_IN:
                    return known.expires_at - now
                await self._store.count_attempt(tx, challenge)
            await self._store.set_failures(tx, user, CodeFailures(failures.count + 1, now))
            return 0

        if wait := await self._db.transaction(write):
            raise TooManyRequests(wait)

    def _challenge(
        self,
        kind: ChallengeKind,
        hash_: SecretHash,
        user: UserId,
        client: ClientId,
        *,
        scope: str | None = None,
        lifetime_s: int | None = None,
        sealed: bytes | None = None,
    ) -> Challenge:
        now = self._clock.now()
        return Challenge(hash_, kind, user, client, scope, lifetime_s, sealed, 0, now, Millis(now + LIFETIME_MS))

    async def _open(self, challenge: Challenge, *, at_most: int) -> None:
        async def insert(tx: Transaction) -> None:
            await self._store.keep_newest(tx, challenge.user, challenge.kind, at_most - 1)
            await self._store.insert_challenge(tx, challenge)

        await self._db.transaction(insert)

    def _secret(self, sealed: bytes | None, context: bytes) -> bytes:
        """Raises ChallengeUnknown when the sealing key is not the one of then: nobody's code can be checked."""
        secret = self._sealer.open(sealed, context) if sealed is not None else None
        if secret is None:
            raise ChallengeUnknown(_TOO_OLD, detail="a second factor's secret does not open: another sealing.key?")
        return secret

    # -- looking after them -------------------------------------------------------------------------------------------

    async def of_user(self, requester: Requester) -> tuple[list[Factor], int]:
        """The factors of whoever asks, and how many recovery codes they have left. Raises AccessRefused."""
        require(requester, Action.ACCOUNT_GET, Account())
        assert isinstance(requester, User)
        return await self._store.of_user(self._db, requester.id), await self._store.codes_left(self._db, requester.id)

    async def remove(
        self, requester: Requester, factor: str, password: str, invalidate_tokens: str | None = None
    ) -> None:
        """One app less; with the last one, second factors are off.

        Raises AccessRefused, CurrentPasswordWrong, FactorNotFound.
        """
        account = await self._accounts.confirm(requester, password)
        end = self._accounts.log_ins_to_end(requester, invalidate_tokens)

        async def write(tx: Transaction) -> Sequence[SecretHash]:
            if not await self._store.delete(tx, account.id, factor):
                raise FactorNotFound("There is no such second factor")
            if not await self._store.of_user(tx, account.id):
                await self._store.delete_all(tx, account.id)
            return await end(tx)

        self._log_ins.announce(await self._db.transaction(write))

    async def disable(self, requester: Requester, password: str, invalidate_tokens: str | None = None) -> None:
        """No second factor any more. Raises AccessRefused, CurrentPasswordWrong."""
        account = await self._accounts.confirm(requester, password)
        end = self._accounts.log_ins_to_end(requester, invalidate_tokens)

        async def write(tx: Transaction) -> Sequence[SecretHash]:
            await self._store.delete_all(tx, account.id)
            return await end(tx)

        self._log_ins.announce(await self._db.transaction(write))

    async def new_recovery_codes(self, requester: Requester, password: str) -> list[str]:
        """Ten new ones; the old ones end. Raises AccessRefused, CurrentPasswordWrong, FactorNotFound."""
        account = await self._accounts.confirm(requester, password)
        codes, now = [_new_code() for _ in range(RECOVERY_CODES)], self._clock.now()
        hashes = [_hash_code(code) for code in codes]

        async def write(tx: Transaction) -> None:
            if not await self._store.of_user(tx, account.id):
                raise FactorNotFound("Set up an authenticator app first")
            await self._store.replace_codes(tx, account.id, hashes, now)

        await self._db.transaction(write)
        return codes

    async def purge(self) -> int:
        """Removes challenges that nobody can answer any more; returns how many."""
        before = self._clock.now()

        async def delete(tx: Transaction) -> int:
            return await self._store.delete_expired(tx, before)

        return await self._db.transaction(delete)


def _context(factor: str) -> bytes:
    return b"mfa factor " + factor.encode()


def _new_code() -> str:
    """`abcd-efgh-ijkl-mnop-qrst-uvwx`: base32, as people can type it."""
    text = base64.b32encode(os.urandom(_CODE_BYTES)).decode().lower()
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def _hash_code(code: str) -> SecretHash:
    return hash_secret("".join(code.split()).replace("-", "").lower())
