"""The command that measures the public collection and lays our columns beside the published table."""

import csv
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr

from .output import DONE, SOME_FAILED, Reporting, say_done

if TYPE_CHECKING:
    from TACEResponseLib.measuring.agreement import ColumnAgreement

TABLE = "verification.csv"
#: Columns that are named on the terminal.
MOST_NAMED = 10


def verify_public(options: Namespace, progress: Reporting) -> int:
    """Lay out the collection's DICOM files, measure them as the table says, and compare every column."""
    from TACEResponseLib.cohorts.public.hcc_tace_seg import find_clinical
    from TACEResponseLib.cohorts.public.layout import lay_out
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.measuring.agreement import agreement_of, settings_of_table
    from TACEResponseLib.measuring.cohort import extract_patients
    from TACEResponseLib.readers.tables import read_table

    if not options.source.is_dir():
        raise InputError(tr("there is no such folder"), field="from", received=str(options.source))
    published = {row["patient_id"]: row for row in read_table(options.features, required=("patient_id",))}
    settings = settings_of_table(published.values())
    if settings is None:
        raise InputError(
            tr("the table does not say how its features were measured"),
            file=options.features.name,
            expected=tr("columns diagnostics_Configuration_Settings and _EnabledImageTypes"),
        )
    clinical = options.clinical or find_clinical(options.source)
    layout = lay_out(options.source, clinical, options.out / "cohort", progress=progress)
    measured, failed = extract_patients(
        read_cohort(options.out / "cohort").patients,
        settings,
        jobs=options.jobs,
        store=options.out / "features-work",
        progress=progress,
    )
    columns = agreement_of(measured, published)
    table = _write(options.out / TABLE, columns)
    problems = [*layout.problems, *failed.values()]
    text = [*map(str, problems), *_summary(columns, len(measured)), tr("Every column: {file}", file=table)]
    say_done(progress, "\n".join(text), table=str(table), columns=len(columns), failed=len(failed))
    return SOME_FAILED if problems else DONE


def _summary(columns: Sequence["ColumnAgreement"], patients: int) -> list[str]:
    """How many columns agree, and those that do not, in words."""
    from TACEResponseLib.measuring.agreement import SAME

    apart = [column for column in columns if column.same < column.patients]
    lines = [
        tr(
            "{n} patients measured; {same} of {all} columns have the table's values in every patient "
            "(relative deviation at most {deviation:g})",
            n=patients,
            same=len(columns) - len(apart),
            all=len(columns),
            deviation=SAME,
        )
    ]
    lines += [f"  {_column_text(column)}" for column in apart[:MOST_NAMED]]
    more = len(apart) - MOST_NAMED
    return lines + ([f"  {tr('... and {n} more', n=more)}"] if more > 0 else [])


def _column_text(column: "ColumnAgreement") -> str:
    return tr(
        "{column}: {same} of {n} patients the same, largest relative deviation {largest:.2g}",
        column=column.column,
        same=column.same,
        n=column.patients,
        largest=column.largest,
    )


def _write(path: Path, columns: Sequence["ColumnAgreement"]) -> Path:
    rows = [column.to_row() for column in columns]
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]) if rows else ["feature"], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path
