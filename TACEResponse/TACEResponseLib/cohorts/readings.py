"""What several readers say of a patient's response, and the label that it is made into.

A table names further readers in columns `response_reader2`, `response_reader3` (CR, PR, SD, PD) or
`label_reader2`, `label_reader3` (1, 0); the first reader's are `response` and `label`.
"""

import re
from collections.abc import Iterable

from TACEResponseLib.messages.errors import TableError, TrainingError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.readers.tables import Row
from TACEResponseLib.settings import LabelSource
from TACEResponseLib.statistics.outcome import RESPONSES

#: What the column label may hold.
LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
#: What is said of a cell that holds something else.
UNREAD = {
    "label": mark("row {number}, column {column} is not a label"),
    "response": mark("row {number}, column {column} is not a response"),
}
FURTHER_READER = re.compile(r"(?:label|response)_reader([2-9])")


def is_reading(column: str) -> bool:
    """Whether a column holds the response as a further reader saw it."""
    return FURTHER_READER.fullmatch(column.strip().casefold()) is not None


def responder_label(row: dict[str, str], number: int, table: str, reader: int = 1) -> int | None:
    """1 responder, 0 not, None when neither `label` nor `response` is filled; TableError else.

    reader: 1, or one whose columns end in `_reader2` and so on.
    """
    end, by_column = "" if reader == 1 else f"_reader{reader}", {}
    for name, known in (("label", LABELS), ("response", RESPONSES)):
        column = name + end
        text = row.get(column, "").upper()
        if not text:
            continue
        if text not in known:
            raise TableError(
                tr(UNREAD[name], number=number, column=column),
                patient_id=row["patient_id"],
                file=table,
                field=column,
                expected=listed(name for name in known if "." not in name),
                received=f'"{row[column]}"',
                remedy=tr("correct the cell"),
            )
        by_column[name] = known[text]
    if len(set(by_column.values())) > 1:
        raise TableError(
            tr(
                "row {number}: {label} and {response} contradict each other",
                number=number,
                label=f"label{end}",
                response=f"response{end}",
            ),
            patient_id=row["patient_id"],
            file=table,
            expected=tr("label 1 with CR or PR, label 0 with SD or PD"),
            received=tr(
                "label {label}, response {response}",
                label=row[f"label{end}"],
                response=row[f"response{end}"],
            ),
            remedy=tr("correct one of them"),
        )
    return next(iter(by_column.values()), None)


def readings_of(row: Row, table: str) -> tuple[int | None, ...]:
    """Every reader's label of a patient, the first reader's first; one entry in a table with one reader.

    Raises TableError as `responder_label`.
    """
    found = {int(match[1]) for name in row if name and (match := FURTHER_READER.fullmatch(name.casefold()))}
    return tuple(responder_label(row, row.number, table, reader) for reader in (1, *sorted(found)))


def label_of(readings: tuple[int | None, ...], source: LabelSource) -> int | None:
    """The label of a patient with these readings, None where there is none.

    `majority` and `soft` need every reader's reading, and more of one kind than of the other.
    """
    if source == "reader1":
        return readings[0]
    responders = sum(label == 1 for label in readings)
    if None in readings or 2 * responders == len(readings):
        return None
    return int(2 * responders > len(readings))


def require_readers(readings: Iterable[tuple[int | None, ...]], source: LabelSource) -> None:
    """Raise TrainingError when a label of several readers is asked for and the table has one."""
    if source != "reader1" and not any(len(of) > 1 for of in readings):
        raise TrainingError(
            tr("the response of several readers is asked for"),
            field="outcome",
            expected=tr("a column response_reader2 or label_reader2"),
            received=tr("one reader, outcome {source}", source=source),
            remedy=tr("add the columns, or take the outcome reader1"),
        )
