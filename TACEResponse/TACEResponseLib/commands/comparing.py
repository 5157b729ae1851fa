"""The command that tries two models on the same patients."""

import csv
import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import InputError

from .output import Reporting, say_done
from .training import exit_code, listed

if TYPE_CHECKING:
    from TACEResponseLib.training.comparing import Answers, BundleComparison

TABLE, FIGURES = "comparison.csv", "comparison.json"


def compare(options: Namespace, progress: Reporting) -> int:
    """Answer every patient of a cohort with two bundles, and say how they differ."""
    from TACEResponseLib.bundle import load_bundle
    from TACEResponseLib.cohorts.table import read_cohort
    from TACEResponseLib.storage import make_folder
    from TACEResponseLib.training.comparing import compare_models

    models = [load_bundle(folder) for folder in options.bundles]
    if models[0].identity == models[1].identity:
        raise InputError("both folders hold the same model", field="bundles", received=models[0].identity)
    make_folder(options.out)  # said before the work, not after it
    cohort = read_cohort(options.cohort, encoding=options.encoding)
    found = compare_models(models, cohort, jobs=options.jobs, progress=progress)
    figures = figures_of(found)
    content = json.dumps(figures, indent=1, ensure_ascii=False)
    (options.out / FIGURES).write_text(content + "\n", encoding="utf-8", newline="\n")
    _write_patients(options.out / TABLE, found)
    text = [*listed(list(found.left_out.values())), *_in_words(found), f"Table: {options.out / TABLE}"]
    say_done(progress, "\n".join(text), table=str(options.out / TABLE), left_out=len(found.left_out))
    return exit_code(found.left_out)


def figures_of(found: "BundleComparison") -> dict:
    """The comparison as JSON types; no patient is named."""
    pair = found.difference
    return {
        "patients": len(found.patient_ids),
        "responders": found.outcome.responders,
        "models": [_model(of) for of in (found.first, found.second)],
        "auc_difference": None
        if pair is None
        else {"difference": pair.difference, "ci_low": pair.ci_low, "ci_high": pair.ci_high, "p": pair.p},
        "other_class": int(found.changed.sum()),
    }


def _model(of: "Answers") -> dict:
    auc, ratio = of.auc, of.observed_expected
    return {
        "bundle_id": of.bundle_id,
        "headline": of.headline,
        "auc": None if auc is None else auc.auc,
        "ci_low": None if auc is None else auc.ci_low,
        "ci_high": None if auc is None else auc.ci_high,
        "observed_expected": ratio.ratio,
        "brier": of.brier,
    }


def _in_words(found: "BundleComparison") -> list[str]:
    from TACEResponseLib.answer.words import model_title

    lines = [f"{len(found.patient_ids)} patients, {found.outcome.responders} of them responders"]
    for of in (found.first, found.second):
        auc = "no AUC, too few of a class"
        if of.auc is not None and of.auc.auc is not None:
            between = "" if of.auc.ci_low is None else f" ({of.auc.ci_low:.3f} to {of.auc.ci_high:.3f})"
            auc = f"AUC {of.auc.auc:.3f}{between}"
        ratio = of.observed_expected.ratio
        lines.append(
            f"{of.bundle_id}, {model_title(of.headline)}: {auc}, Brier {of.brier:.3f}, observed to expected "
            f"{'not defined' if ratio is None else f'{ratio:.2f}'}"
        )
    pair = found.difference
    if pair is None:
        lines.append("Difference of the AUCs: not tested, fewer than ten patients of a class")
    else:
        lines.append(
            f"Difference of the AUCs: {pair.difference:+.3f} ({pair.ci_low:+.3f} to {pair.ci_high:+.3f}), "
            f"p {pair.p:.3f}"
        )
    lines.append(f"{int(found.changed.sum())} patients are on the other side of the cut-off")
    return lines


def _write_patients(path: Path, found: "BundleComparison") -> None:
    """A row a patient: label, both probabilities, both classes."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        one, other = found.first, found.second
        table.writerow(["patient_id", "label", one.bundle_id, other.bundle_id, "same_class"])
        rows = zip(
            found.patient_ids, found.outcome.labels, one.probabilities, other.probabilities, strict=True
        )
        for (name, label, p, q), changed in zip(rows, found.changed, strict=True):
            table.writerow([name, int(label), f"{p:.6f}", f"{q:.6f}", int(not changed)])
