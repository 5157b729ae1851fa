"""A table of the report: the same rows as a CSV with every digit, and as text for the page."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from TACEResponseLib.messages.language import several, tr
from TACEResponseLib.statistics.intervals import AucInterval
from TACEResponseLib.storage import quoted

from .columns import HIGH, LOW, header
from .rivals import named
from .study import ESTIMATES


@dataclass(frozen=True)
class Table:
    """Rows of one table. name: of its CSV file, without ending. caption: what a reader reads first.

    rows: dictionaries with the same keys; numbers as numbers, None where there is none. A column
    `x` with `x_ci_low` and `x_ci_high` is shown as one. absent: why there are no rows.
    """

    name: str
    caption: str
    rows: Sequence[dict] = field(repr=False)
    note: str = ""
    absent: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the CSV."""
        return tuple(self.rows[0]) if self.rows else ()

    def to_csv(self) -> str | None:
        """The table as CSV text, every digit of a number, empty cells where there is none.

        A text that a spreadsheet would run gets an apostrophe before it, which `read_table` takes off IDs.
        None for a table without rows: it has no file.
        """
        if not self.rows:
            return None
        stream = io.StringIO()
        table = csv.DictWriter(stream, self.columns, lineterminator="\n")
        table.writeheader()
        for row in self.rows:
            table.writerow({k: quoted(cell) if isinstance(cell, str) else cell for k, cell in row.items()})
        return stream.getvalue()

    @property
    def headers(self) -> list[str]:
        """The columns as the page names them."""
        return [header(name, self.columns) for name in self._shown]

    def cells(self, rows: Sequence[dict] | None = None) -> list[list[str]]:
        """The rows (all, or some of them) as text; an interval stands beside its estimate."""
        return [[_cell(name, row) for name in self._shown] for row in (self.rows if rows is None else rows)]

    @property
    def numeric(self) -> list[bool]:
        """For each shown column, whether it is numbers and is set to the right."""
        return [
            all(row[name] in (None, "") or isinstance(row[name], int | float) for row in self.rows)
            for name in self._shown
        ]

    @property
    def _shown(self) -> list[str]:
        return [name for name in self.columns if not name.endswith((LOW, HIGH))]


def _cell(name: str, row: dict) -> str:
    value = row[name]
    if value is None or value == "":
        return "" if value == "" else "–"
    if name in ("model", "first", "second") and isinstance(value, str):
        return named(value)
    if name == "estimate":
        return tr(ESTIMATES.get(value, str(value)))
    if is_p(name):
        return p_text(value)
    text = number_text(value)
    if row.get(name + LOW) is None:
        return text
    low, high = number_text(row[name + LOW]), number_text(row[name + HIGH])
    return tr("{estimate} ({low} to {high})", estimate=text, low=low, high=high)


def is_p(name: str) -> bool:
    """Whether a column of this name holds p-values."""
    return name == "p" or name.endswith("_p") or name.startswith("p_")


def number_text(value: object) -> str:
    """A number with the digits that a reader can use; anything else as it is."""
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"
    if float(text) == 0:  # a bound close to 0 stays on its side of it, rounding of the computer does not
        text = f"{value:.1g}" if abs(value) > 1e-9 else "0.000"
    return text.replace("-", "\N{MINUS SIGN}")


def p_text(p: float) -> str:
    """A p-value as it is printed."""
    if p < 0.001:
        return "< 0.001"
    text = f"{p:.3f}"
    return f"{p:.4f}" if text == "0.050" else text  # on which side of the line must be seen


def signed(difference: float) -> str:
    """A difference with its sign."""
    return f"{difference:+.3f}".replace("-", "\N{MINUS SIGN}")


def patients_text(patients: int, responders: int) -> str:
    """ "60 patients, 30 responders"."""
    return tr(
        "{patients}, {responders}",
        patients=several(patients, "1 patient", "{n} patients"),
        responders=several(responders, "1 responder", "{n} responders"),
    )


def interval_text(auc: AucInterval) -> str:
    """ "95 % CI 0.612 to 0.783", or why there is none."""
    if auc.ci_low is None:
        return tr("no interval, {reason}", reason=tr(auc.reason))
    return tr("95 % CI {low:.3f} to {high:.3f}", low=auc.ci_low, high=auc.ci_high)
