"""A run folder with a README.md: then it can be published as it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from epurecli.api.card_text import MARK, card_text
from epurecli.api.pictures import png
from epurecli.checkpoint import TrainedModel
from epurecli.errors import UsageError
from epurecli.evaluate import Report, read_reports, write_reports
from epurecli.files import write_atomic
from epurecli.sample.layout import SHEET

if TYPE_CHECKING:
    from PIL.Image import Image

README, REPORT = "README.md", "report"  # in the run folder


def write_card(
    trained: TrainedModel, evaluate: Callable[[], Report], sheet: Callable[[], Image], license: str, overwrite: bool
) -> Path:
    """The card, the contact sheet that it shows and, where there is none, the report whose figures it gives.

    Raises: as `Run.card`.
    """
    folder = trained.path.parent
    check_card(folder, license, overwrite)
    report = own_report(trained, overwrite)
    if report is None:
        report = evaluate()
        write_reports([report], folder / REPORT)
    picture = png(sheet())
    text = card_text(trained, report, license, sheet=SHEET, report_folder=REPORT)
    write_atomic(folder / SHEET, picture)
    write_atomic(folder / README, text.encode())
    return folder / README


def check_card(folder: Path, license: str, overwrite: bool) -> None:
    """Whether the card may be written. Raises: UsageError."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license):
        raise UsageError(f"license {license!r}: expected a hub's name for one", "apache-2.0, cc-by-4.0, other, unknown")
    readme, sheet = folder / README, folder / SHEET
    if not readme.exists():
        if sheet.exists() and not overwrite:
            raise UsageError(f"{sheet} exists already", "move it away, or add --overwrite to replace it")
        return
    if not readme.is_file() or MARK.encode() not in readme.read_bytes():
        raise UsageError(f"{readme} is no card of epure's, and is left alone", "move it away to have one written")
    if not overwrite:
        raise UsageError(
            f"{readme} exists already", "add --overwrite to write it again; what you changed in it is lost"
        )


def own_report(trained: TrainedModel, overwrite: bool) -> Report | None:
    """The report in the run folder, if it judges these weights; None: one is to be made.

    Raises: UsageError: it judges others; DataError: it is none.
    """
    folder = trained.path.parent / REPORT
    if not folder.exists():
        return None
    reports = read_reports(folder)
    if len(reports) == 1 and reports[0].weights == trained.digest:
        return reports[0]
    if overwrite:
        return None
    hint = f"move {folder} away, or add --overwrite to evaluate again"
    raise UsageError(f"{folder / 'report.json'} does not judge {trained.path.name} of this run alone", hint)
