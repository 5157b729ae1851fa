"""The table of a cohort's answers: `predictions.csv`, and the same for a spreadsheet."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.language import width
from TACEResponseLib.storage import quoted, shown_text, whole_file

if TYPE_CHECKING:
    from TACEResponseLib.answer.prediction import Prediction

#: Both say whose each folder is.
PREDICTIONS, SPREADSHEET = "predictions.csv", "predictions.xlsx"
#: Widest column of the spreadsheet, in letters.
WIDEST = 40


def prediction_row(prediction: "Prediction", folder: str) -> dict:
    """One patient of the table; column -> text, number or None."""
    content = prediction.to_json()
    lowest, highest = prediction.certainty.instability or (None, None)
    return {
        "patient_id": prediction.patient_id,
        "folder": folder,
        "fused": content["fused"],
        "threshold": content["threshold"],
        "responder": "" if content["responder"] is None else int(content["responder"]),
        "class": prediction.reading().verdict,
        "training_share": content["training_share"],
        **{f"probability_{name}": value for name, value in content["probabilities"].items()},
        "like_training": prediction.similarity.verdict,
        "instability_low": lowest,
        "instability_high": highest,
        "conformal_set": " or ".join(prediction.certainty.conformal),
        **content["lesions"],
        "mask_source": content["outline"]["source"],
        **{f"score_{score.name}": score.group for score in prediction.clinical_scores},
        "scores_na": "; ".join(
            f"{score.title}: {', '.join(score.missing)}"
            for score in prediction.clinical_scores
            if score.missing
        ),
        "warnings": " ".join(content["warnings"]),
        "statement": content["statement"],
    }


def write_tables(folder: Path, rows: list[dict]) -> tuple[Path, Path]:
    """Write both tables into `folder`, each whole or not at all; their paths.

    Columns are the keys of all rows, in the order in which they come. A text that a spreadsheet would
    run has an apostrophe before it.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    safe = [{key: quoted(v) if isinstance(v, str) else v for key, v in row.items()} for row in rows]
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(safe)
    with whole_file(folder / PREDICTIONS) as stream:
        stream.write(text.getvalue().encode("utf-8"))
    with whole_file(folder / SPREADSHEET) as stream:
        _workbook(columns, safe).save(stream)
    return folder / PREDICTIONS, folder / SPREADSHEET


def _workbook(columns: list[str], rows: list[dict]):
    """A sheet that stays readable when it is scrolled: bold header, first columns fixed, a filter."""
    from openpyxl import Workbook
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    workbook = Workbook()
    sheet = workbook.active
    sheet.title = "predictions"
    sheet.append(columns)
    for row in rows:
        cells = (row.get(name) for name in columns)
        # XML holds no control characters, which the name of a file in an error may have.
        sheet.append([shown_text(cell) if isinstance(cell, str) else cell for cell in cells])
    for number, column in enumerate(sheet.columns, start=1):
        column[0].font = Font(bold=True)
        for cell in column:
            if isinstance(cell.value, float):
                cell.number_format = "0.000"
        longest = max(width(str(cell.value or "")) if cell.data_type == "s" else 6 for cell in column)
        sheet.column_dimensions[get_column_letter(number)].width = min(longest + 3, WIDEST)
    sheet.freeze_panes = "B2"
    sheet.auto_filter.ref = sheet.dimensions
    return workbook
