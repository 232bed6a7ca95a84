"""What a page of the console offers to do: its links, its forms with what a person would fill in, its streams."""

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(frozen=True)
class Sending:
    """A form as one of its buttons sends it."""

    method: str
    action: str
    fields: tuple[tuple[str, str], ...]
    files: tuple[str, ...]


@dataclass
class _Form:
    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    choices: dict[tuple[str, str], list[tuple[str | None, bool]]] = field(default_factory=dict)
    """Of radio buttons, check boxes and selects: each value, and whether it is chosen."""

    def sendings(self, plausible: dict[str, str]) -> list[Sending]:
        fields = [(name, value or plausible.get(name, "something")) for name, value in self.fields]
        for (kind, name), options in self.choices.items():
            chosen = [value for value, is_chosen in options if is_chosen]
            # One of several boxes: whoever sends none is told to choose.
            fields += [(name, value or "") for value in chosen or [options[0][0]] if value or kind != "checkbox"]
        files = tuple(self.files)
        buttons: list[tuple[tuple[str, str], ...]] = [(button,) for button in self.buttons] or [()]
        return [Sending(self.method, self.action, (*fields, *button), files) for button in buttons]


class Offered(HTMLParser):
    def __init__(self, text: str, plausible: dict[str, str]) -> None:
        super().__init__()
        self.links: list[str] = []
        self.streams: list[str] = []
        self._forms: list[_Form] = []
        self._in_form = False
        self._select: str | None = None
        self._area: str | None = None
        self.feed(text)
        self.forms = [sending for form in self._forms for sending in form.sendings(plausible)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "data-stream" in found:
            self.streams.append(found["data-stream"])
        if tag == "a":
            self.links.append(found.get("href", ""))
        if tag == "form":
            self._in_form = True
            self._forms.append(_Form(found.get("method", "get").upper(), found["action"]))
        if not self._in_form:
            return
        form, name = self._forms[-1], found.get("name", "")
        if tag == "input" and name:
            self._input(form, name, found)
        elif tag == "textarea" and name:
            self._area = name
            form.fields.append((name, ""))
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select is not None:
            options = form.choices.setdefault(("select", self._select), [])
            options.append((found.get("value"), "selected" in found))
        elif tag == "button" and name:
            form.buttons.append((name, found.get("value", "")))

    def _input(self, form: _Form, name: str, found: dict[str, str]) -> None:
        kind = found.get("type", "text")
        if kind in {"radio", "checkbox"}:
            form.choices.setdefault((kind, name), []).append((found.get("value", "on"), "checked" in found))
        elif kind == "file":
            form.files.append(name)
        else:
            form.fields.append((name, found.get("value", "")))

    def handle_data(self, data: str) -> None:
        if self._area is not None and self._forms[-1].fields[-1] == (self._area, ""):
            self._forms[-1].fields[-1] = (self._area, data)
        elif self._select is not None and data.strip():
            # An option without a value has its text for one.
            options = self._forms[-1].choices[("select", self._select)]
            value, is_chosen = options[-1]
            options[-1] = (data.strip() if value is None else value, is_chosen)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._in_form = False
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None
