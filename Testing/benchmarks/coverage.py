"""Do the stated figures keep their promise? Trainings on simulated cohorts whose truth is known.

Every simulation draws a cohort, trains on it with the product's own code (`fit_response_model`: selection,
models, fusion, nested folds) and tries the model on new patients. The tables say how often each stated
95 % interval held the truth, how often the paired test was wrong, and how far calibration, threshold and
conformal sets are from what is said of them.

    python Testing/benchmarks/coverage.py [--simulations 300] [--jobs 2] [--patients 60 93 200]
                                          [--repeats 1] [--json FILE]

In brackets stands the Monte Carlo error; ~ marks a figure that lies outside its bound by less than two
errors, ! one that lies further outside. With --json a run that was stopped goes on.

40 normal features in 10 blocks (correlation within a block about 0.5), the outcome logistic in six of
them, 62 % responders, a diameter that has a part of the effect. Recipe: 5 features by elimination, small
forests. Every simulation has its own seed, so that the tables are the same for any number of processes.
"""

if __name__ != "__main__":
    # This folder is on the path of every benchmark, and numba looks for the package of this name.
    raise ImportError("a benchmark, not the package coverage")

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from monte_carlo import Figure, Rows, lines_of_table, mean, median, read_rows, share, together, write_rows
from scipy import special  # its functions, imported by name, do not travel to other processes
from scipy.optimize import brentq
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "TACEResponse"))

from TACEResponseLib.answer.certainty import NO_RESPONSE, RESPONSE, conformal_set
from TACEResponseLib.answer.response_model import ResponseModel
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.models.combination import combine
from TACEResponseLib.settings import TrainingSettings, preset
from TACEResponseLib.statistics.calibration import calibration
from TACEResponseLib.statistics.crossvalidation import (
    WithinFolds,
    auc_difference,
    auc_interval,
    fixed_score,
    within_folds,
)
from TACEResponseLib.statistics.discrimination import at_threshold, auc_delong
from TACEResponseLib.statistics.intervals import auc_newcombe
from TACEResponseLib.statistics.outcome import FEWEST_PER_CLASS, Outcome
from TACEResponseLib.training.model import TrainingRecord, fit_response_model

FEATURES, BLOCKS, RESPONDERS = 40, 10, 0.62
#: Those that the outcome depends on: two of each of three blocks.
TRUE = (0, 1, 2, 10, 11, 12)
PAIRS = "differences"
EFFECTS = {"noise": 0.0, "effect": 1.4}
SETS_OF = ("sets, responders, %", "sets, others, %")
NEW, FOR_SETS, POPULATION = 2000, 400, 200_000
#: Patients of the external cohorts that Newcombe's interval is tried on.
EXTERNAL = (30, 60)
#: Where a figure must lie; equal bounds: a truth, from which it may be two errors away.
COVERAGE, SIZE, SLOPE, SETS, NOUGHT, CHANCE = (92, 98), (3, 7), (0.85, 1.18), (90, 100), (0, 0), (0.5, 0.5)
#: The columns of the first table and of the second; all others stand in the table of pairs.
OF_AUC = ("true", "true, shipped", "stated", "SD", "interval holds, %", "width", "test rejects, %")
OF_MODEL = ("slope", "J less true", "J shipped", "external 30, %", "external 60, %", *SETS_OF)


@dataclass(frozen=True)
class Cohort:
    """table, outcome: of n patients. direction: (n,) what the outcome depends on. chance: (n,) noise."""

    table: PatientTable
    outcome: Outcome
    direction: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True)
class Simulated:
    """One training: what it said of each model or fusion, and what was true.

    parts: AUCs inside the folds. of_folds, shipped: true AUCs of the fold's models (mean) and of the
    shipped one on NEW patients. slope: of the shipped one there. youden: J as stated (nested), true J
    of the folds' models at their thresholds, true J of what is shipped. external: cohort size ->
    whether Newcombe's interval holds the shipped model's AUC. sets: share of responders and of others
    whose conformal set holds the truth.
    """

    labels: np.ndarray
    folds: np.ndarray
    direction: np.ndarray
    chance: np.ndarray
    parts: Mapping[str, WithinFolds]
    of_folds: Mapping[str, float]
    shipped: Mapping[str, float]
    slope: Mapping[str, float]
    youden: Mapping[str, tuple[float, float, float]]
    external: Mapping[int, Mapping[str, bool]]
    sets: Mapping[str, tuple[float, float]]


def settings_of(seed: int, repeats: int) -> TrainingSettings:
    """A recipe with everything that a real one has, small enough for many trainings."""
    selection = {"sizes": [5], "number": 5, "trees": 20, "folds": 3, "bootstraps": 0}
    models = ("size", "logistic", "extra_trees")
    small = {"selection": selection, "models": models, "extra_trees": {"trees": 20}}
    return preset("peng2021", network=None, seed=seed, repeats=repeats, **small)


