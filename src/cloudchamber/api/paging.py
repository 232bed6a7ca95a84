"""Pages of lists: `page` from 1, and `per_page`, which the reference also writes `perPage`."""

from typing import Final

from cloudchamber.api.fields import Fields

DEFAULT_PER_PAGE: Final = 25
MAX_PER_PAGE: Final = 1_000
_MAX_PAGE: Final = 1_000_000


def paging(query: Fields) -> tuple[int, int]:
    """Page and size. Raises FieldInvalid."""
    page = query.integer("page", at_least=1, at_most=_MAX_PAGE) or 1
    name = "per_page" if "per_page" in query else "perPage"
    return page, query.integer(name, at_least=1, at_most=MAX_PER_PAGE) or DEFAULT_PER_PAGE
