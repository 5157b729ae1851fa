"""A table of the report: the same rows as a CSV with every digit, and as text for the page."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from TACEResponseLib.models.combination import title
from TACEResponseLib.storage import quoted

from .study import ESTIMATES

#: Columns whose name alone would not tell a reader enough.
HEADERS = {
    "auc": "AUC (95 % CI)",
    "auc_so_far": "AUC so far (95 % CI)",
    "auc_resubstitution": "AUC by resubstitution (95 % CI)",
    "auc_out_of_fold": "AUC out of fold (95 % CI)",
    "auc_external": "AUC external (95 % CI)",
    "auc_of_tumour_size": "AUC of tumour size",
    "brier": "Brier score",
    "called_otherwise": "predicted otherwise",
    "center": "centre",
    "ci": "95 % CI",
    "difference": "AUC difference (95 % CI)",
    "ece": "ECE",
    "icc": "ICC (95 % CI)",
    "in_the_large": "in the large",
    "mann_whitney_p": "p (Mann-Whitney)",
    "n": "patients",
    "npv": "NPV (95 % CI)",
    "odds_ratio": "odds ratio (95 % CI)",
    "p_adjusted": "p (Holm)",
    "patient_id": "patient",
    "patients_called_otherwise_in_a_tenth": "patients predicted otherwise in a tenth",
    "ppv": "PPV (95 % CI)",
    "r": "r",
    "sha256": "sha256",
    "slope": "slope (95 % CI)",
    "true_positive": "TP",
    "false_positive": "FP",
    "true_negative": "TN",
    "false_negative": "FN",
}
LOW, HIGH = "_ci_low", "_ci_high"


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
        return [_header(name, self.columns) for name in self._shown]

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


def _header(name: str, columns: Sequence[str]) -> str:
    words = name.replace("_", " ")
    return HEADERS.get(name, f"{words} (95 % CI)" if name + LOW in columns else words)


def _cell(name: str, row: dict) -> str:
    value = row[name]
    if value is None or value == "":
        return "" if value == "" else "–"
    if name in ("model", "first", "second") and isinstance(value, str):
        return title(value)
    if name == "estimate":
        return ESTIMATES.get(value, str(value))
    if is_p(name):
        return p_text(value)
    text = number_text(value)
    if row.get(name + LOW) is not None:
        text += f" ({number_text(row[name + LOW])} to {number_text(row[name + HIGH])})"
    return text


def is_p(name: str) -> bool:
    """Whether a column of this name holds p-values."""
    return name == "p" or name.endswith("_p") or name.startswith("p_")


def number_text(value: object) -> str:
    """A number with the digits that a reader can use; anything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
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