def drawn(rng: np.random.Generator, patients: int, effect: float) -> Cohort:
    """Patients of a population in which `effect` is the slope of the log-odds on `direction`."""
    block = rng.standard_normal((patients, BLOCKS))[:, np.arange(FEATURES) % BLOCKS]
    features = np.sqrt(0.5) * (block + rng.standard_normal((patients, FEATURES)))
    direction = features[:, TRUE].sum(axis=1) / 3
    # The factor keeps the share of responders when the effect spreads the log-odds.
    level = np.log(RESPONDERS / (1 - RESPONDERS)) * np.sqrt(1 + 0.35 * effect**2)
    labels = (rng.random(patients) < special.expit(level + effect * direction)).astype(int)
    diameters_mm = np.exp(3.7 + 0.5 * (np.sqrt(0.75) * rng.standard_normal(patients) - 0.5 * direction))
    names = tuple(f"original_simulated_{n:02d}" for n in range(FEATURES))
    table = PatientTable(tuple(map(str, range(patients))), names, features, diameters_mm=diameters_mm)
    return Cohort(table, Outcome(labels), direction, rng.standard_normal(patients))


def simulate(patients: int, effect: float, number: int, repeats: int) -> Simulated:
    """Draw, train, and try on new patients; cohorts too small in a class are drawn again."""
    rng = np.random.default_rng([patients, round(1000 * effect), number])
    cohort = drawn(rng, patients, effect)
    while np.bincount(cohort.outcome.labels, minlength=2).min() < FEWEST_PER_CLASS:
        cohort = drawn(rng, patients, effect)
    with threadpool_limits(1):
        model, record = fit_response_model(cohort.table, cohort.outcome, settings_of(number, repeats))
        return _tried(model, record, cohort, drawn(rng, NEW, effect), rng)


def _tried(
    model: ResponseModel, record: TrainingRecord, cohort: Cohort, new: Cohort, rng: np.random.Generator
) -> Simulated:
    labels, names = new.outcome.labels, tuple(model.combinations)
    probabilities, ranking = model.probabilities(new.table), model.ranking(new.table)
    answers = _fold_answers(model, new)
    shipped = {name: auc_delong(labels, ranking[name]).auc for name in names}
    cohorts = {m: rng.choice(NEW, m, replace=False) for m in EXTERNAL}
    return Simulated(
        labels=cohort.outcome.labels,
        folds=record.out_of_fold.folds,
        direction=cohort.direction,
        chance=cohort.chance,
        parts=record.out_of_fold.aucs,
        of_folds=_true_of_folds(answers, labels),
        shipped=shipped,
        slope={n: calibration(labels, probabilities[n]).slope for n in names},
        youden=_youden(model, record, answers, labels, probabilities),
        external={
            m: {n: _holds(labels[of], ranking[n][of], shipped[n]) for n in names} for m, of in cohorts.items()
        },
        sets={n: _share_in_sets(model, n, probabilities[n][:FOR_SETS], labels[:FOR_SETS]) for n in names},
    )


def _fold_answers(model: ResponseModel, new: Cohort) -> list[tuple[dict, dict]]:
    """Scores and probabilities of the new patients by each fold's models with that fold's fusion."""
    scored = [(fit, fit.models.scores(new.table)) for fit in model.fold_fits]
    return [(scores, combine(fit.combinations, scores)) for fit, scores in scored]


def _true_of_folds(answers: Sequence[tuple[dict, dict]], labels: np.ndarray) -> dict[str, float]:
    """Mean true AUC of the folds' models, single and fused."""
    rankings = [{name: scores.get(name, p) for name, p in fused.items()} for scores, fused in answers]
    return {
        name: float(np.mean([auc_delong(labels, ranking[name]).auc for ranking in rankings]))
        for name in rankings[0]
    }


def _youden(
    model: ResponseModel,
    record: TrainingRecord,
    answers: Sequence[tuple[dict, dict]],
    labels: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
) -> dict[str, tuple[float, float, float]]:
    found = {}
    for name, of in record.out_of_fold.thresholds.items():
        pairs = zip(answers, of.thresholds, strict=True)
        true_of_folds = float(np.mean([_index(labels, fused[name], cut) for (_, fused), cut in pairs]))
        shipped = _index(labels, probabilities[name], model.thresholds[name])
        found[name] = (of.youden_index, true_of_folds, shipped)
    return found


