"""django-oauth-toolkit with durable tokens, and two views behind them: what the benchmarks run beside the cloud.

Arguments: the database's file, and a JSON object with
  client    its id and secret
  customer  id and e-mail of the one customer
  device    the document that `GET /devices/ID` answers with, for its owner alone
  devices   the documents that `GET /devices` answers with

Production settings; no middleware, for none is needed here. A client's secret is random, so it is kept as it is
(`hash_client_secret`): PBKDF2, the default, takes a tenth of a second of each request. A customer's tokens come by the
password grant, whose validator takes the client's word for whom it speaks, as the cloud's `scope=customer=EMAIL` does.
"""

import json
import logging
import secrets
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings

FILE = sys.argv[1]
TOLD = json.loads(sys.argv[2])
OWNER = TOLD["customer"]["email"]
LIFETIME_S = 90 * 24 * 3600

settings.configure(
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": FILE,
            # What Django's documentation says of SQLite in production, and a commit on the disk before its answer.
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
                "transaction_mode": "IMMEDIATE",
                "timeout": 30,
            },
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    LOGGING_CONFIG=None,
    OAUTH2_PROVIDER={
        "ACCESS_TOKEN_EXPIRE_SECONDS": LIFETIME_S,
        "REFRESH_TOKEN_EXPIRE_SECONDS": 2 * LIFETIME_S,
        "OAUTH2_VALIDATOR_CLASS": f"{__name__}.Validator",
        "SCOPES": {"devices": "A customer's devices"},
    },
)
# Each use of the password grant would write that it is discouraged.
logging.disable(logging.WARNING)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 - not before the settings are there
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connections  # noqa: E402
from django.http import HttpRequest, HttpResponseForbidden, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from gunicorn_peer import serve  # noqa: E402
from oauth2_provider.decorators import protected_resource  # noqa: E402
from oauth2_provider.models import get_application_model  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402
from oauth2_provider.views import IntrospectTokenView, TokenView  # noqa: E402


class Validator(OAuth2Validator):
    def validate_user(
        self, username: str, _password: str, client: Any, request: Any, *_args: Any, **_more: Any
    ) -> bool:
        """A server that has proved itself speaks for its customers."""
        request.user = get_user_model().objects.filter(username=username, is_active=True).first()
        return request.user is not None


@protected_resource(scopes=["devices"])
def device(request: HttpRequest, device_id: str) -> Any:
    if device_id != TOLD["device"]["id"] or request.resource_owner.username != OWNER:
        return HttpResponseForbidden()
    return JsonResponse(TOLD["device"])


@protected_resource(scopes=["devices"])
def devices(request: HttpRequest) -> Any:
    if request.resource_owner.username != OWNER:
        return HttpResponseForbidden()
    return JsonResponse(TOLD["devices"], safe=False)


urlpatterns = [
    path("token", TokenView.as_view()),
    path("introspect", IntrospectTokenView.as_view()),
    path("devices", devices),
    path("devices/<str:device_id>", device),
]


def make() -> None:
    call_command("migrate", verbosity=0)
    user = get_user_model().objects.create_user(OWNER, email=OWNER)
    application = get_application_model()
    # Two, because an application has one grant.
    for suffix, grant in (("", application.GRANT_PASSWORD), ("-itself", application.GRANT_CLIENT_CREDENTIALS)):
        application.objects.create(
            client_id=TOLD["client"]["id"] + suffix,
            client_secret=TOLD["client"]["secret"],
            hash_client_secret=False,
            client_type=application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=grant,
            user=user,
        )
    connections.close_all()


def main() -> None:
    if not Path(FILE).exists():
        make()
    serve(get_wsgi_application)


if __name__ == "__main__":
    main()
