"""The features of a cohort as a table: extraction case by case, and the CSV that others read.

The CSV is UTF-8 with commas: `patient_id`, then the columns of `radiomics.column_names`, numbers
with every digit that a float has. It holds measured patients only, and never an empty or NaN cell;
who could not be measured stands with the reason in a CSV of problems.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from .cases import Case
from .errors import FeatureError, InputError, Problem, TableError
from .extraction import CaseJob, CaseResult, StoredResult, run_cases
from .progress import Progress, silent
from .radiomics import engine_version, extract_row
from .settings import RadiomicsSettings
from .storage import whole_file

ID = "patient_id"
#: How columns begin that say how features were extracted; they are no features.
DIAGNOSTICS = "diagnostics_"
#: The column with the SHA-1 of the CT's voxels.
IMAGE_HASH = f"{DIAGNOSTICS}Image-original_Hash"


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
        stage="extracting features",
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
                "the rows of a feature table have different columns",
                patient_id=patient_id,
                expected=f"{len(columns)} columns as in the first row",
                received=f"{len(row)} columns",
                remedy="extract all patients with the same settings",
            )
        lines.append([patient_id, *(_cell(row[name], name, patient_id) for name in columns)])
    _write_lines(path, lines)


def _cell(value: float | str, name: str, patient_id: str) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise FeatureError(
            "a feature has no value",
            field=name,
            patient_id=patient_id,
            expected="a number",
            received=f"{value}",
        )
    return repr(value) if isinstance(value, float) else str(value)


def write_problem_csv(path: Path, problems: Sequence[Problem]) -> None:
    """Write who could not be measured, and why; one row a problem."""
    names = [item.name for item in fields(Problem)]
    _write_lines(path, [names, *([getattr(problem, name) for name in names] for problem in problems)])


def _write_lines(path: Path, lines: Sequence[Sequence[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    with whole_file(Path(path)) as stream:
        stream.write(text.getvalue().encode("utf-8"))


@dataclass(frozen=True)
class FeatureRows:
    """A feature table as read: values (patients x features) as lists of floats, IDs as text.

    diagnostics: for each patient the diagnostics columns as text, empty where there are none.
    """

    patient_ids: tuple[str, ...]
    feature_names: tuple[str, ...]
    values: list[list[float]]
    diagnostics: list[dict[str, str]]


def read_feature_csv(path: Path) -> FeatureRows:
    """Read a feature table; columns that begin with `diagnostics_` are kept apart as text.

    Raises InputError when there is no such file, TableError naming row and column of a cell that
    is no number, an ID that is missing or twice there, or a header without `patient_id`.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header, *lines = list(csv.reader(stream)) or [[]]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the feature table cannot be read", file=str(path), received=str(error)) from None
    if header[:1] != [ID] or len(set(header)) < len(header):
        raise TableError(
            "the header of the feature table is not usable",
            file=str(path),
            expected=f"{ID} first and every column once",
            received=", ".join(header[:3]) or "an empty file",
        )
    features = [n for n, name in enumerate(header) if n > 0 and not name.startswith(DIAGNOSTICS)]
    table = FeatureRows((), tuple(header[n] for n in features), [], [])
    ids: dict[str, int] = {}
    for number, cells in enumerate((line for line in lines if any(line)), start=2):
        if len(cells) != len(header):
            raise _fault(path, number, "", f"{len(header)} cells", f"{len(cells)} cells")
        if not cells[0] or cells[0] in ids:
            raise _fault(path, number, ID, "an ID that is in no other row", cells[0] or "an empty cell")
        ids[cells[0]] = number
        table.values.append([_number(cells[n], path, number, header[n]) for n in features])
        table.diagnostics.append(
            {n: c for n, c in zip(header, cells, strict=True) if n.startswith(DIAGNOSTICS)}
        )
    return FeatureRows(tuple(ids), table.feature_names, table.values, table.diagnostics)


def _number(cell: str, path: Path, row: int, column: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _fault(path, row, column, "a number with a decimal point", cell or "an empty cell")
    return value


def _fault(path: Path, row: int, column: str, expected: str, received: str) -> TableError:
    place = f"row {row}, column {column}" if column else f"row {row}"
    return TableError(
        f"the feature table has a fault in {place}",
        file=path.name,
        field=column,
        expected=expected,
        received=received,
        remedy="extract the features again, or correct the cell",
    )
