"""What honest evaluation gives on a public cohort: both recipes, two labels, beside tumour size.

Real radiomics of 105 HCC patients (TCIA HCC-TACE-Seg, DOI 10.7937/TCIA.5FNA-0924; features made by
others with pyradiomics 3.0.1) with the response by reader 1 and by the majority of three readers.
Prints one table and writes it as Markdown. The data are not part of the project:

    TACE_REAL_DATA=... python Testing/benchmarks/public_cohort.py [--repeats 5] [--jobs 2] [--out FILE]
"""

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "TACEResponse"))

from TACEResponseLib.evaluation import auc_delong, paired_delong
from TACEResponseLib.response_model import title
from TACEResponseLib.settings import PRESETS, preset
from TACEResponseLib.training import train_on_features

LABELS = {"reader 1": "labels_reader1.csv", "majority": "labels_majority.csv"}
SIZE = "tumour size as measured"
HEADER = ("label", "recipe", "model", "patients", "nested AUC (95 % CI)", "resubstitution", "against size, p")


def rows_of(folder: Path, label: str, recipe: str, repeats: int, jobs: int) -> list[tuple[str, ...]]:
    """One row a model for one label and one recipe."""
    settings = preset(recipe, repeats=repeats, network=None, selection=_without_bootstraps(recipe))
    trained = train_on_features(
        folder / "radiomics_tumour.csv", folder / LABELS[label], settings, jobs=jobs, progress=_tell
    )
    labels, out_of_fold = trained.training.labels, trained.record.out_of_fold.ranking
    # Larger tumours respond less; the diameter itself needs no fit and is the fair rival.
    size = -trained.training.inputs.diameters_mm
    scores = {SIZE: size, **{title(name): values for name, values in out_of_fold.items()}}
    resubstitution = {title(name): values for name, values in trained.record.resubstitution.items()}
    rows = []
    for name, values in scores.items():
        auc = auc_delong(labels, values)
        interval = f"{auc.auc:.3f} ({auc.ci_low:.3f} to {auc.ci_high:.3f})"
        patients = f"{auc.n} ({auc.responders} responders)"
        optimism, against = "", ""
        if name != SIZE:
            optimism = f"{auc_delong(labels, resubstitution[name]).auc:.3f}"
            against = f"{paired_delong(labels, values, size).p:.3f}"
        rows.append((label, recipe, name, patients, interval, optimism, against))
    return rows


def _without_bootstraps(recipe: str) -> dict:
    return {**PRESETS[recipe].get("selection", {}), "bootstraps": 0}


def _tell(stage: str, done: int, total: int) -> None:
    if done == 0:
        print(f"  {stage}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the four combinations and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "Docs" / "public-cohort.md")
    options = parser.parse_args()
    if "TACE_REAL_DATA" not in os.environ:
        print("Set TACE_REAL_DATA to the folder of the public data sets.")
        return 2
    folder = Path(os.environ["TACE_REAL_DATA"]) / "hcc-tace-seg"
    lines, started = [], time.monotonic()
    for label in LABELS:
        for recipe in PRESETS:
            print(f"{label}, {recipe}", file=sys.stderr, flush=True)
            lines += rows_of(folder, label, recipe, options.repeats, options.jobs)
    table = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    table += ["| " + " | ".join(row) + " |" for row in lines]
    print("\n".join(table))
    print(f"{time.monotonic() - started:.0f} s")
    options.out.write_text(_page(table, options.repeats), encoding="utf-8", newline="\n")
    return 0


def _page(table: list[str], repeats: int) -> str:
    return "\n".join(
        [
            "# The public cohort, honestly",
            "",
            "TCIA HCC-TACE-Seg: tumour radiomics (2018 features, pyradiomics 3.0.1, made by others),",
            "objective response by mRECIST. Every figure is nested: selection, models, calibration and",
            f"fusion inside each of 5 folds, {repeats} repeats; resubstitution stands beside it.",
            "Size as measured is the longest axial diameter of the mask; p by DeLong's paired test against",
            "it, not corrected for the number of models. Where p is above 0.05 a model is not shown to be",
            "better than the ruler.",
            "Made by `python Testing/benchmarks/public_cohort.py`; the data are not part of this project.",
            "",
            *table,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
