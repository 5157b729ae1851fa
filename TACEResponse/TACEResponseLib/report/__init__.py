"""The report folder of a training run or an external validation: figures that are never mixed.

`report.html` is the page to read; beside it lie `evaluation.json` (for programs), every table as
CSV, every figure as PNG and SVG, the model card, the folder `paper` with what a manuscript needs, and a
`README.txt` that lists them. The same study gives the same bytes.
"""

import csv
import hashlib
import io
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TACEResponseLib.messages.language import in_language, language, tr
from TACEResponseLib.statistics.outcome import OBJECTIVE_RESPONSE

from .study import Scored, Study, has_auc
from .table import Table

if TYPE_CHECKING:
    from TACEResponseLib.answer.response_model import ResponseModel
    from TACEResponseLib.bundle import BundleManifest
    from TACEResponseLib.messages.errors import Problem
    from TACEResponseLib.training.inputs import Labelled
    from TACEResponseLib.training.outlines import TwoOutlines
    from TACEResponseLib.training.run import Trained

PAGE, EVALUATION, CARD, README = "report.html", "evaluation.json", "model_card.md", "README.txt"
#: Keys of a row of `evaluation.json`.
KEYS = (
    "model",
    "estimate",
    "cohort",
    "center",
    "n",
    "responders",
    "auc",
    "ci_low",
    "ci_high",
    "threshold",
    "sensitivity",
    "specificity",
    "brier",
)


def write_training_report(
    trained: "Trained",
    folder: Path,
    manifest: "BundleManifest | None" = None,
    sources: Iterable[Path | None] = (),
) -> Path:
    """Write the whole report of a training run; the folder.

    manifest: of the saved bundle. sources: the tables that were read, for their sha256.
    """
    from .model_card import model_card

    study = Study.of_training(trained, manifest, table_hashes(sources))
    return _write(study, evaluation_rows(trained), model_card(trained), Path(folder))


def write_validation_report(
    model: "ResponseModel",
    external: "Labelled",
    left_out: "Mapping[str, Problem]",
    folder: Path,
    sources: Iterable[Path | None] = (),
    outcome: str = OBJECTIVE_RESPONSE,
    outlines: "TwoOutlines | None" = None,
) -> Path:
    """Write the report of a finished model on patients of its own; the folder.

    outcome: what the labels of these patients say, in words. outlines: the same patients with a second one.
    """
    unpaired = () if outlines is None else tuple(outlines.left_out.values())
    known = {"sources": table_hashes(sources), "outcome": outcome, "outlines": outlines, "warnings": unpaired}
    study = Study(model, external, left_out, **known)
    return _write(study, external_rows(model, external, outlines), "", Path(folder))


def table_hashes(sources: Iterable[Path | None]) -> dict[str, str]:
    """Name of each table -> sha256; a cohort's folder stands for the table in it, if it has one."""
    found = {}
    for path in (Path(source) for source in sources if source is not None):
        places = [path / name for name in ("cohort.csv", "cohort.xlsx")] if path.is_dir() else [path]
        tables = [place for place in places if place.is_file()][:1]
        found |= {table.name: hashlib.sha256(table.read_bytes()).hexdigest() for table in tables}
    return found


def evaluation_rows(trained: "Trained") -> list[dict]:
    """The content of `evaluation.json`: one row a model, estimate and centre, honest estimates first.

    Keys: model, estimate, cohort, center (empty for all), n, responders, auc, ci_low, ci_high,
    threshold (that is shipped), sensitivity, specificity (out of fold by thresholds of the folds), brier.
    """
    study, record = Study.of_training(trained), trained.record
    fitted = Scored(
        "resubstitution", "training", trained.training, record.resubstitution, record.resubstitution
    )
    return [*_rows_of(study.scored, trained.model), *_rows_of((fitted,), trained.model, centers=False)]


def external_rows(
    model: "ResponseModel", external: "Labelled", outlines: "TwoOutlines | None" = None
) -> list[dict]:
    """Rows of an external cohort, together and, where there are several, centre by centre.

    With patients among them that the model was fitted on, the estimate is `resubstitution`. outlines: the
    same patients with a second outline, for the row of the headline.
    """
    from .outlines import KEY, outline_figures

    rows = _rows_of(Study(model, external, {}).scored, model)
    if outlines is None:
        return rows
    found = {KEY: outline_figures(outlines)}
    return [row | found if (row["model"], row["center"]) == (model.headline, "") else row for row in rows]


