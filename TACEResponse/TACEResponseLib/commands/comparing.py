"""The command that tries two models on the same patients."""

import csv
import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import InputError
from TACEResponseLib.messages.language import tr

from .output import Reporting, say_done
from .training import exit_code, first_sentences

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
        raise InputError(tr("both folders hold the same model"), field="bundles", received=models[0].identity)
    make_folder(options.out)  # said before the work, not after it
    cohort = read_cohort(options.cohort, encoding=options.encoding)
    found = compare_models(models, cohort, jobs=options.jobs, progress=progress)
    figures = figures_of(found)
    content = json.dumps(figures, indent=1, ensure_ascii=False)
    (options.out / FIGURES).write_text(content + "\n", encoding="utf-8", newline="\n")
    table = options.out / TABLE
    _write_patients(table, found)
    text = [
        *first_sentences(list(found.left_out.values())),
        *_in_words(found),
        tr("Table: {file}", file=table),
    ]
    say_done(progress, "\n".join(text), table=str(table), left_out=len(found.left_out))
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
    numbers = {"n": len(found.patient_ids), "responders": found.outcome.responders}
    lines = [tr("{n} patients, {responders} of them responders", **numbers)]
    lines += [_model_in_words(of) for of in (found.first, found.second)]
    pair = found.difference
    if pair is None:
        lines.append(tr("Difference of the AUCs: not tested, fewer than ten patients of a class"))
    else:
        figures = {"difference": pair.difference, "low": pair.ci_low, "high": pair.ci_high, "p": pair.p}
        lines.append(
            tr("Difference of the AUCs: {difference:+.3f} ({low:+.3f} to {high:+.3f}), p {p:.3f}", **figures)
        )
    other_side = int(found.changed.sum())
    return [*lines, tr("{n} patients are on the other side of the cut-off", n=other_side)]


def _model_in_words(of: "Answers") -> str:
    from TACEResponseLib.answer.words import model_title

    ratio = of.observed_expected.ratio
    return tr(
        "{bundle}, {model}: {auc}, Brier {brier:.3f}, observed to expected {ratio}",
        bundle=of.bundle_id,
        model=model_title(of.headline),
        auc=_auc_in_words(of),
        brier=of.brier,
        ratio=tr("not defined") if ratio is None else f"{ratio:.2f}",
    )


def _auc_in_words(of: "Answers") -> str:
    if of.auc is None or of.auc.auc is None:
        return tr("no AUC, too few of a class")
    if of.auc.ci_low is None:
        return f"AUC {of.auc.auc:.3f}"
    figures = {"auc": of.auc.auc, "low": of.auc.ci_low, "high": of.auc.ci_high}
    return tr("AUC {auc:.3f} ({low:.3f} to {high:.3f})", **figures)


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
