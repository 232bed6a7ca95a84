"""`grant_type=urn:custom:mfa-otp`: the second step of a log-in, with a code of an authenticator app.

The vendor's own grant. Its token is as the first step asked: same client, lifetime and scope.
"""

from cloudchamber.identity.errors import ChallengeUnknown, CodeWrong
from cloudchamber.identity.mfa import SecondFactors
from cloudchamber.oauth.errors import OAuthError, WrongGuess
from cloudchamber.oauth.grants.model import Form, Granted, finished
from cloudchamber.oauth.model import Client


class MfaOtpGrant:
    def __init__(self, factors: SecondFactors) -> None:
        self._factors = factors

    async def grant(self, client: Client, form: Form) -> Granted:
        """Raises OAuthError, TooManyRequests."""
        mfa_token, otp = form.get("mfa_token"), form.get("otp")
        if not mfa_token or not otp:
            raise OAuthError("invalid_request", "You must provide otp and mfa token.")
        try:
            return finished(await self._factors.finish_with_code(client.id, mfa_token, otp))
        except (ChallengeUnknown, CodeWrong) as error:
            kind = WrongGuess if error.is_wrong_guess else OAuthError
            raise kind("invalid_grant", error.message, detail=error.detail) from error
