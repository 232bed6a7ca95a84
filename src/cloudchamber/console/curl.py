"""The requests that an application begins with, as lines for a terminal. Pure."""

import shlex
from dataclasses import dataclass
from urllib.parse import urlencode

CUSTOMER = "jane@example.com"


@dataclass(frozen=True, slots=True)
class Line:
    why: str
    text: str


def lines(
    client: str,
    secret: str,
    place: str,
    base: str,
    *,
    redirect_uri: str | None,
    is_web: bool,
    is_unlimited: bool,
    makes_customers: bool,
) -> list[Line]:
    """For a client that may do so much; `place` is the API's path of its product or organization."""

    def curl(path: str, **fields: str) -> str:
        parts = [["curl", f"{base}{path}"], ["-u", f"{client}:{secret}"]]
        parts += [["-d", f"{name}={value}"] for name, value in fields.items()]
        return " \\\n  ".join(shlex.join(words) for words in parts)

    customers = f"{place}/customers"
    found: list[Line] = []
    if is_unlimited:
        found += [
            Line("A token of its own, for the devices", curl("/oauth/token", grant_type="client_credentials")),
            Line("A customer without a password, and their token", curl(customers, email=CUSTOMER, no_password="true")),  # noqa: S106
            Line(
                "Later, another token of that customer",
                curl("/oauth/token", grant_type="client_credentials", scope=f"customer={CUSTOMER}"),
            ),
        ]
    elif makes_customers:
        found += [
            Line("Somebody signs up", curl(customers, email=CUSTOMER, password="a long password")),  # noqa: S106
            Line(
                "And logs in",
                curl("/oauth/token", grant_type="password", username=CUSTOMER, password="a long password"),  # noqa: S106
            ),
        ]
    else:
        found.append(Line("A token with its scopes", curl("/oauth/token", grant_type="client_credentials")))
    if is_web and redirect_uri is not None:
        query = {"client_id": client, "response_type": "code", "redirect_uri": redirect_uri, "state": "random"}
        found += [
            Line("Where people are sent to sign in", f"{base}/oauth/authorize?{urlencode(query)}"),
            Line(
                "With the code that they come back with",
                curl("/oauth/token", grant_type="authorization_code", code="CODE", redirect_uri=redirect_uri),
            ),
        ]
    return found
