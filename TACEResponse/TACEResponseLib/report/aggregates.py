"""`aggregates.json`: what leaves a hospital of an evaluation, and how it is read where it arrives.

A data protection officer can read the file: figures of all patients together, no ID, no date, no path,
and no count below five. Numbers have four digits.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path

from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import listed, mark, tr
from TACEResponseLib.statistics.aggregates import (
    FEWEST,
    Aggregates,
    AucFigure,
    BenefitFigure,
    CalibrationFigure,
    RatioFigure,
    aggregate,
)
from TACEResponseLib.storage import make_folder, whole_file

from .study import Study

FILE, FORMAT, FORMAT_VERSION = "aggregates.json", "tace-response aggregates", 1  # not a text
#: Significant digits of a figure: more would tell two cohorts apart that differ by one patient.
DIGITS = 4
LARGEST_BYTES = 100_000
ABOUT = (
    mark(
        "How well a model predicts the outcome in the patients of one hospital. Every figure is of all "
        "patients together. The file holds no ID, no date, no path and no value of a single patient."
    ),
    mark(
        "null stands for a count below {fewest} (0 too), and for every count from which such a count could "
        "be had by subtraction. It also stands for a figure that cannot be computed."
    ),
    mark(
        "Do not hand out two files of cohorts that differ by a few patients: their difference says "
        "something about those few."
    ),
)
#: The parts of `Aggregates` that hold several numbers.
_PARTS = {"auc": AucFigure, "calibration": CalibrationFigure, "observed_expected": RatioFigure}


@dataclass(frozen=True)
class HospitalFile:
    """One `aggregates.json` as it was read. name: how the hospital is called, after the file."""

    name: str
    bundle_id: str
    model: str
    outcome: str
    estimate: str
    demonstration: bool
    figures: Aggregates


def require_folder_alone(folder: Path) -> None:
    """Raise InputError where `folder` holds anything but an earlier `aggregates.json`, or is a file.

    A folder that is handed on whole must not hold a report with patients beside it.
    """
    folder = Path(folder)
    beside = sorted(path.name for path in folder.iterdir() if path.name != FILE) if folder.is_dir() else []
    if beside or (folder.exists() and not folder.is_dir()):
        raise InputError(
            tr("the folder for the aggregates holds other files") if beside else tr("the folder is a file"),
            field="out",
            file=folder.name,
            expected=tr("an empty folder, or one with {name} alone", name=FILE),
            received=listed(beside[:3]) or tr("a file"),
            remedy=tr("choose a new folder, so that nothing about patients lies beside the file"),
        )
    make_folder(folder)


def write_aggregates(study: Study, folder: Path) -> tuple[Path, Aggregates]:
    """Write the figures of the model that answers on the external patients of `study`; file and figures."""
    group = next(g for g in study.scored if g.estimate != "out_of_fold")
    name = study.model.headline
    found = aggregate(group.labels, group.probabilities[name], group.ranking[name], len(study.left_out))
    content = {**_header(study.model, study.outcome, group.estimate), **_rounded(asdict(found))}
    path = Path(folder) / FILE
    with whole_file(path) as stream:
        stream.write(
            (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode("utf-8")
        )
    return path, found


def _header(model: ResponseModel, outcome: str, estimate: str) -> dict:
    from TACEResponseLib.bundle.files import software_versions  # needs scikit-learn, reading does not

    return {
        "about": [tr(text, fewest=FEWEST) for text in ABOUT],
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "bundle_id": model.identity,
        "demonstration": model.demonstration,
        "model": model.headline,
        "outcome": outcome,
        "estimate": estimate,
        "versions": software_versions(),
        "smallest_count": FEWEST,
    }


def _rounded(value):
    """Numbers with four significant digits, in whatever holds them; counts stay as they are."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value


def read_hospital(path: Path, name: str = "") -> HospitalFile:
    """The file as it was written; name: of the hospital, that of the file without one.

    Raises InputError when it is no `aggregates.json`, of another version, or damaged.
    """
    path = Path(path)
    content = _json(path)
    if content.get("format") != FORMAT or content.get("format_version") != FORMAT_VERSION:
        raise _foreign(
            path, f"{content.get('format') or tr('no format')} {content.get('format_version', '')}"
        )
    try:
        words = {key: content[key] for key in ("bundle_id", "model", "outcome", "estimate")}
        if not all(isinstance(word, str) and word for word in words.values()):
            raise TypeError("a text is missing")
        demonstration = bool(content["demonstration"])
        return HospitalFile(name or path.stem, **words, demonstration=demonstration, figures=_read(content))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            tr("the aggregates are damaged"),
            file=path.name,
            expected=tr("the file as evaluate --aggregates-only wrote it"),
            received=f"{type(error).__name__}: {error}"[:200],
            remedy=tr("ask the hospital for the file again"),
        ) from None


def _json(path: Path) -> dict:
    if not path.is_file():
        raise InputError(tr("there is no such file"), file=str(path), remedy=tr("check the path"))
    if path.stat().st_size > LARGEST_BYTES:
        raise _foreign(path, tr("{n} bytes", n=path.stat().st_size))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise _foreign(path, tr("no JSON")) from None
    if not isinstance(content, dict):
        raise _foreign(path, tr("JSON of another kind"))
    return content


def _foreign(path: Path, received: str) -> InputError:
    return InputError(
        tr("the file holds no aggregates of an evaluation"),
        file=path.name,
        expected=tr("{format}, written by evaluate --aggregates-only", format=f"{FORMAT} {FORMAT_VERSION}"),
        received=received.strip()[:200],
        remedy=tr(
            "choose the file that the hospital sent, or ask it to use the same version of TACEResponse"
        ),
    )


def _read(content: Mapping) -> Aggregates:
    """The figures; KeyError, TypeError or ValueError where something is missing or no number."""
    counts = [content[name] for name in ("patients", "events", "others", "left_out")]
    if any(count is not None and (type(count) is not int or count < FEWEST) for count in counts):
        raise ValueError("a count of patients is none")
    parts = {name: _part(kind, content[name]) for name, kind in _PARTS.items()}
    benefit = tuple(_part(BenefitFigure, each) for each in content["net_benefit"])
    if parts["auc"] is not None and None in counts[:3]:
        raise ValueError("an AUC without its patients")
    return Aggregates(*counts, **parts, brier=_number(content["brier"]), net_benefit=benefit)


def _part(kind: type, content: Mapping | None):
    if content is None:
        return None
    return kind(**{field.name: _number(content[field.name]) for field in fields(kind)})


def _number(value: object) -> float | int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError(f"{value!r} is no number")
    if value is not None and not isfinite(value):
        raise ValueError(f"{value} is no finite number")
    return value
