"""The whole training again, many times: how much an answer depends on who was in the cohort.

Two questions, one fit. A resample draws as many patients of each class as there are, with
replacement, and keeps the distinct ones, as `selection.elimination.bootstrap_frequency` does: a
patient kept twice would stand on both sides of every split inside the fit - elimination, out of bag,
tuning - and reward learning by heart. So a model of a resample has seen about 63 % of the patients.
Simulated (93 patients, two recipes, 5 cohorts of 10 resamples): the SD of a patient's probability was
0.10 and 0.12 over resamples, the same with patients kept twice, and 0.14 and 0.15 over new cohorts. So
resamples say too little of the change that another hospital would bring, and no more than too little.
A learning curve leaves each fold out and trains on growing parts of the rest.

A model of a resample gives the probability that the shipped model would give had it been trained on
these patients: steps and models fitted on all of them, fusion and calibration on scores of as many
fits as there are folds. Only the pairs of folds, which judge and ship nothing, are left out.
Instability of predictions: Riley and Collins, Biom J 2023;65:2200302.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from TACEResponseLib import __version__
from TACEResponseLib.measuring.patient_table import PatientTable
from TACEResponseLib.messages.errors import Problem, TrainingError
from TACEResponseLib.messages.language import mark, several, tr
from TACEResponseLib.messages.progress import Progress, silent
from TACEResponseLib.models.calibrated import CalibratedFit
from TACEResponseLib.models.combination import ALL, WITH_EACH, combine, fit_combinations
from TACEResponseLib.resumable import CaseJob, CaseResult, StoredResult, affordable_jobs, run_cases
from TACEResponseLib.settings import TrainingSettings
from TACEResponseLib.statistics.outcome import Outcome

from .fit import fit_models, without_pictures
from .model import TrainingRecord
from .out_of_fold import judged_again

#: Parts of the patients that a point of the learning curve trains on.
SHARES = (0.5, 0.65, 0.8, 1.0)
#: Resamples for which the learning curve draws the folds once more, and the fewest drawings.
RESAMPLES_PER_DRAWING, FEWEST_DRAWINGS = 20, 2
#: What is fitted again, as the store names it and as the reader does.
RESAMPLE, LEARNING_CURVE = "resample", "learning curve"  # not a text: names in the store
STAGES = {
    RESAMPLE: mark("fit again: resample"),
    LEARNING_CURVE: mark("fit again: learning curve"),
}
#: Fewer resamples than this give no percentile.
FEWEST_RESAMPLES = 2


@dataclass(frozen=True)
class Refits:
    """What the same training gave on other patients of the cohort.

    original: combination -> (n,) probabilities of the shipped model's own training patients, in the
    order of the training table. bootstrap: combination -> (B, n) by models of resamples.
    thresholds: of the original. shown: the combination that stands for the headline. selected:
    feature -> share of the resamples that chose it. sizes: (k,) numbers of training patients of the
    learning curve. aucs: combination -> (k, r) within folds of r drawings, NaN where a fit failed.
    models_left_out: of pictures, which are not fitted again; what fuses them is not here either.
    failed: resamples and parts of the curve that could not be fitted, and why.
    """

    original: Mapping[str, np.ndarray]
    bootstrap: Mapping[str, np.ndarray]
    thresholds: Mapping[str, float]
    shown: str
    selected: Mapping[str, float]
    sizes: np.ndarray
    aucs: Mapping[str, np.ndarray] = field(repr=False)
    models_left_out: tuple[str, ...] = ()
    failed: tuple[Problem, ...] = ()


def refit(
    table: PatientTable,
    outcome: Outcome,
    settings: TrainingSettings,
    record: TrainingRecord,
    resamples: int,
    *,
    store: Path,
    jobs: int = 1,
    progress: Progress = silent,
) -> Refits:
    """Fit the recipe of a finished training again on `resamples` resamples and along a learning curve.

    table: what was trained on, see `run.Trained.usable`. store: folder that keeps each finished
    resample, so that a rerun goes on. jobs: processes. Raises TrainingError when fewer than two
    resamples can be fitted, SettingsError and InputError, and whatever `progress` raises.
    """
    _require_resamples(resamples)
    useless = record.out_of_fold.uninformative
    quick = without_pictures(settings)
    quick = dataclasses.replace(quick, models=tuple(m for m in quick.models if m not in useless))
    rows = dataclasses.replace(table, pixels=None, clinical=(), diagnostics=(), burdens=())
    drawings = max(FEWEST_DRAWINGS, resamples // RESAMPLES_PER_DRAWING)
    how = {"store": store, "jobs": jobs, "progress": progress}
    answers = _run(RESAMPLE, range(resamples), _resample, (rows, outcome, quick), **how)
    places = [(drawing, fold) for drawing in range(drawings) for fold in range(quick.folds)]
    points = _run(LEARNING_CURVE, places, _curve_part, (rows, outcome, quick), **how)
    fitted = _succeeded(answers)
    failed = [answer for answer in (*answers, *points) if isinstance(answer, Problem)]
    failed += [Problem(**reason) for p in points if p not in failed for reason in p.values["reasons"]]
    original, thresholds = _original(table, outcome, quick, record)
    headline = settings.fusion.headline
    return Refits(
        original=original,
        bootstrap=_stacked(original, fitted),
        thresholds=thresholds,
        shown=shown_for(headline, original),
        selected=_frequency([answer.values["selected"] for answer in fitted]),
        sizes=_sizes(points),
        aucs={name: _aucs(name, points, drawings, quick.folds) for name in original},
        models_left_out=tuple(name for name in settings.models if name not in (*quick.models, *useless)),
        failed=tuple(failed),
    )


def shown_for(headline: str, names: Sequence[str] | Mapping) -> str:
    """The combination among `names` that stands for the headline: itself, or it without the CNN."""
    rest = "+".join(part for part in headline.split("+") if part != WITH_EACH)
    return next(name for name in (headline, rest, ALL, *names) if name in names)


def fit_whole(table: PatientTable, outcome: Outcome, settings: TrainingSettings, seed: int) -> CalibratedFit:
    """What would be shipped after a training on these patients; nothing says how good it is.

    Raises TrainingError when a fold has one class only or a model cannot be fitted.
    """
    folds = outcome.split(settings.folds, seed, table.groups)
    scores = {}
    for fold in range(settings.folds):
        held_out = folds == fold
        rest = table.rows(~held_out), outcome.rows(~held_out)
        fitted = fit_models(*rest, settings, seed + fold, 1, silent)
        for name, values in fitted.scores(table.rows(held_out)).items():
            scores.setdefault(name, np.full(len(table), np.nan))[held_out] = values
    telling = {name: values for name, values in scores.items() if _ranks_in_folds(values, folds)}
    final = fit_models(table, outcome, settings, seed, 1, silent)
    return CalibratedFit(final, fit_combinations(telling, outcome, settings.fusion, folds))


def _ranks_in_folds(scores: np.ndarray, folds: np.ndarray) -> bool:
    """Whether a model told patients apart in every fold; it is left out as in the real training."""
    return all(np.ptp(scores[folds == fold]) > 0 for fold in np.unique(folds))


def drawn(outcome: Outcome, groups: Sequence[str], random: np.random.Generator) -> np.ndarray:
    """Positions of the distinct patients of one resample, ascending; rows of a group come together."""
    of_class = _groups_by_class(outcome, groups)
    taken = np.concatenate([random.choice(names, len(names)) for names in of_class])
    return np.flatnonzero(np.isin(groups, taken))


def part_of(outcome: Outcome, groups: Sequence[str], share: float, random: np.random.Generator) -> np.ndarray:
    """Positions of a share of the patients of each class, ascending; rows of a group come together.

    The same random state gives parts of which the smaller lie in the larger.
    """
    of_class = _groups_by_class(outcome, groups)
    orders = [random.permutation(names) for names in of_class]
    taken = np.concatenate([names[: round(share * len(names))] for names in orders])
    return np.flatnonzero(np.isin(groups, taken))


def _groups_by_class(outcome: Outcome, groups: Sequence[str]) -> list[np.ndarray]:
    """Names of the groups with the label of their first row, class by class."""
    names, first = np.unique(np.asarray(groups, dtype=str), return_index=True)
    return [names[outcome.labels[first] == label] for label in outcome.classes]


def _run(what: str, places, work, content: tuple, *, store: Path, jobs: int, progress: Progress) -> list:
    """Results of `work` at every place, from the store where they are there; see `run_cases`."""
    table, outcome, settings = content
    recipe = {
        "work": what,
        "version": __version__,
        "settings": settings.to_json(),
        "patients": fingerprint(table, outcome),
    }
    tasks = [CaseJob(f"{what} {place}", (), (*content, place)) for place in places]
    done = {"jobs_in_parallel": affordable_jobs(jobs), "progress": progress, "stage": tr(STAGES[what])}
    return run_cases(tasks, work, store=store, recipe=recipe, **done)


def fingerprint(table: PatientTable, outcome: Outcome) -> str:
    """A hash of everything that a fit without pictures sees of the patients."""
    digest = hashlib.sha256()
    for array in (table.features, table.diameters_mm, table.scans, outcome.labels, outcome.readers):
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    for texts in (table.patient_ids, table.feature_names, table.phases, table.centers, table.groups):
        digest.update(repr(texts).encode())
    return digest.hexdigest()


def _resample(job: CaseJob) -> CaseResult:
    """Probabilities of everybody by the model of one resample, in whatever process."""
    table, outcome, settings, number = job.content
    rows = drawn(outcome, table.groups, np.random.default_rng((settings.seed, number)))
    fit = fit_whole(table.rows(rows), outcome.rows(rows), settings, settings.seed)
    return CaseResult({"selected": list(fit.models.selected)}, fit.probabilities(table))


def _curve_part(job: CaseJob) -> CaseResult:
    """AUCs in one fold of one drawing by models of growing parts of the other folds.

    A part that is too small for the recipe has no AUC and says why.
    """
    table, outcome, settings, (drawing, fold) = job.content
    held_out = outcome.split(settings.folds, settings.seed + drawing, table.groups) == fold
    rest, of_rest = table.rows(~held_out), outcome.rows(~held_out)
    judged = outcome.rows(held_out)
    sizes, aucs, reasons = [], {}, []
    for k, share in enumerate(SHARES):
        random = np.random.default_rng((settings.seed, drawing, fold))
        rows = part_of(of_rest, rest.groups, share, random)
        sizes.append(len(rows))
        try:
            fit = fit_whole(rest.rows(rows), of_rest.rows(rows), settings, settings.seed)
        except TrainingError as error:
            reasons.append(
                dataclasses.asdict(
                    error.about(patient_id=several(len(rows), "1 patient", "{n} patients")).problem
                )
            )
            continue
        for name, values in fit.probabilities(table.rows(held_out)).items():
            aucs.setdefault(name, [None] * len(SHARES))[k] = judged.metric(values)
    return CaseResult({"sizes": sizes, "aucs": aucs, "reasons": reasons})


def _original(
    table: PatientTable, outcome: Outcome, settings: TrainingSettings, record: TrainingRecord
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Probabilities and thresholds of what this training would have shipped without its pictures."""
    held_out = judged_again(record.out_of_fold, settings.models, outcome, settings)
    scores = {name: values[0] for name, values in held_out.scores.items()}
    combinations = fit_combinations(scores, outcome, settings.fusion, held_out.folds[0])
    probabilities = combine(combinations, record.final.scores(table))
    return probabilities, {name: held_out.thresholds[name].shipped for name in probabilities}


