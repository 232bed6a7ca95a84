"""`grant_type=urn:custom:recovery-code`: the second step of a log-in, for whoever lost their authenticator app."""

from cloudchamber.identity.errors import ChallengeUnknown, CodeWrong
from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.oauth.errors import OAuthError, WrongGuess
from cloudchamber.oauth.grants.model import Form, Granted, finished
from cloudchamber.oauth.model import Client


class RecoveryCodeGrant:
    def __init__(self, factors: SecondFactors) -> None:
        self._factors = factors

    async def grant(self, client: Client, form: Form) -> Granted:
        """Raises OAuthError, TooManyRequests."""
        mfa_token, code = form.get("mfa_token"), form.get("recovery_code")
        if not mfa_token or not code:
            raise OAuthError("invalid_request", "You must provide recovery code and mfa token.")
        try:
            return finished(await self._factors.finish_with_recovery_code(client.id, mfa_token, code))
        except (ChallengeUnknown, CodeWrong) as error:
            kind = WrongGuess if error.is_wrong_guess else OAuthError
            raise kind("invalid_grant", error.message, detail=error.detail) from error
