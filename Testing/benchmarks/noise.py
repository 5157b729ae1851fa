"""The whole training road on pure noise: 139 + 171 patients, 710 features, many seeds.

Nothing can be learned here, so every honest AUC is 0.5 but for chance; resubstitution shows what the
same models look like to somebody who does not hold patients out. Out of fold, single models and fusions
alike, patients are compared within a fold, as the report does.

    python Testing/benchmarks/noise.py [--seeds 20] [--jobs 2]
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "TACEResponse"))

from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.combination import title
from TACEResponseLib.settings import preset
from TACEResponseLib.statistics.discrimination import auc_delong
from TACEResponseLib.statistics.outcome import Outcome
from TACEResponseLib.training.model import fit_response_model

TRAINING, VALIDATION, FEATURES, RESPONDERS = 139, 171, 710, 0.6


def aucs_of(seed: int, jobs: int) -> dict[str, tuple[float, float, float]]:
    """Model -> AUC out of fold, external and by resubstitution on one noise cohort."""
    rng = np.random.default_rng(seed)
    patients = TRAINING + VALIDATION
    names = tuple(f"original_noise_{n:03d}" for n in range(FEATURES))
    inputs = PatientTable(tuple(map(str, range(patients))), names, rng.normal(size=(patients, FEATURES)))
    labels = (rng.random(patients) < RESPONDERS).astype(int)
    training, external = np.arange(TRAINING), np.arange(TRAINING, patients)
    settings = preset("peng2021", network=None, seed=seed, selection={"bootstraps": 0})
    model, record = fit_response_model(inputs.rows(training), Outcome(labels[training]), settings, jobs=jobs)
    outside = model.ranking(inputs.rows(external))
    return {
        name: (
            within.auc,
            auc_delong(labels[external], outside[name]).auc,
            auc_delong(labels[training], record.resubstitution[name]).auc,
        )
        for name, within in record.out_of_fold.aucs.items()
    }


def main() -> int:
    """Print mean AUC over the seeds with its 95 % interval, model by model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    started = time.monotonic()
    runs = []
    for seed in range(options.seeds):
        runs.append(aucs_of(seed, options.jobs))
        print(f"  seed {seed + 1} of {options.seeds}", file=sys.stderr, flush=True)
    print(f"{'model':<28}{'out of fold':<26}{'external':<26}resubstitution")
    for name in runs[0]:
        values = np.array([run[name] for run in runs])
        half = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
        cells = [
            f"{mean:.3f} ({mean - h:.3f} to {mean + h:.3f})"
            for mean, h in zip(values.mean(axis=0), half, strict=True)
        ]
        print(f"{title(name):<28}{cells[0]:<26}{cells[1]:<26}{values[:, 2].mean():.3f}")
    print(f"{time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
