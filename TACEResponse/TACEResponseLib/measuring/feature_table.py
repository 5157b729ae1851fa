"""The features of a cohort as a table: extraction case by case, and the CSV that others read.

The CSV is UTF-8 with commas: `patient_id`, then the columns of `radiomics.column_names`, numbers
with every digit that a float has. It holds measured patients only, and never an empty or NaN cell;
who could not be measured stands with the reason in a CSV of problems. An ID that a spreadsheet would
run as a formula is written with an apostrophe before it, which `read_table` takes away again.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path

from TACEResponseLib.cases import Case
from TACEResponseLib.messages.errors import FeatureError, Problem, TableError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.radiomics import engine_version, extract_row, feature_names
from TACEResponseLib.resumable import CaseJob, CaseResult, StoredResult, run_cases
from TACEResponseLib.settings import RadiomicsSettings
from TACEResponseLib.storage import quoted, whole_file

ID = "patient_id"
#: How columns begin that say how features were extracted; they are no features.
DIAGNOSTICS = "diagnostics_"
#: The column with the SHA-1 of the CT's voxels.
IMAGE_HASH = f"{DIAGNOSTICS}Image-original_Hash"


def own_features(settings: RadiomicsSettings) -> tuple[str, ...]:
    """Names of the features that an extraction with these settings gives, in its order."""
    return tuple(feature_names(settings))


def diagnostics_of(row: Mapping) -> dict[str, str]:
    """What a row of a feature table says of its extraction."""
    return {name: str(value) for name, value in row.items() if name.startswith(DIAGNOSTICS)}


def extract_features(
    jobs: Sequence[CaseJob],
    read: Callable[[CaseJob], Case],
    settings: RadiomicsSettings,
    *,
    store: Path,
    engine: str = "fast",
    jobs_in_parallel: int = 1,
    threads: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    progress: Progress = silent,
) -> list[StoredResult | Problem]:
    """A row of radiomics (in `values`), or the problem, for each job; see `extraction.run_cases`.

    read: makes the Case of a job; it must be importable by name in the worker processes.
    """
    return run_cases(
        jobs,
        partial(_measure, read=read, settings=settings, engine=engine, threads=threads),
        store=store,
        recipe={"settings": settings.to_json(), "engine": engine_version(engine)},
        jobs_in_parallel=jobs_in_parallel,
        threads=threads,
        backend=backend,
        scheduler=scheduler,
        progress=progress,
        stage=tr("extracting features"),
    )


def _measure(
    job: CaseJob, read: Callable[[CaseJob], Case], settings: RadiomicsSettings, engine: str, threads: int
) -> CaseResult:
    return CaseResult(extract_row(read(job), settings, engine=engine, threads=threads))


def write_feature_csv(path: Path, rows: Mapping[str, Mapping[str, float | str]]) -> None:
    """Write patient -> row, all rows with the same columns; the file appears complete or not at all.

    Raises FeatureError for a number that is none, TableError when the columns differ.
    """
    columns = list(next(iter(rows.values()), {}))
    lines = [[ID, *columns]]
    for patient_id, row in rows.items():
        if list(row) != columns:
            raise TableError(
                tr("the rows of a feature table have different columns"),
                patient_id=patient_id,
                expected=tr("{n} columns as in the first row", n=len(columns)),
                received=tr("{n} columns", n=len(row)),
                remedy=tr("extract all patients with the same settings"),
            )
        lines.append([quoted(patient_id), *(_cell(row[name], name, patient_id) for name in columns)])
    _write_lines(path, lines)


def _cell(value: float | str, name: str, patient_id: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise FeatureError(
            tr("a feature has no value"),
            field=name,
            patient_id=patient_id,
            expected=tr("a number"),
            received=f"{value}",
        )
    return repr(value) if isinstance(value, float) else str(value)


def write_problem_csv(path: Path, problems: Sequence[Problem]) -> None:
    """Write who could not be measured, and why; one row a problem."""
    names = [item.name for item in fields(Problem)]
    _write_lines(path, [names, *([quoted(getattr(problem, name)) for name in names] for problem in problems)])


def _write_lines(path: Path, lines: Sequence[Sequence[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    with whole_file(Path(path)) as stream:
        stream.write(text.getvalue().encode("utf-8"))
