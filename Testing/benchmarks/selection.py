"""How long the feature elimination takes beside caret, and what it makes of pure noise.

    python Testing/benchmarks/selection.py [--repeats 3] [--jobs 2] [--json FILE]
    python Testing/benchmarks/selection.py --noise 20

The work: 139 patients x 710 features, 5 folds, 20 sizes (1 to 20) and all, 500 trees, permutation
importance. With R and caret on this machine both run in turn and the ratios are of the same
minutes; without, the figure kept with the test data is printed, which another machine took for 28
sizes, and ours for the same sizes. Wall seconds suffer when the machine is busy, CPU seconds less.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

TESTING = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTING.parent / "TACEResponse"))

from TACEResponseLib.models.fitting import fit_classifier, score
from TACEResponseLib.models.recipes import CLASSIFIERS
from TACEResponseLib.selection.elimination import eliminate
from TACEResponseLib.settings import SelectionSettings
from TACEResponseLib.statistics.discrimination import auc_delong

PATIENTS, RESPONDERS, FEATURES, INFORMATIVE = 139, 83, 710, 10
#: The sizes behind `rfe_full.json`.
SIZES_OF_THE_FIXTURE = (*range(1, 21), 25, 30, 40, 50, 75, 100, 200, 400)


def cohort(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (139, 710), ten of them shifted by half an SD between the classes, and labels."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(PATIENTS) < RESPONDERS).astype(int)
    features = random.normal(size=(PATIENTS, FEATURES))
    features[:, :INFORMATIVE] += 0.5 * labels[:, None]
    return features, labels


def ours(features: np.ndarray, labels: np.ndarray, sizes: tuple[int, ...], jobs: int) -> tuple[float, float]:
    """Wall and CPU seconds of one elimination."""
    names = [f"f{k:03}" for k in range(features.shape[1])]
    wall, cpu = time.perf_counter(), time.process_time()
    eliminate(features, names, labels, SelectionSettings(sizes=sizes, trees=500), seed=1, jobs=jobs)
    return time.perf_counter() - wall, time.process_time() - cpu


def caret(table: Path, sizes: tuple[int, ...], jobs: int) -> tuple[float, float]:
    """Wall and CPU seconds of one `rfe`, the start of R not counted."""
    script = Path(__file__).with_name("caret_rfe.R")
    arguments = [str(table), str(jobs), ",".join(map(str, sizes)), "500"]
    run = subprocess.run(["Rscript", str(script), *arguments], capture_output=True, text=True, check=True)
    wall, cpu = run.stdout.split("seconds")[1].split()[:2]
    return float(wall), float(cpu)


def has_caret(jobs: int) -> bool:
    """Whether R is here with caret, and doParallel where several workers are asked for."""
    if shutil.which("Rscript") is None:
        return False
    packages = ["caret", "randomForest"] + (["doParallel"] if jobs > 1 else [])
    test = "; ".join(f"stopifnot(requireNamespace('{name}', quietly = TRUE))" for name in packages)
    return subprocess.run(["Rscript", "-e", test], capture_output=True).returncode == 0


def speed(repeats: int, jobs: int) -> dict:
    """Time both in turn and print medians and their ratio."""
    features, labels = cohort(seed=1)
    sizes = tuple(range(1, 21))
    ours(features, labels, (2,), jobs)  # compiles on the first run ever
    record = {"patients": PATIENTS, "features": FEATURES, "folds": 5, "trees": 500, "jobs": jobs}
    if not has_caret(jobs):
        runs = [ours(features, labels, SIZES_OF_THE_FIXTURE, jobs) for _ in range(repeats)]
        fixture = json.loads((TESTING / "data" / "r-oracle" / "rfe_full.json").read_text())["seconds"]
        wall, cpu = (median(column) for column in zip(*runs, strict=True))
        print("caret is not here; its figure is of another machine, one worker, 28 sizes and all 710")
        print(f"ours  {wall:6.2f} s wall  {cpu:6.2f} s CPU\ncaret {fixture:6.2f} s wall")
        return record | {"sizes": 28, "live": False, "seconds": wall, "cpu_s": cpu, "caret_seconds": fixture}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "cohort.csv"
        header = ",".join(["label", *(f"f{k:03}" for k in range(FEATURES))])
        np.savetxt(table, np.column_stack([labels, features]), delimiter=",", header=header, comments="")
        pairs = [(ours(features, labels, sizes, jobs), caret(table, sizes, jobs)) for _ in range(repeats)]
    (wall, cpu), (caret_wall, caret_cpu) = (
        [median(run[which][k] for run in pairs) for k in (0, 1)] for which in (0, 1)
    )
    ratio = median(mine[0] / theirs[0] for mine, theirs in pairs)
    cpu_ratio = median(mine[1] / theirs[1] for mine, theirs in pairs)
    print(f"medians of {repeats} runs in turn, {jobs} threads or workers, 20 sizes and all 710")
    print(f"ours  {wall:6.2f} s wall  {cpu:6.2f} s CPU")
    print(f"caret {caret_wall:6.2f} s wall  {caret_cpu:6.2f} s CPU")
    print(f"ours / caret: {ratio:.2f} wall, {cpu_ratio:.2f} CPU")
    return record | {
        "sizes": 20,
        "live": True,
        "seconds": wall,
        "cpu_s": cpu,
        "caret_seconds": caret_wall,
        "caret_cpu_s": caret_cpu,
        "ratio": ratio,
        "cpu_ratio": cpu_ratio,
    }


def noise_aucs(seed: int, choose: str, everybody: bool, jobs: int) -> list[float]:
    """Validation AUC of the five models on 14 of 710 noise features, chosen as said."""
    random = np.random.default_rng(seed)
    labels = np.r_[random.permutation(np.arange(139) < 83), random.permutation(np.arange(171) < 104)].astype(
        int
    )
    features = random.normal(size=(310, FEATURES))
    seen = slice(None) if everybody else slice(139)
    if choose == "class means":
        gap = features[seen][labels[seen] == 1].mean(axis=0) - features[seen][labels[seen] == 0].mean(axis=0)
        chosen = np.argsort(-np.abs(gap))[:14]
    else:
        names = [f"{k}" for k in range(FEATURES)]
        selection = eliminate(features[seen], names, labels[seen], SelectionSettings(), seed=seed, jobs=jobs)
        chosen = np.array([int(name) for name in selection.chosen])
    models = [
        fit_classifier(name, features[:139, chosen], labels[:139], variant="paper", seed=seed)
        for name in CLASSIFIERS
    ]
    return [auc_delong(labels[139:], score(model, features[139:, chosen])).auc for model in models]


def noise(seeds: int, jobs: int) -> list[dict]:
    """Print mean validation AUC over the seeds, for both ways to choose and both sets of patients seen."""
    print(
        f"pure noise, 139 + 171 patients, {FEATURES} features, 14 chosen: mean validation AUC, {seeds} seeds"
    )
    print(f"{'chosen by':14}{'on':16}" + "".join(f"{name:>15}" for name in CLASSIFIERS))
    rows = []
    for choose in ("class means", "elimination"):
        for everybody in (True, False):
            aucs = np.array([noise_aucs(seed, choose, everybody, jobs) for seed in range(seeds)])
            on = "all 310" if everybody else "training 139"
            print(
                f"{choose:14}{on:16}" + "".join(f"{value:15.3f}" for value in aucs.mean(axis=0)), flush=True
            )
            rows.append(
                {"choose": choose, "on": on, **dict(zip(CLASSIFIERS, aucs.mean(axis=0), strict=True))}
            )
    error = np.sqrt((104 + 67 + 1) / (12 * 104 * 67))
    print(f"standard error of such a mean at 0.5: {error / np.sqrt(seeds):.3f}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="threads of ours, workers of caret")
    parser.add_argument("--noise", type=int, metavar="SEEDS", help="the noise table instead of the clock")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    record = (
        noise(arguments.noise, arguments.jobs)
        if arguments.noise
        else speed(arguments.repeats, arguments.jobs)
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
