"""The training report: figures that are never mixed - resubstitution, out of fold, external."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .evaluation import at_threshold, auc_delong

if TYPE_CHECKING:
    from .training import LabelledInputs, Trained


def evaluation_rows(trained: "Trained") -> list[dict]:
    """The content of `evaluation.json`: one row a model, estimate and centre.

    Keys: model, estimate, cohort, center (empty for all), n, responders, auc, ci_low, ci_high,
    threshold (Youden, from out-of-fold scores), sensitivity, specificity, brier.
    """
    thresholds, record = trained.model.thresholds, trained.record
    rows = []
    for name, threshold in thresholds.items():
        for estimate, values in (
            ("resubstitution", record.resubstitution[name]),
            ("out_of_fold", record.out_of_fold.probabilities[name]),
        ):
            rows.append(
                {
                    "model": name,
                    "estimate": estimate,
                    "cohort": "training",
                    "center": "",
                    **performance(trained.training.labels, values, threshold),
                }
            )
    if trained.external is not None:
        rows += external_rows(trained.model, trained.external)
    return rows


def external_rows(model, external: "LabelledInputs") -> list[dict]:
    """Rows of an external cohort, together and, where there are several, centre by centre."""
    rows = []
    centers = sorted({c for c in external.centers if c})
    for name, values in model.probabilities(external.inputs).items():
        for center in ["", *(centers if len(centers) > 1 else [])]:
            chosen = np.array([center in ("", c) for c in external.centers])
            if len(np.unique(external.labels[chosen])) < 2:
                continue  # an AUC needs both classes
            rows.append(
                {
                    "model": name,
                    "estimate": "external",
                    "cohort": "validation",
                    "center": center,
                    **performance(external.labels[chosen], values[chosen], model.thresholds[name]),
                }
            )
    return rows


def performance(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict:
    """AUC with DeLong's interval, the threshold's sensitivity and specificity, and the Brier score."""
    auc, operating = auc_delong(labels, probabilities), at_threshold(labels, probabilities, threshold)
    return {
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


def write_report(rows: list[dict], folder: Path) -> Path:
    """`evaluation.json` and the same as CSV; the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    with (folder / "evaluation.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return folder