def _index(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> float:
    point = at_threshold(labels, probabilities, threshold)
    return point.sensitivity.estimate + point.specificity.estimate - 1


def _holds(labels: np.ndarray, scores: np.ndarray, truth: float) -> bool | None:
    """Whether Newcombe's interval holds the truth; None where the product states none."""
    found = auc_newcombe(labels, scores)
    return None if found.ci_low is None else found.ci_low <= truth <= found.ci_high


def _share_in_sets(
    model: ResponseModel, name: str, probabilities: np.ndarray, labels: np.ndarray
) -> tuple[float, float]:
    known = model.training
    sets = [conformal_set(p, known.conformal[name], known.outcome.labels) for p in probabilities]
    in_set = np.array(
        [(RESPONSE if y else NO_RESPONSE) in found for y, found in zip(labels, sets, strict=True)]
    )
    return float(in_set[labels == 1].mean()), float(in_set[labels == 0].mean())


@cache
def _population(effect: float) -> Cohort:
    return drawn(np.random.default_rng([POPULATION, round(1000 * effect)]), POPULATION, effect)


def weight_for(auc: float, effect: float) -> float:
    """Weight w for which the score w * direction + chance, which nobody trains, has the true AUC `auc`."""
    of = _population(effect)
    above = lambda weight: auc_delong(of.outcome.labels, weight * of.direction + of.chance).auc - auc
    return 0.0 if effect == 0 or above(0.0) >= 0 else float(brentq(above, 0.0, 20.0, xtol=1e-3))


def figures_of(runs: Sequence[Simulated], effect: float) -> dict[str, dict[str, Figure | float]]:
    """Model or fusion -> column -> figure; the pairs of them under the name "differences".

    A training that left a model out, because it told nobody apart, does not count for that model.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.parts))
    rows = {name: _model_figures([r for r in runs if name in r.parts], name, effect) for name in names}
    pairs = {}
    for first, second in combinations(names, 2):
        both = [run for run in runs if first in run.parts and second in run.parts]
        true = np.mean([run.of_folds[first] - run.of_folds[second] for run in both])
        found = [auc_difference(run.parts[first], run.parts[second]) for run in both]
        held = [f.ci_low <= true <= f.ci_high for f in found]
        pairs[f"{first} less {second}, %"] = share(held, COVERAGE)
    return {**rows, PAIRS: pairs}


def _model_figures(runs: Sequence[Simulated], name: str, effect: float) -> dict[str, Figure | float]:
    aucs = np.array([run.parts[name].auc for run in runs])
    true = float(np.mean([run.of_folds[name] for run in runs]))
    stated = [auc_interval(run.parts[name]) for run in runs]
    weight = weight_for(true, effect)
    rejected = [auc_difference(run.parts[name], _rival(run, weight)).p < 0.05 for run in runs]
    youden = np.array([run.youden[name] for run in runs])
    figures = {
        "true": true,
        "true, shipped": float(np.mean([run.shipped[name] for run in runs])),
        "stated": mean(aucs, CHANCE if effect == 0 else (true, true)),
        "SD": float(aucs.std(ddof=1)),
        "interval holds, %": share([s.ci_low <= true <= s.ci_high for s in stated], COVERAGE),
        "width": float(np.mean([s.ci_high - s.ci_low for s in stated])),
        "test rejects, %": share(rejected, SIZE),
    }
    if effect:
        figures["slope"] = median([run.slope[name] for run in runs if run.slope[name] is not None], SLOPE)
    figures["J less true"] = mean(youden[:, 0] - youden[:, 1], NOUGHT)
    figures["J shipped"] = float(youden[:, 2].mean())
    for m in EXTERNAL:
        held = [run.external[m][name] for run in runs if run.external[m][name] is not None]
        figures[f"external {m}, %"] = share(held, COVERAGE)
    for of_class, column in enumerate(SETS_OF):
        figures[column] = mean([100 * run.sets[name][of_class] for run in runs], SETS)
    return figures


def _rival(run: Simulated, weight: float) -> WithinFolds:
    score = weight * run.direction + run.chance
    return within_folds(run.labels, run.folds, *fixed_score(score, run.folds))


def tables(rows: Rows) -> Iterator[str]:
    """Lines of three tables: AUC, the model that ships, and pairs of models."""
    rows = {**rows, **together(rows)}
    models = {place: figures for place, figures in rows.items() if place[2] != PAIRS}
    pairs = {place: figures for place, figures in rows.items() if place[2] == PAIRS}
    for part, columns in ((models, OF_AUC), (models, OF_MODEL), (pairs, tuple(next(iter(pairs.values()))))):
        yield from lines_of_table(part, columns)
        yield ""


def main() -> int:
    """Simulate every cohort size with noise and with an effect, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--simulations", type=int, default=300, help="of each of the cohorts")
    parser.add_argument("--patients", type=int, nargs="+", default=[60, 93, 200])
    parser.add_argument("--repeats", type=int, default=1, help="drawings of the folds in a training")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="keep the figures here, and go on from those that it holds")
    options = parser.parse_args()
    started, how = time.monotonic(), {"simulations": options.simulations, "repeats": options.repeats}
    rows = read_rows(options.json, how)
    for patients, cohort in product(options.patients, EFFECTS):
        if (patients, cohort, PAIRS) in rows:
            continue
        place = (patients, EFFECTS[cohort])
        work = (delayed(simulate)(*place, n, options.repeats) for n in range(options.simulations))
        runs = Parallel(n_jobs=options.jobs)(work)
        figures = figures_of(runs, EFFECTS[cohort])
        rows |= {(patients, cohort, name): of for name, of in figures.items()}
        if options.json:
            write_rows(options.json, rows, how)
        print(f"  {patients}, {cohort}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print("\n".join(tables(rows)))
    print(f"{options.simulations} simulations each, {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
