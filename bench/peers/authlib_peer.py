"""Authlib's OAuth 2.0 server on Flask and SQLAlchemy with durable tokens: what the benchmarks run beside the cloud.

Arguments as of django_peer.py. It is made as Authlib's documentation of its Flask server has it: SQLAlchemy's mixins
for clients and tokens, and the functions that come with them. A customer's tokens come by the password grant, which
takes the client's word for whom it speaks; its answer has a refresh token.
"""

import json
import sys
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.sqla_oauth2 import (
    OAuth2ClientMixin,
    OAuth2TokenMixin,
    create_query_client_func,
    create_query_token_func,
    create_save_token_func,
)
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from gunicorn_peer import serve
from sqlalchemy import event
from sqlalchemy.engine import Engine

FILE = sys.argv[1]
TOLD = json.loads(sys.argv[2])
LIFETIME_S = 90 * 24 * 3600

db = SQLAlchemy()


class User(db.Model):  # type: ignore[name-defined, misc]
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(200), unique=True, nullable=False)

    def get_user_id(self) -> int:
        return int(self.id)


class Client(db.Model, OAuth2ClientMixin):  # type: ignore[name-defined, misc]
    id = db.Column(db.Integer, primary_key=True)


class Token(db.Model, OAuth2TokenMixin):  # type: ignore[name-defined, misc]
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.Integer, db.ForeignKey("user.id"))


class CustomersGrant(grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

    def authenticate_user(self, username: str, _password: str) -> User | None:
        """A server that has proved itself speaks for its customers."""
        return User.query.filter_by(email=username).first()  # type: ignore[no-any-return]


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = ("client_secret_basic",)

    def query_token(self, token: str, token_type_hint: str | None) -> Any:
        return create_query_token_func(db.session, Token)(token, token_type_hint)

    def introspect_token(self, token: Token) -> dict[str, Any]:
        return {
            "active": True,
            "client_id": token.client_id,
            "token_type": token.token_type,
            "sub": str(token.user_id),
            "scope": token.get_scope(),
            "iat": token.issued_at,
            "exp": token.issued_at + token.expires_in,
        }

    def check_permission(self, token: Token, client: Client, _request: Any) -> bool:
        return bool(token.client_id == client.client_id)


@event.listens_for(Engine, "connect")
def _durable(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def make() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{FILE}",
        SQLALCHEMY_ENGINE_OPTIONS={"connect_args": {"timeout": 30}},
        OAUTH2_REFRESH_TOKEN_GENERATOR=True,
        OAUTH2_TOKEN_EXPIRES_IN={"password": LIFETIME_S, "client_credentials": LIFETIME_S},
    )
    db.init_app(app)
    with app.app_context():
        server = AuthorizationServer(
            app,
            query_client=create_query_client_func(db.session, Client),
            save_token=create_save_token_func(db.session, Token),
        )
    server.register_grant(grants.ClientCredentialsGrant)
    server.register_grant(CustomersGrant)
    server.register_endpoint(Introspection)
    app.add_url_rule("/token", "token", server.create_token_response, methods=["POST"])
    app.add_url_rule(
        "/introspect",
        "introspect",
        lambda: server.create_endpoint_response(Introspection.ENDPOINT_NAME),
        methods=["POST"],
    )
    return app


def main() -> None:
    app = make()
    with app.app_context():
        db.create_all()
        db.session.add(User(email=TOLD["customer"]["email"]))
        client = Client(client_id=TOLD["client"]["id"], client_secret=TOLD["client"]["secret"])
        client.set_client_metadata(
            {
                "grant_types": ["password", "client_credentials"],
                "token_endpoint_auth_method": "client_secret_basic",
                "scope": "devices",
            }
        )
        db.session.add(client)
        db.session.commit()
        db.engine.dispose()
    serve(make)


if __name__ == "__main__":
    main()
