"""Importing devices: one, many or a file, with how far it is, and what became of each line.

An import runs on when its page is closed; what came of it is kept in memory for a while. A server that stops meanwhile
has done some batches whole and the others not at all: the same import again does the rest.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from cloudchamber.access.model import Action
from cloudchamber.api.reply import Reply
from cloudchamber.api.routes import IMPORT_BODY_LIMIT, Raw, route
from cloudchamber.api.routes.model import Console
from cloudchamber.clock import Millis
from cloudchamber.console.frame import Ask, Frame, PageNotFound
from cloudchamber.console.section import ANSWERS, PRODUCT, Section, form, page
from cloudchamber.errors import CloudError, Invalid
from cloudchamber.fleet.imports.model import ImportReport
from cloudchamber.fleet.imports.rules import ids_in_file
from cloudchamber.fleet.model import Product
from cloudchamber.ids import ProductId, UserId, new_id

_MAX_RUNS: Final = 100
_MAX_RUNNING_OF_USER: Final = 3
_MAX_SHOWN: Final = 500
_NOT_IN_TEAM: Final = "belongs to somebody outside of the product's team"
_TEXT: Final = "text/plain; charset=utf-8"

_HERE: Final = f"{PRODUCT}/devices/import"
ROUTES: Final = (
    page(_HERE, Action.DEVICES_IMPORT, "imports.new", "Asks for the ids of devices to import."),
    form(_HERE, Action.DEVICES_IMPORT, "imports.start", "Begins an import of devices.", body_limit=IMPORT_BODY_LIMIT),
    page(f"{_HERE}/{{run}}", Action.DEVICES_IMPORT, "imports.show", "Shows how far an import is, and what came of it."),
    route(
        "GET",
        f"{_HERE}/{{run}}/refused",
        Console("people sign in for it", Action.DEVICES_IMPORT),
        "console_imports.refused",
        "Gives what an import did not take, line by line.",
        answer={**ANSWERS, 200: Raw(_TEXT)},
    ),
)


@dataclass(slots=True)
class Run:
    id: str
    user: UserId
    product: ProductId
    started_at: Millis
    done: int = 0
    total: int = 0
    report: ImportReport | None = None
    error: str | None = None
    refused: Sequence[tuple[str, str]] = field(default_factory=tuple)
    """Each line that was not taken, and why."""

    @property
    def is_over(self) -> bool:
        return self.report is not None or self.error is not None

    def progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total


class ImportPages:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._services = frame.services
        self._runs: OrderedDict[str, Run] = OrderedDict()

    async def new(self, ask: Ask) -> Any:
        return await self._form(ask)

    async def start(self, ask: Ask) -> Any:
        texts = [ask.form.get("ids", ""), *(file.content.decode("utf-8", "replace") for file in ask.call.files)]
        if not any(text.strip() for text in texts):
            return await self._form(ask, Invalid("Type some ids, or choose a file with them."))
        running = [run for run in self._runs.values() if run.user == ask.requester.id and not run.is_over]
        if len(running) >= _MAX_RUNNING_OF_USER:
            return await self._form(ask, Invalid("Your other imports are still running: wait for one of them."))
        run = Run(new_id(), ask.requester.id, ask.the_product.id, self._services.clock.now())
        self._runs[run.id] = run
        while len(self._runs) > _MAX_RUNS:
            self._runs.popitem(last=False)
        claimant = ask.username if ask.form.get("claim") == "1" else None
        self._frame.in_background(self._import(run, ask, ask.the_product, texts, claimant))
        return self._frame.redirect(ask, f"{ask.base}/devices/import/{run.id}")

    async def show(self, ask: Ask) -> Any:
        run = self._run(ask)
        return await self._frame.page(
            ask,
            "import_run.html",
            title="Import",
            section="devices",
            back=(f"{ask.base}/devices", "Devices"),
            run=run,
            most=_MAX_SHOWN,
            percent=round(100 * run.done / run.total) if run.total else 0,
        )

    async def refused(self, ask: Ask) -> Any:
        lines = "".join(f"{text}\t{why}\n" for text, why in self._run(ask).refused)
        headers = (
            ("content-type", _TEXT),
            ("content-disposition", 'attachment; filename="refused.txt"'),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        )
        return Reply(lines.encode(), 200, headers)

    async def _import(self, run: Run, ask: Ask, product: Product, texts: Sequence[str], claimant: str | None) -> None:
        try:
            report = await self._services.imports.import_(
                ask.requester,
                product,
                chain.from_iterable(ids_in_file(text) for text in texts),
                claim_user=claimant,
                progress=run.progress,
            )
        except CloudError as error:
            run.error = error.message
        except asyncio.CancelledError:
            run.error = "The server stopped before the end. Start the same import again: it does what is missing."
            raise
        else:
            run.refused = [(device, _NOT_IN_TEAM) for device in report.nonmember] + [
                (text, report.why[text].value) for text in report.invalid
            ]
            run.report = report

    def _run(self, ask: Ask) -> Run:
        """Raises PageNotFound."""
        run = self._runs.get(ask.params["run"])
        if run is None or run.product != ask.the_product.id or run.user != ask.requester.id:
            raise PageNotFound("This import is not known any more; the devices that it took are in the list.")
        return run

    async def _form(self, ask: Ask, error: CloudError | None = None) -> Any:
        return await self._frame.page(
            ask,
            "import.html",
            title="Import devices",
            section="devices",
            back=(f"{ask.base}/devices", "Devices"),
            error=error,
        )


SECTION: Final = Section("imports", "Import", None, ROUTES, ImportPages)