def _require_resamples(resamples: int) -> None:
    if resamples < FEWEST_RESAMPLES:
        raise TrainingError(
            tr("too few resamples to say how stable a model is"),
            field="stability",
            expected=tr("at least {n}, 200 for a report", n=FEWEST_RESAMPLES),
            received=str(resamples),
        )


def _succeeded(answers: Sequence[StoredResult | Problem]) -> list[StoredResult]:
    """The resamples that could be fitted; TrainingError with the first reason when too few could."""
    fitted = [answer for answer in answers if not isinstance(answer, Problem)]
    if len(fitted) < FEWEST_RESAMPLES:
        reason = next(answer for answer in answers if isinstance(answer, Problem))
        raise TrainingError(
            tr("the training cannot be repeated on resamples of its patients"),
            expected=tr("at least {n} resamples that can be fitted", n=FEWEST_RESAMPLES),
            received=tr(
                "{n} of {total}; the first that cannot: {reason}",
                n=len(fitted),
                total=len(answers),
                reason=reason,
            ),
            remedy=tr("more patients, fewer folds, or train without --stability"),
        )
    return fitted


def _stacked(names: Mapping, fitted: Sequence[StoredResult]) -> dict[str, np.ndarray]:
    """Combination -> (B, n); a resample in which a model told nobody apart is not among its B."""
    arrays = [answer.arrays for answer in fitted]
    found = {name: [of[name] for of in arrays if name in of] for name in names}
    return {name: np.array(values) for name, values in found.items() if len(values) >= FEWEST_RESAMPLES}


def _frequency(chosen: Sequence[Sequence[str]]) -> dict[str, float]:
    """Feature -> share of the resamples that chose it, the most frequent first."""
    names = [name for of in chosen for name in of]
    shares = {name: names.count(name) / len(chosen) for name in dict.fromkeys(names)}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _sizes(points: Sequence[StoredResult | Problem]) -> np.ndarray:
    """(k,) mean number of training patients of each part; () when no part could be fitted."""
    found = [point.values["sizes"] for point in points if not isinstance(point, Problem)]
    return np.mean(found, axis=0) if found else np.empty(0)


def _aucs(name: str, points: Sequence[StoredResult | Problem], drawings: int, folds: int) -> np.ndarray:
    """(k, r) AUC of a combination in the folds of each drawing, their mean; NaN where a fold has none."""
    empty = [None] * len(SHARES)
    of_points = [
        empty if isinstance(point, Problem) else point.values["aucs"].get(name, empty) for point in points
    ]
    return np.array(of_points, dtype=float).reshape(drawings, folds, len(SHARES)).mean(axis=1).T
