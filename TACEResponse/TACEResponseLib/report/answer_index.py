"""`index.html` over a folder of answers: a row a patient, first those that need care.

It lists the patients by their IDs, as `predictions.csv` beside it does, and says so; the pages that it
links to name nobody unless asked.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from TACEResponseLib.answer.prediction import DEMONSTRATION, Prediction
from TACEResponseLib.answer.reading import ON_DARK, ON_LIGHT, Reading
from TACEResponseLib.messages.language import listed, mark, several, tr
from TACEResponseLib.storage import whole_file

from .pages import render_page
from .patient_page import PAGE

INDEX = "index.html"
#: Why an answer needs care, the most urgent first; "" for one that needs none beyond the usual.
CARE = ("failed", "outside", "warnings", "undecided", "")
#: The same in the words of the line above the table.
COUNTED = {
    "failed": mark("{n} without an answer"),
    "outside": mark("{n} outside the training data"),
    "warnings": mark("{n} with warnings"),
    "undecided": mark("{n} undecided"),
    "": mark("{n} without any of these"),
}


@dataclass(frozen=True)
class IndexRow:
    """One patient: the folder of the answer and how it reads, or the problem in its place."""

    patient_id: str
    folder: str = ""
    reading: Reading | None = None
    warnings: int = 0
    statement: str = ""
    problem: str = ""

    @classmethod
    def of(cls, prediction: Prediction, folder: str) -> "IndexRow":
        """Of an answer in `folder`, which lies beside the index."""
        found = prediction.reading(), len(prediction.warnings), prediction.statement()
        return cls(prediction.patient_id, folder, *found)

    @property
    def care(self) -> str:
        """The first of `CARE` that applies."""
        if self.reading is None:
            return "failed"
        if self.reading.kind == "outside":
            return "outside"
        return "warnings" if self.warnings else "undecided" if self.reading.kind == "undecided" else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be read before the number: the problem, the banner, how many warnings there are."""
        banner = "" if self.reading is None else self.reading.banner
        warnings = several(self.warnings, "1 warning", "{n} warnings") if self.warnings else ""
        return tuple(filter(None, (self.problem, banner, warnings)))

    @property
    def link(self) -> str:
        """The patient's page as a relative address."""
        return f"{quote(self.folder)}/{PAGE}"


def write_index(rows: Sequence[IndexRow], folder: Path) -> Path:
    """Write `index.html` into `folder`; its path. Rows of one kind stay in the order given."""
    rows = sorted(rows, key=lambda row: CARE.index(row.care))
    count = Counter(row.care for row in rows)
    page = render_page(
        "index.html",
        rows=rows,
        patients=several(len(rows), "1 patient", "{n} patients"),
        counts=listed(tr(COUNTED[care], n=count[care]) for care in CARE if count[care]),
        statements=list(dict.fromkeys(row.statement for row in rows if row.statement)),
        demonstration=tr(DEMONSTRATION),
        light=ON_LIGHT,
        dark=ON_DARK,
    )
    path = Path(folder) / INDEX
    with whole_file(path) as stream:
        stream.write(page.encode("utf-8"))
    return path