def _rows_of(groups: Iterable[Scored], model: "ResponseModel", centers: bool = True) -> list[dict]:
    return [
        _performance(group, name, center, chosen, model.thresholds[name])
        for group in groups
        for name in group.probabilities
        for center, chosen in group.by_center().items()
        if has_auc(group.labels[chosen]) and (centers or not center)
        # Patients of one centre by models that saw the others of it: not another hospital's figure.
        if not (center and group.estimate == "out_of_fold")
    ]


def _performance(group: Scored, name: str, center: str, chosen: np.ndarray, threshold: float) -> dict:
    """One row of `evaluation.json`."""
    auc = group.auc(name, chosen if center else None)
    operating = group.operating(name, threshold, chosen)
    labels, probabilities = group.labels[chosen], group.probabilities[name][chosen]
    return {
        "model": name,
        "estimate": group.estimate,
        "cohort": group.cohort,
        "center": center,
        "n": len(labels),
        "responders": int(labels.sum()),
        "auc": auc.auc,
        "ci_low": auc.ci_low,
        "ci_high": auc.ci_high,
        "threshold": threshold,
        "sensitivity": operating.sensitivity.estimate,
        "specificity": operating.specificity.estimate,
        "brier": float(np.mean((probabilities - labels) ** 2)),
    }


def _write(study: Study, rows: list[dict], card: str, folder: Path) -> Path:
    from .figures import draw_all
    from .page import render
    from .paper_kit import paper_kit

    tables, drawings = _tables(study), draw_all(study)
    contents: dict[str, str | bytes | None] = {f"{t.name}.csv": t.to_csv() for t in _data(study, tables)}
    contents |= {f"{d.name}.{ending}": d.as_bytes(ending) for d in drawings for ending in ("png", "svg")}
    contents["evaluation.csv"] = _csv(rows)
    contents[CARD] = card or None
    contents[PAGE] = render(study, tables, [(d, contents[f"{d.name}.png"]) for d in drawings], card)
    captions = {f"{t.name}.csv": t.caption for t in tables}
    captions |= {f"{d.name}.{ending}": d.title for d in drawings for ending in ("png", "svg")}
    contents[README] = _readme(study, [name for name, content in contents.items() if content], captions)
    contents |= paper_kit(study, tables, drawings)
    # Last, since a program takes its presence for a finished report.
    contents[EVALUATION] = json.dumps(rows, indent=1, allow_nan=False) + "\n"
    for name, content in contents.items():
        _put(folder / name, content)
    return folder


def _data(study: Study, tables: list[Table]) -> list[Table]:
    """The tables in English: what programs read is the same whatever the reader's language."""
    if language() == "en":
        return tables
    with in_language("en"):
        return _tables(study)


def _tables(study: Study) -> list[Table]:
    """Every table of the report, in the order of the page."""
    from .added_value import added_value_tables
    from .baselines import baseline_tables
    from .centers import center_tables
    from .checklist_answers import checklist_tables
    from .controls import control_tables
    from .methods import method_tables
    from .odds_ratios import odds_ratio_tables
    from .outlines import outline_tables
    from .patients import patient_tables
    from .performance import performance_tables
    from .reader_ceiling import reader_tables
    from .sample_size import sample_size_tables
    from .stability import stability_tables
    from .subgroups import subgroup_tables

    parts = (patient_tables, odds_ratio_tables, sample_size_tables, performance_tables, baseline_tables)
    parts = (*parts, reader_tables, added_value_tables, subgroup_tables, center_tables, stability_tables)
    parts = (*parts, control_tables, outline_tables, method_tables, checklist_tables)
    return [table for part in parts for table in part(study)]


def _csv(rows: list[dict]) -> str:
    stream = io.StringIO()
    table = csv.DictWriter(stream, KEYS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return stream.getvalue()


def _readme(study: Study, there: Collection[str], captions: Mapping[str, str]) -> str:
    """What the marks of the page say, and what every file is."""
    from .paper_kit import FOLDER, KINDS

    named = {
        PAGE: tr("The report: open it in a browser"),
        EVALUATION: tr("AUC, threshold and Brier score of every model and estimate, for programs"),
        "evaluation.csv": tr("The same as a table"),
        CARD: tr("The model card"),
        **captions,
    }
    listed = {name: words for name, words in named.items() if name in there or name == EVALUATION}
    listed |= {f"{FOLDER}/{name}": tr(words) for name, words in KINDS.items()}
    width = max(map(len, listed))
    lines = [*study.statements, "", *(f"{name:<{width}}  {words}" for name, words in listed.items())]
    return "\n".join(lines) + "\n"


def _put(path: Path, content: str | bytes | None) -> None:
    """Write a file whole; a file of an earlier report that has no content now is removed."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    partial.replace(path)
