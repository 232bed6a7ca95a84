"""Templates of pages. Jinja is loaded with the first page: it takes 2 MB and 40 ms, and programs ask for no pages."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def templates(package: str, *, lstrip_blocks: bool = False) -> "jinja2.Environment":
    """Those in the folder `templates` of a package: escaped, and strict about names."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=lstrip_blocks,
    )
